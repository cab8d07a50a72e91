#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! Typed API: `executor`, `hook`, `collector` (a trait and a macro each), [`Context`], [`Failure`], the log macros, and
//! one module per capability behind a feature of the same name. Below it: `wire` (JSON text and pointers), [`schema`]
//! and `bindings` (generated). Nothing of the host lives here; plugin crates call everything.

// The generated bindings name this crate as plugin crates do.
extern crate self as apflow_sdk;

#[doc(hidden)]
pub mod bindings;
#[cfg(feature = "checkpoint")]
pub mod checkpoint;
pub mod collector;
mod context;
pub mod executor;
mod failure;
pub mod hook;
#[cfg(feature = "http")]
pub mod http;
pub mod log;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "process")]
pub mod process;
pub mod schema;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod settings;
#[cfg(feature = "state")]
pub mod state;
#[cfg(feature = "system")]
pub mod system;
#[cfg(feature = "tasks")]
pub mod tasks;
pub mod testing;
mod wire;

pub use schemars;
pub use serde;
pub use serde_json;

pub use collector::{Collector, Measurement};
pub use context::Context;
pub use executor::Executor;
pub use failure::{Failure, Issue};
pub use hook::{Decision, Event, Hook, Point, Subscription};

/// What most plugins need: `use apflow_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Collector, Context, Decision, Event, Executor, Failure, Hook, Measurement, Point, Subscription,
    };
    // The derive of `JsonSchema` looks for a `schemars` in scope.
    pub use schemars::{self, JsonSchema};
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::{Map, Value, json};
}

/// For the expansions of the export macros only.
#[doc(hidden)]
pub mod __private {
    use crate::bindings::{executor, hooks, types};

    pub use wit_bindgen::rt;

    pub type Described =
        Result<Vec<executor::exports::apflow::plugin::executor::ExecutorInfo>, types::Failure>;
    pub type Document = Result<String, types::Failure>;
    pub type Subscribed = Result<Vec<hooks::exports::apflow::plugin::hooks::Subscription>, types::Failure>;
    pub type Decided = Result<hooks::exports::apflow::plugin::hooks::Decision, types::Failure>;
    pub type Collected = Result<(), types::Failure>;
}
