//! All outgoing HTTP of all plugins: one client behind the own `http` interface and `wasi:http`. Every request and every
//! redirect is checked against the grants, every address is checked when connecting, and a connection goes only to an
//! address that was checked. No wasmtime here: `capability::http` and the `wasi:http` hook call in.

mod body;
mod budget;
mod client;
mod connector;
mod error;
mod headers;
mod redirect;
mod request;
mod resolver;
mod target;
#[cfg(test)]
mod tests;
mod unix;

pub use body::{BoxError, RequestBody, ResponseBody};
pub use budget::{Budget, HttpLimits};
pub(crate) use client::discard;
pub use client::{HttpClient, HttpClientOptions};
pub(crate) use connector::{ConnectFailure, dial, permitted};
pub use error::{Direction, HttpError, Phase};
pub use headers::{FORBIDDEN, parse_headers, text_pairs};
pub use request::{OutRequest, OutResponse, Timeouts};
pub use resolver::{Resolver, SystemResolver};
