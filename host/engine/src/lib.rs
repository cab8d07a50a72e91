//! The busy floor: decides what runs and when, and is the one place where operations are implemented.
//!
//! [`Engine`] is a cheap handle; doors and embedders call it. Below it, one [dispatcher](dispatcher) loop takes turns
//! with the store (record, release, claim), every claimed task is one [run](run), and the loops in
//! [maintenance](maintenance) keep the lease, feed collectors, deliver webhooks and trim the log. No SQL, no WebAssembly, no HTTP.

mod breakers;
mod context;
mod dispatcher;
mod engine;
mod events;
mod hooks;
mod inbox;
mod maintenance;
pub mod operation;
mod run;
mod runs;
mod schema;
mod usecase;
pub mod wire;

pub use engine::{Engine, EngineOptions};
pub use maintenance::collectors::CollectorStatus;
pub use usecase::create::Receipted;
pub use usecase::execute::Started;
pub use usecase::explain::{Blocker, Explanation};
pub use usecase::query::Health;
