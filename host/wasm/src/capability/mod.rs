//! What plugins may use of the host: one import per file, a check of the grants and then the behaviour. Every function
//! counts as a call to the host. WASI's own interfaces are wasmtime's; see `state` for what they are given.

mod checkpoint;
mod http;
mod log;
mod net;
mod process;
mod progress;
mod secrets;
mod state;
mod system;
mod tasks;
mod wasi_http;

pub use http::IncomingBody;
pub use net::Connection;
pub(crate) use net::NetUse;
pub use process::Child;
pub(crate) use wasi_http::{WasiHttpState, add_wasi_http};
