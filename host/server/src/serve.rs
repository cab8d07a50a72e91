//! Running a router on a listener: connections with limits, and an end in good order.

use std::io;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes of a request's head.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Longest time for a request's head to arrive.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at the same time; further ones wait in the system's queue.
pub const MAX_CONNECTIONS: usize = 4_096;
/// How long open requests may go on after the end was asked for.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait when the system refuses a connection, for example for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Tells handlers that live long (event streams) that the server is closing. [`serve`] puts it into every request;
/// under another server it is absent and streams end with their clients.
#[derive(Debug, Clone)]
pub(crate) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Returns when the server closes.
    pub(crate) async fn wait(mut self) {
        // A sender that is gone is a server that has closed.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

/// Serves `router` until `shutdown` is ready. Then no connection is accepted any more, event streams end, open requests
/// have [`DRAIN`] to finish, and what is still open is cut.
///
/// # Errors
/// Where the listener has no address, that is: is not one.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let (closing, closed) = watch::channel(false);
    let router = router.layer(Extension(Closing(closed.clone())));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    tracing::info!(%address, "serving");
    loop {
        let room = connections.len() < MAX_CONNECTIONS;
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept(), if room => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, router.clone(), Closing(closed.clone())));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    closing.send_replace(true);
    tracing::info!(%address, open = connections.len(), "closing");
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!(%address, open = connections.len(), "requests were cut off");
        connections.shutdown().await;
    }
    Ok(())
}

async fn connection(socket: TcpStream, router: Router, closing: Closing) {
    // Events are small and must not wait for company.
    let _ = socket.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEADER_BYTES as u32);
    let service = TowerToHyperService::new(router);
    let mut served = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(socket), service));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = closing.wait() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke off");
    }
}
