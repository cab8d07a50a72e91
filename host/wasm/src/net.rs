//! Byte streams and datagrams to named peers: the same resolver, address checks and trust as for HTTP, with TLS on this side.
//! No wasmtime here: `capability::net` calls in.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::grants::{Denied, Grants, Transport, bracketed, parse_host};
use crate::http::{ConnectFailure, HttpClientOptions, Resolver, dial, permitted};

/// The largest datagram that UDP carries over IPv4.
const DATAGRAM: usize = 65_507;

/// Makes connections; one for a whole host.
pub(crate) struct NetClient {
    tls: Arc<ClientConfig>,
    resolver: Arc<dyn Resolver>,
    within: Duration,
}

impl fmt::Debug for NetClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetClient").field("resolver", &self.resolver).finish_non_exhaustive()
    }
}

/// Where to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub transport: Transport,
    /// Name or address.
    pub host: String,
    pub port: u16,
    /// Whether TLS is spoken and the certificate checked against `host`.
    pub tls: bool,
    /// For resolution, connection and TLS; at most the client's own limit.
    pub timeout: Option<Duration>,
}

/// Why there is no connection, or it is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetFailure {
    #[error("{0}")]
    Denied(Box<Denied>),
    #[error("{0}")]
    Prohibited(Box<Denied>),
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    Connect(String),
    #[error("the connection is closed")]
    Closed,
}

/// An open connection; dropping it closes it.
pub(crate) enum NetStream {
    /// Bytes.
    Bytes(Box<dyn BytesStream>),
    /// Each read is one datagram, and each write.
    Datagrams(UdpSocket),
}

/// A stream of bytes in both directions.
pub(crate) trait BytesStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> BytesStream for T {}

impl NetClient {
    /// A client that resolves and trusts as `options` say.
    ///
    /// # Errors
    /// If a root certificate cannot be read.
    pub fn new(options: &HttpClientOptions) -> Result<Self, rustls::Error> {
        let tls = Arc::new(options.trust()?);
        Ok(Self { tls, resolver: Arc::clone(&options.resolver), within: options.connect_timeout })
    }

    /// Connects, if the grants permit the peer and every address that is tried.
    ///
    /// # Errors
    /// Any [`NetFailure`].
    pub async fn connect(&self, grants: &Grants, peer: &Peer) -> Result<NetStream, NetFailure> {
        let Peer { transport, host, port, tls, timeout: limit } = peer;
        grants.net(*transport, host, *port).map_err(|denied| NetFailure::Denied(Box::new(denied)))?;
        if *tls && *transport == Transport::Udp {
            return Err(NetFailure::Connect("TLS is not spoken over datagrams; set `tls` to false".into()));
        }
        let within = limit.map_or(self.within, |own| own.min(self.within));
        let late =
            || NetFailure::Timeout(format!("{host}:{port}: no connection within {} ms", within.as_millis()));
        let deadline = Instant::now() + within;
        timeout_at(deadline, self.open(grants, peer, deadline)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn open(&self, grants: &Grants, peer: &Peer, deadline: Instant) -> Result<NetStream, NetFailure> {
        let Peer { transport, host, port, tls, .. } = peer;
        let failed = |problem: String| NetFailure::Connect(format!("{host}:{port}: {problem}"));
        let name = parse_host(&bracketed(host)).map_err(failed)?;
        let addresses = permitted(grants.network(), self.resolver.as_ref(), &name, *port).await;
        let addresses = addresses.map_err(|failure| match failure {
            ConnectFailure::Prohibited(address) => prohibited(grants, host, address),
            other => failed(other.to_string()),
        })?;
        if *transport == Transport::Udp {
            return datagrams(&addresses)
                .await
                .map(NetStream::Datagrams)
                .map_err(|error| failed(error.to_string()));
        }
        let stream = dial(&addresses, deadline).await.map_err(|error| failed(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        if !tls {
            return Ok(NetStream::Bytes(Box::new(stream)));
        }
        let server = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let server = server.map_err(|_| failed("no certificate can be for this name".into()))?;
        let secure = TlsConnector::from(Arc::clone(&self.tls)).connect(server, stream).await;
        Ok(NetStream::Bytes(Box::new(secure.map_err(|error| failed(format!("TLS: {error}")))?)))
    }
}

fn prohibited(grants: &Grants, host: &str, address: SocketAddr) -> NetFailure {
    match grants.address(host, address) {
        Err(denied) => NetFailure::Prohibited(Box::new(denied)),
        Ok(()) => NetFailure::Connect(format!("{host}: the address may not be reached")),
    }
}

/// A socket that sends to the first address and hears only from it.
async fn datagrams(addresses: &[SocketAddr]) -> io::Result<UdpSocket> {
    let Some(address) = addresses.first() else { return Err(io::Error::other("the name has no address")) };
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

impl NetStream {
    /// The next bytes, at most `max`; none when the peer has closed.
    ///
    /// # Errors
    /// `Timeout` if nothing comes, `Closed` if the connection broke.
    pub async fn read(&mut self, max: usize, limit: Option<Duration>) -> Result<Option<Vec<u8>>, NetFailure> {
        let mut bytes = vec![0; max.clamp(1, DATAGRAM)];
        let reading = async {
            match self {
                Self::Bytes(stream) => stream.read(&mut bytes).await.map(|read| (read, read == 0)),
                Self::Datagrams(socket) => socket.recv(&mut bytes).await.map(|read| (read, false)),
            }
        };
        let (read, ended) = match limit {
            None => reading.await,
            Some(limit) => {
                let late = || NetFailure::Timeout(format!("nothing came within {} ms", limit.as_millis()));
                timeout(limit, reading).await.map_err(|_| late())?
            }
        }
        .map_err(|_| NetFailure::Closed)?;
        bytes.truncate(read);
        Ok((!ended).then_some(bytes))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// `Closed` if the connection broke.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), NetFailure> {
        let written = match self {
            Self::Bytes(stream) => {
                async {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                .await
            }
            Self::Datagrams(socket) => socket.send(bytes).await.map(drop),
        };
        written.map_err(|_| NetFailure::Closed)
    }

    /// Closes the sending side.
    ///
    /// # Errors
    /// `Closed` if the connection broke.
    pub async fn finish(&mut self) -> Result<(), NetFailure> {
        match self {
            Self::Bytes(stream) => stream.shutdown().await.map_err(|_| NetFailure::Closed),
            Self::Datagrams(_) => Ok(()),
        }
    }
}
