//! Generated from `wit/v0.1`.

/// What guests may import.
pub mod offered {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        inline: "
            package apflow:host;
            world offered {
                include apflow:plugin/everything@0.1.0;
            }
        ",
        world: "apflow:host/offered",
        imports: {
            "apflow:plugin/log": trappable,
            "apflow:plugin/progress": trappable,
            default: async | trappable,
        },
        with: {
            "apflow:plugin/http.incoming-body": crate::capability::IncomingBody,
            "apflow:plugin/net.connection": crate::capability::Connection,
            "apflow:plugin/process.child": crate::capability::Child,
        },
    });
}

pub use offered::apflow::plugin::{
    checkpoint, http, log, net, process, progress, secrets, state, system, tasks, types,
};

/// Generates one exported interface over the shared types.
macro_rules! exported {
    ($module:ident, $world:literal) => {
        /// An interface that plugins export.
        pub mod $module {
            wasmtime::component::bindgen!({
                path: "../../wit/v0.1",
                world: $world,
                exports: { default: async },
                with: {
                    "apflow:plugin/types": crate::bindings::v0_1::types,
                    "apflow:plugin/log": crate::bindings::v0_1::log,
                    "apflow:plugin/progress": crate::bindings::v0_1::progress,
                },
            });
            pub use exports::apflow::plugin::$module::*;
        }
    };
}

exported!(executor, "executor-plugin");
exported!(hooks, "hooks-plugin");
exported!(collector, "collector-plugin");

/// The contract's package and version, as in the names of its interfaces.
pub(crate) const VERSION: &str = "0.1.0";
