//! Outgoing HTTP, feature `http`. Needs the `http` grant for every address; the host checks each request and each
//! redirect, resolves names, speaks TLS and keeps connections.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::http as wit;
use crate::{Failure, wire};

/// A request, built step by step and sent once.
///
/// ```no_run
/// use apflow_sdk::http::Request;
/// # use apflow_sdk::prelude::*;
/// # fn run() -> Result<(), Failure> {
/// let answer = Request::post("https://api.example.org/items")
///     .header("accept", "application/json")
///     .json(&json!({"name": "first"}))?
///     .send()?;
/// let item: Value = answer.json()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
    max_redirects: u32,
}

impl Request {
    /// A request of any method to an absolute `http` or `https` URL; follows up to 10 redirects.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            max_redirects: 10,
        }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header. `host`, `connection`, `content-length`, `transfer-encoding` and `upgrade` are the host's.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and, unless there is one, the content type.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Failure> {
        self.body = wire::to_json(value, "request body")?.into_bytes();
        if !self.has_header("content-type") {
            self = self.header("content-type", "application/json");
        }
        Ok(self)
    }

    /// From sending to the last byte; the call's own deadline counts in any case.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many redirects to follow; 0 gives the redirect itself as the response.
    pub fn max_redirects(mut self, max: u32) -> Self {
        self.max_redirects = max;
        self
    }

    /// Whether a header of this name is set, in any case.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Sends and waits for the whole response, whatever its status.
    pub fn send(self) -> Result<Response, Error> {
        let response = border::send(&self.into_wit())?;
        Ok(Response { head: response.head.into(), body: response.body })
    }

    /// Sends and returns as soon as the headers are there.
    pub fn send_streamed(self) -> Result<(Head, Body), Error> {
        let response = border::send_streamed(&self.into_wit())?;
        Ok((response.head.into(), Body { rest: response.body, piece: Vec::new() }))
    }

    fn into_wit(self) -> wit::Request {
        wit::Request {
            method: self.method,
            url: self.url,
            headers: self.headers,
            body: self.body,
            timeout_ms: self.timeout.map(wire::millis),
            max_redirects: self.max_redirects,
            extra: "{}".to_owned(),
        }
    }
}

/// Status and headers of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// Where the response came from, after redirects.
    pub url: String,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl From<wit::ResponseHead> for Head {
    fn from(head: wit::ResponseHead) -> Self {
        let status = u16::try_from(head.status).unwrap_or_default();
        Self { status, url: head.url, headers: head.headers }
    }
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. A body that does not fit is a permanent failure, code `invalid_response`, not bad input: it is
    /// the server's.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!(
                "{} answered {} with a body that does not fit: {error}",
                self.head.url, self.head.status
            );
            Failure::permanent("invalid_response", message)
        })
    }
}

/// The rest of a streamed response. Also a [`Read`].
#[derive(Debug)]
pub struct Body {
    rest: wit::IncomingBody,
    piece: Vec<u8>,
}

impl Body {
    /// The next piece, at most `max` bytes; none at the end. Waits until there is something.
    pub fn next_piece(&mut self, max: u32) -> Result<Option<Vec<u8>>, Error> {
        if self.piece.is_empty() {
            return Ok(self.rest.read(max)?);
        }
        let keep = self.piece.split_off(self.piece.len().min(max as usize));
        Ok(Some(std::mem::replace(&mut self.piece, keep)))
    }

