//! Runs trees of tasks in sandboxed WebAssembly components, from a Rust program.
//!
//! A [`Host`] is a database, a set of plugins and an engine; nothing about it is global. Executors are components from
//! plugin folders, or Rust values that the program registers:
//!
//! ```
//! use std::sync::Arc;
//!
//! use apflow_host::plugin::{Executor, ExecutorInfo, Invocation, Outcome, RunContext};
//! use apflow_host::{Host, Json};
//! use serde_json::{Value, json};
//!
//! #[derive(Debug)]
//! struct Double(ExecutorInfo);
//!
//! #[async_trait::async_trait]
//! impl Executor for Double {
//!     fn info(&self) -> &ExecutorInfo {
//!         &self.0
//!     }
//!
//!     async fn execute(&self, call: Invocation, _: Arc<dyn RunContext>) -> Outcome {
//!         let number = call.inputs.value()["number"].as_i64().unwrap_or_default();
//!         Outcome::completed(Json::from(json!({ "number": number * 2 })))
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> apflow_host::Result<()> {
//! let double = Double(ExecutorInfo::native("double"));
//! let host = Host::builder().database("sqlite::memory:").executor(Arc::new(double)).start().await?;
//!
//! let finished = host
//!     .run(json!([
//!         { "name": "twice", "executor": "double", "inputs": { "number": 21 } },
//!         { "name": "again", "executor": "double", "parent_id": "twice",
//!           "inputs": { "number": { "$from": "twice", "pointer": "/number" } } },
//!     ]))
//!     .await?;
//!
//! assert_eq!(finished.result_of::<Value>("again")?, json!({ "number": 84 }));
//! host.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Without features this crate has no HTTP server, no command line, no logger and no signal handler. `server` adds the
//! server, `cli` the binary `apflow`, and `bundled` puts the shipped plugins inside.

mod bundled;
mod components;
pub mod config;
pub mod database;
pub mod host;
mod lock;
mod plugins;
mod secrets;
mod services;

pub use apflow_core::clock;
pub use apflow_core::error::{Error, ErrorCode, Result};
pub use apflow_core::json::Json;
pub use apflow_core::plugin;
pub use apflow_core::task;
pub use apflow_engine::{Engine, Started};
#[cfg(feature = "server")]
pub use apflow_server as server;
pub use components::inspect_plugin;
pub use config::Config;
pub use host::{Finished, Host, HostBuilder};
