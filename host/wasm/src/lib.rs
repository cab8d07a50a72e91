//! The sandbox: plugins as WebAssembly components. Loads them, gives them what was granted and nothing else, limits and
//! measures every call, and replaces them while the host runs. Implements the contracts of `apflow_core::plugin`; the
//! engine sees no wasmtime.
//!
//! ```no_run
//! use apflow_core::plugin::Plugins;
//! use apflow_wasm::{WasmOptions, WasmPlugins};
//!
//! # async fn example() -> Result<(), apflow_wasm::WasmError> {
//! let plugins = WasmPlugins::open(WasmOptions { folders: vec!["plugins/dist".into()], ..WasmOptions::default() }).await?;
//! let rest = plugins.catalog().executors.get("rest_executor").cloned();
//! # Ok(())
//! # }
//! ```

mod adapter;
mod bindings;
mod cache;
mod call;
mod capability;
pub mod cases;
mod check;
mod clocks;
mod describe;
mod error;
mod failure;
pub mod grants;
pub mod guard;
mod history;
pub mod http;
mod lane;
pub mod limits;
mod linker;
mod loader;
pub mod manifest;
mod net;
mod plugin;
mod pool;
mod record;
mod registry;
mod sandbox;
mod secrets;
pub mod settings;
mod source;
mod state;
mod stdio;
mod usage;
mod watch;
mod webhooks;

pub use check::{Checked, Example, Finding, check};
pub use error::{Problem, WasmError};
pub use registry::{VersionOptions, WasmOptions, WasmPlugins};
pub use source::BundledPlugin;
pub use webhooks::HttpWebhooks;