    /// The trailers, after the end was read.
    pub fn trailers(&self) -> Result<Vec<(String, String)>, Error> {
        Ok(self.rest.trailers()?)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let Some(mut piece) = self.next_piece(max).map_err(std::io::Error::other)? else { return Ok(0) };
        // A host that gives more than was asked for must not lose bytes.
        if piece.len() > buffer.len() {
            self.piece = piece.split_off(buffer.len());
        }
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// Why there is no response. Each holds one sentence with the host, the rule and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No grant covers this request.
    Denied(String),
    /// The name resolved to an address that may not be reached.
    ProhibitedAddress(String),
    /// The time was up.
    Timeout(String),
    /// Name resolution, connection or TLS failed.
    Connect(String),
    /// A body was larger than allowed.
    TooLarge(String),
    /// The request itself is malformed.
    BadRequest(String),
    /// Anything else: JSON text with `code` and `message`.
    Other(String),
}

impl From<wit::HttpError> for Error {
    fn from(error: wit::HttpError) -> Self {
        match error {
            wit::HttpError::Denied(text) => Self::Denied(text),
            wit::HttpError::ProhibitedAddress(text) => Self::ProhibitedAddress(text),
            wit::HttpError::Timeout(text) => Self::Timeout(text),
            wit::HttpError::Connect(text) => Self::Connect(text),
            wit::HttpError::TooLarge(text) => Self::TooLarge(text),
            wit::HttpError::BadRequest(text) => Self::BadRequest(text),
            wit::HttpError::Other(json) => Self::Other(json),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text)
            | Self::Timeout(text)
            | Self::Connect(text)
            | Self::TooLarge(text)
            | Self::BadRequest(text)
            | Self::Other(text) => f.write_str(text),
            // The words that people and tests look for, whatever the host's sentence is.
            Self::ProhibitedAddress(text) if text.contains("private/reserved address") => f.write_str(text),
            Self::ProhibitedAddress(text) => write!(f, "private/reserved address: {text}"),
        }
    }
}

impl std::error::Error for Error {}

/// Timeouts and failed connections may pass; the rest will fail again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Denied(_) => Self::permanent("http_denied", text),
            Error::ProhibitedAddress(_) => Self::permanent("http_prohibited_address", text),
            Error::Timeout(_) => Self::retryable("http_timeout", text, None),
            Error::Connect(_) => Self::retryable("http_connect", text, None),
            Error::TooLarge(_) => Self::permanent("http_too_large", text),
            Error::BadRequest(_) => Self::permanent("http_bad_request", text),
            Error::Other(_) => wire::other_failure("http_error", &text),
        }
    }
}

/// The two imports; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use super::wit::{send, send_streamed};
}
#[cfg(not(target_family = "wasm"))]
mod border {
    use super::wit;

    pub(super) fn send(_: &wit::Request) -> Result<wit::Response, wit::HttpError> {
        Err(wit::HttpError::Other(crate::wire::no_host_document("http")))
    }

    pub(super) fn send_streamed(_: &wit::Request) -> Result<wit::StreamedResponse, wit::HttpError> {
        Err(wit::HttpError::Other(crate::wire::no_host_document("http")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_json_body_brings_its_content_type_unless_there_is_one() {
        let plain = Request::post("http://h/").json(&json!({"a": 1})).unwrap().into_wit();
        assert_eq!(plain.body, br#"{"a":1}"#);
        assert_eq!(plain.headers, [("content-type".to_owned(), "application/json".to_owned())]);
        let own = Request::post("http://h/").header("Content-Type", "application/ld+json").json(&1).unwrap();
        assert_eq!(own.into_wit().headers.len(), 1);
    }

    #[test]
    fn kinds_of_errors_decide_about_retries() {
        let text = || "refused".to_owned();
        let retried = |error: Error| matches!(Failure::from(error), Failure::Retryable { .. });
        assert!(retried(Error::Timeout(text())) && retried(Error::Connect(text())));
        assert!(!retried(Error::Denied(text())) && !retried(Error::TooLarge(text())));
        let prohibited = Failure::from(Error::ProhibitedAddress("10.0.0.1 is not public".to_owned()));
        assert!(matches!(&prohibited, Failure::Permanent(_)), "{prohibited:?}");
        assert!(prohibited.to_string().contains("private/reserved address: 10.0.0.1"), "{prohibited}");
    }

    #[test]
    fn other_errors_keep_the_host_s_code_and_message() {
        let other =
            Error::Other(r#"{"code": "http_budget", "message": "20 requests are enough"}"#.to_owned());
        assert_eq!(Failure::from(other).to_string(), "http_budget: 20 requests are enough");
    }

    #[test]
    fn a_body_that_is_no_json_is_the_server_s_fault() {
        let head = Head { status: 200, url: "http://h/".to_owned(), headers: Vec::new() };
        let response = Response { head, body: b"<html>".to_vec() };
        let failure = response.json::<Value>().unwrap_err();
        assert!(matches!(failure, Failure::Permanent(_)), "{failure:?}");
        assert_eq!(response.text(), "<html>");
    }

    #[test]
    fn outside_a_component_nothing_is_sent() {
        let failure = Failure::from(Request::get("http://h/").send().unwrap_err());
        assert_eq!(failure.code(), "no_host");
    }
}
