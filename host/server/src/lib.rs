//! The doors: HTTP in front of an [`Engine`]. A door translates and nothing else; what can be done is the operation
//! table of the engine, and how errors look is the one table in [`error`].
//!
//! [`router`] gives an axum router that embedders may mount in their own server; [`serve`] runs one on a listener.
//!
//! | path | what it is |
//! |---|---|
//! | `POST /tasks`, `POST /system` | JSON-RPC 2.0, with event streams |
//! | `GET /tasks/methods` | what `POST /tasks` can do |
//! | `GET /events` | the event log, live |
//! | `GET /healthz`, `/readyz`, `/metrics`, `/` | for probes and people |

mod body;
mod envelope;
pub mod error;
mod events;
mod origin;
mod rpc;
mod serve;
mod site;
mod stream;
mod subscription;

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{Error, ErrorCode};
use apflow_engine::Engine;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub use serve::{DRAIN, HEADER_TIMEOUT, MAX_CONNECTIONS, MAX_HEADER_BYTES, serve};

use subscription::Subscriptions;

/// What an operator can set.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Bytes of one request (`server.max_body_bytes`).
    pub max_body_bytes: usize,
    /// Longest time for a request to arrive in full (`server.body_timeout_ms`).
    pub body_timeout: Duration,
    /// Calls in one batch (`server.max_batch`).
    pub max_batch: usize,
    /// Event streams that are open at the same time (`server.max_streams`).
    pub max_streams: usize,
    /// Silence on an event stream before a comment is sent (`server.keep_alive_ms`).
    pub keep_alive: Duration,
    /// Web origins other than the server's own whose pages may call it, for example `http://localhost:3000`
    /// (`server.allowed_origins`).
    pub allowed_origins: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(60),
            max_batch: 1_000,
            max_streams: 1_000,
            keep_alive: Duration::from_secs(15),
            allowed_origins: Vec::new(),
        }
    }
}

/// What every handler sees.
#[derive(Debug, Clone)]
struct App {
    engine: Engine,
    options: Arc<ServerOptions>,
    subscriptions: Subscriptions,
}

/// All doors of an engine. Carries no state of its own: mount it, wrap it in layers, serve it.
pub fn router(engine: Engine, options: ServerOptions) -> Router {
    let cors = origin::cors(&options.allowed_origins);
    let app =
        App { engine, subscriptions: Subscriptions::new(options.max_streams), options: Arc::new(options) };
    let router = Router::new()
        .route("/tasks", post(rpc::tasks))
        .route("/system", post(rpc::system))
        .route("/tasks/methods", get(site::methods))
        .route("/events", get(events::events))
        .route("/healthz", get(site::healthz))
        .route("/readyz", get(site::readyz))
        .route("/metrics", get(site::metrics))
        .route("/", get(site::index))
        .fallback(site::not_found)
        .method_not_allowed_fallback(site::wrong_method)
        // Bodies are read with a limit and a time of our own, in `body`.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), origin::check))
        .layer(CatchPanicLayer::custom(|_| error::response(&defect())))
        .with_state(app);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// What a caller hears of a panic; the panic itself is on stderr.
fn defect() -> Error {
    Error::new(
        ErrorCode::Internal,
        "A defect in apflow stopped this request; details are in the log of the server",
    )
}
