//! How connections are made: resolve, throw away every address that may not be reached, connect to what is left, and
//! never by name again. So an answer that changes between two look-ups changes nothing, and neither does a redirect.
//! TLS checks the certificate against the name. Called by hyper's pool, once per new connection.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tower::Service;
use url::Host;

use super::body::BoxError;
use super::resolver::Resolver;
use crate::grants::{NetworkPolicy, parse_host};

type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    #[error("the name could not be resolved: {0}")]
    Resolve(io::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error("the address may not be reached")]
    Prohibited(SocketAddr),
    #[error("no connection: {0}")]
    Refused(io::Error),
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
}

/// TCP and TLS within one time.
#[derive(Clone)]
pub(super) struct Connector {
    secure: HttpsConnector<CheckedTcp>,
    within: Duration,
}

impl Connector {
    /// Connections under one policy. `tls` must not have ALPN protocols yet.
    pub fn new(
        policy: NetworkPolicy,
        resolver: Arc<dyn Resolver>,
        tls: ClientConfig,
        within: Duration,
    ) -> Self {
        let tcp = CheckedTcp { policy: Arc::new(policy), resolver, within };
        let secure = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions();
        Self { secure: secure.wrap_connector(tcp), within }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.secure.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, within) = (self.secure.call(uri), self.within);
        Box::pin(async move {
            timeout(within, connecting).await.unwrap_or_else(|_| Err(ConnectFailure::Timeout(within).into()))
        })
    }
}

/// TCP connections to addresses that the policy permits.
#[derive(Clone)]
struct CheckedTcp {
    policy: Arc<NetworkPolicy>,
    resolver: Arc<dyn Resolver>,
    within: Duration,
}

impl Service<Uri> for CheckedTcp {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let host = parse_host(uri.host().unwrap_or_default()).map_err(io::Error::other)?;
            let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
            let addresses = permitted(&this.policy, this.resolver.as_ref(), &host, port).await?;
            let stream = dial(&addresses, Instant::now() + this.within).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// The addresses of `host` that may be reached under a policy; at least one.
pub(crate) async fn permitted(
    policy: &NetworkPolicy,
    resolver: &dyn Resolver,
    host: &Host<String>,
    port: u16,
) -> Result<Vec<SocketAddr>, ConnectFailure> {
    let found: Vec<IpAddr> = match host {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) => resolver.resolve(name).await.map_err(ConnectFailure::Resolve)?,
    };
    let mut prohibited = None;
    let mut permitted = Vec::with_capacity(found.len());
    for address in found.into_iter().map(|ip| SocketAddr::new(ip, port)) {
        match policy.judge(host, address) {
            Ok(()) => permitted.push(address),
            Err(range) => {
                tracing::debug!(%host, %address, range = range.name, "address may not be reached");
                prohibited.get_or_insert(address);
            }
        }
    }
    match prohibited {
        _ if !permitted.is_empty() => Ok(permitted),
        Some(address) => Err(ConnectFailure::Prohibited(address)),
        None => Err(ConnectFailure::NoAddress),
    }
}

/// Tries the addresses one after another; each gets an equal share of the time that is left.
pub(crate) async fn dial(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, ConnectFailure> {
    let mut failure = ConnectFailure::NoAddress;
    for (index, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(now) / left;
        failure = match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => ConnectFailure::Refused(error),
            Err(_) => ConnectFailure::Timeout(share),
        };
    }
    Err(failure)
}
