//! The ground floor of apflow: the task model, the arithmetic of trees, retries, leases and schedules, and the contracts that
//! the other crates implement ([`store::Store`], [`plugin::Executor`], [`plugin::Hook`], [`plugin::Collector`],
//! [`clock::Clock`]). No I/O, no runtime, no database, no WebAssembly: it builds in seconds and everything else may
//! depend on it.

pub mod breaker;
pub mod clock;
pub mod clone;
pub mod deletion;
pub mod draft;
pub mod error;
pub mod event;
pub mod gate;
pub mod id;
pub mod inputs;
pub mod json;
pub mod lease;
pub mod plan;
pub mod plugin;
pub mod progress;
pub mod receipt;
pub mod retention;
pub mod retry;
pub mod schedule;
pub mod store;
pub mod task;
pub mod trace;
pub mod transition;
pub mod tree;
pub mod webhook;
