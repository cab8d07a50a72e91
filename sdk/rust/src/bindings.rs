//! The generated bindings of `wit/v0.1`, one module per world, and nothing written by hand.
//!
//! The base world holds the shared types once; every other world refers to them, so that a component may export several
//! interfaces and import several capabilities that all speak of the same `failure`. Only this crate's own modules and
//! the expansions of the export macros use what is here.

/// Types, log and progress: what every plugin has.
pub mod base {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "base",
        runtime_path: "apflow_sdk::__private::rt",
        generate_unused_types: true,
    });
}

pub use base::apflow::plugin::{log, progress, types};

/// Generates the bindings of one exported interface, with an export macro that plugin crates can use.
macro_rules! exported {
    ($module:ident, $world:literal, $bindings:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/v0.1",
                world: $world,
                runtime_path: "apflow_sdk::__private::rt",
                default_bindings_module: $bindings,
                export_macro_name: $export,
                pub_export_macro: true,
                with: {
                    "apflow:plugin/types@0.1.0": crate::bindings::types,
                    "apflow:plugin/log@0.1.0": crate::bindings::log,
                    "apflow:plugin/progress@0.1.0": crate::bindings::progress,
                },
            });
        }
    };
}

/// Generates the bindings of one capability; a component imports it only where the plugin calls it.
macro_rules! imported {
    ($module:ident, $feature:literal, $world:literal) => {
        #[cfg(feature = $feature)]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/v0.1",
                inline: $world,
                generate_all,
                runtime_path: "apflow_sdk::__private::rt",
                generate_unused_types: true,
                with: { "apflow:plugin/types@0.1.0": crate::bindings::types },
            });
            pub use apflow::plugin::$module::*;
        }
    };
}

exported!(executor, "executor-plugin", "apflow_sdk::bindings::executor", "export_executor_world");
exported!(hooks, "hooks-plugin", "apflow_sdk::bindings::hooks", "export_hooks_world");
exported!(collector, "collector-plugin", "apflow_sdk::bindings::collector", "export_collector_world");

imported!(http, "http", "package apflow:sdk-http; world guest { import apflow:plugin/http@0.1.0; }");
imported!(
    process,
    "process",
    "package apflow:sdk-process; world guest { import apflow:plugin/process@0.1.0; }"
);
imported!(system, "system", "package apflow:sdk-system; world guest { import apflow:plugin/system@0.1.0; }");
imported!(net, "net", "package apflow:sdk-net; world guest { import apflow:plugin/net@0.1.0; }");
imported!(
    secrets,
    "secrets",
    "package apflow:sdk-secrets; world guest { import apflow:plugin/secrets@0.1.0; }"
);
imported!(state, "state", "package apflow:sdk-state; world guest { import apflow:plugin/state@0.1.0; }");
imported!(tasks, "tasks", "package apflow:sdk-tasks; world guest { import apflow:plugin/tasks@0.1.0; }");
imported!(
    checkpoint,
    "checkpoint",
    "package apflow:sdk-checkpoint; world guest { import apflow:plugin/checkpoint@0.1.0; }"
);
