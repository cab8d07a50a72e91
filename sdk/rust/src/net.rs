//! Byte streams to named peers, feature `net`, with TLS on the host's side. Needs the `net` grant for `host:port`.

use std::fmt;
use std::io::{Read, Write};
use std::time::Duration;

use crate::bindings::net as wit;
use crate::{Failure, wire};

/// Where to connect, built step by step.
///
/// ```no_run
/// use apflow_sdk::net::Peer;
/// # fn run() -> Result<(), apflow_sdk::Failure> {
/// let mut connection = Peer::new("mail.example.org", 465).tls().connect()?;
/// let greeting = connection.read_piece(512, None)?;
/// connection.send(b"QUIT\r\n")?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Peer {
    inner: wit::Peer,
}

impl Peer {
    /// A name or address, and a TCP port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let (host, port) = (host.into(), port.into());
        Self { inner: wit::Peer { host, port, tls: false, timeout_ms: None, extra: "{}".to_owned() } }
    }

    /// Lets the host speak TLS, and check the peer's certificate against the name.
    pub fn tls(mut self) -> Self {
        self.inner.tls = true;
        self
    }

    /// Sends datagrams instead of a stream: each [`Connection::send`] is one, and each read gives one. Needs the `net` grant for
    /// `udp://host:port`.
    pub fn datagrams(mut self) -> Self {
        self.inner.extra = r#"{"transport":"udp"}"#.to_owned();
        self
    }

    /// For resolving, connecting and the TLS handshake.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.inner.timeout_ms = Some(wire::millis(timeout));
        self
    }

    /// Opens the stream.
    pub fn connect(&self) -> Result<Connection, Error> {
        Ok(Connection { inner: border::connect(&self.inner)?, timeout: None, piece: Vec::new() })
    }
}

/// An open stream; dropping it closes it. Also a [`Read`] and a [`Write`], for libraries that speak a protocol.
#[derive(Debug)]
pub struct Connection {
    inner: wit::Connection,
    timeout: Option<Duration>,
    piece: Vec<u8>,
}

impl Connection {
    /// The next bytes, at most `max`; none when the peer has closed. Waits at most `timeout`.
    pub fn read_piece(&mut self, max: u32, timeout: Option<Duration>) -> Result<Option<Vec<u8>>, Error> {
        if self.piece.is_empty() {
            return Ok(self.inner.read(max, timeout.map(wire::millis))?);
        }
        let keep = self.piece.split_off(self.piece.len().min(max as usize));
        Ok(Some(std::mem::replace(&mut self.piece, keep)))
    }

    /// Writes all of `data`.
    pub fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        Ok(self.inner.write(data)?)
    }

    /// Closes the sending side.
    pub fn finish(&mut self) -> Result<(), Error> {
        Ok(self.inner.finish()?)
    }

    /// How long each [`Read::read`] waits; none for the call's own deadline.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let Some(mut piece) = self.read_piece(max, self.timeout)? else { return Ok(0) };
        // A host that gives more than was asked for must not lose bytes.
        if piece.len() > buffer.len() {
            self.piece = piece.split_off(buffer.len());
        }
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

impl Write for Connection {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.send(data)?;
        Ok(data.len())
    }

    /// Does nothing: what was written is with the host.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why a stream is not usable. Each text is one sentence with the peer, the rule and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No grant covers this peer.
    Denied(String),
    /// The name resolved to an address that may not be reached.
    ProhibitedAddress(String),
    /// The time was up.
    Timeout(String),
    /// Resolution, connection or TLS failed.
    Connect(String),
    /// The stream is closed.
    Closed,
    /// Anything else: JSON text with `code` and `message`.
    Other(String),
}

impl From<wit::NetError> for Error {
    fn from(error: wit::NetError) -> Self {
        match error {
            wit::NetError::Denied(text) => Self::Denied(text),
            wit::NetError::ProhibitedAddress(text) => Self::ProhibitedAddress(text),
            wit::NetError::Timeout(text) => Self::Timeout(text),
            wit::NetError::Connect(text) => Self::Connect(text),
            wit::NetError::Closed => Self::Closed,
            wit::NetError::Other(json) => Self::Other(json),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text)
            | Self::ProhibitedAddress(text)
            | Self::Timeout(text)
            | Self::Connect(text)
            | Self::Other(text) => f.write_str(text),
            Self::Closed => f.write_str("the stream is closed"),
        }
    }
}

impl std::error::Error for Error {}

/// For [`Read`] and [`Write`]; the kind says what the failure would.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Kind;
        let kind = match error {
            Error::Denied(_) | Error::ProhibitedAddress(_) => Kind::PermissionDenied,
            Error::Timeout(_) => Kind::TimedOut,
            Error::Connect(_) => Kind::ConnectionRefused,
            Error::Closed => Kind::ConnectionReset,
            Error::Other(_) => Kind::Other,
        };
        Self::new(kind, error)
    }
}

/// Timeouts, failed and lost connections may pass; the rest will fail again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Denied(_) => Self::permanent("net_denied", text),
            Error::ProhibitedAddress(_) => Self::permanent("net_prohibited_address", text),
            Error::Timeout(_) => Self::retryable("net_timeout", text, None),
            Error::Connect(_) => Self::retryable("net_connect", text, None),
            Error::Closed => Self::retryable("net_closed", text, None),
            Error::Other(_) => wire::other_failure("net_error", &text),
        }
    }
}

/// The import; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use super::wit::connect;
}
#[cfg(not(target_family = "wasm"))]
mod border {
    use super::wit;

    pub(super) fn connect(_: &wit::Peer) -> Result<wit::Connection, wit::NetError> {
        Err(wit::NetError::Other(crate::wire::no_host_document("net")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_handed_over_as_they_are() {
        let peer = Peer::new("h", 465).tls().timeout(Duration::from_secs(2));
        assert_eq!((peer.inner.port, peer.inner.tls, peer.inner.timeout_ms), (465, true, Some(2000)));
    }

    #[test]
    fn kinds_of_errors_decide_about_retries() {
        let retried = |error: Error| matches!(Failure::from(error), Failure::Retryable { .. });
        assert!(retried(Error::Closed) && retried(Error::Timeout(String::new())));
        assert!(!retried(Error::Denied(String::new())));
        let io = std::io::Error::from(Error::Denied("no grant".to_owned()));
        assert_eq!((io.kind(), io.to_string().as_str()), (std::io::ErrorKind::PermissionDenied, "no grant"));
    }

    #[test]
    fn outside_a_component_nothing_is_connected() {
        assert_eq!(Failure::from(Peer::new("h", 1).connect().unwrap_err()).code(), "no_host");
    }
}
