//! What goes in and what comes out of the client, in the host's terms. Capabilities turn it into those of the contract.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use url::Url;

use super::body::{RequestBody, ResponseBody};
use super::error::HttpError;
use super::headers::parse_headers;
use super::target::Target;

/// A request in the host's terms.
#[derive(Debug)]
pub struct OutRequest {
    /// Any but `CONNECT`.
    pub method: Method,
    /// Absolute, `http` or `https`.
    pub url: String,
    /// As [`parse_headers`] reads them; with a streamed body `content-length` may be there, too.
    pub headers: HeaderMap,
    /// Whole or streamed; empty for none.
    pub body: RequestBody,
    /// Redirects to follow; with 0, or a streamed body, a redirect is the response.
    pub max_redirects: u32,
    /// Time limits; the total one covers all hops, the others each.
    pub timeouts: Timeouts,
}

impl OutRequest {
    /// Reads a request in a plugin's words, without body, time limit and redirects.
    ///
    /// # Errors
    /// `BadRequest` where method or headers are malformed. The URL is read when sending.
    pub fn parse<'a>(
        method: &str,
        url: impl Into<String>,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, HttpError> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| HttpError::BadRequest(format!("`{method}` is not an HTTP method")))?;
        let (url, headers) = (url.into(), parse_headers(headers)?);
        let (body, timeouts) = (RequestBody::from(Bytes::new()), Timeouts::default());
        Ok(Self { method, url, headers, body, max_redirects: 0, timeouts })
    }
}

/// A response whose body is still to be read.
#[derive(Debug)]
pub struct OutResponse {
    /// Status.
    pub status: StatusCode,
    /// Where it came from, after redirects.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, with trailers after its end.
    pub body: ResponseBody,
}

impl OutResponse {
    pub(super) fn new(target: Target, response: Response<ResponseBody>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, url: target.url, headers: head.headers, body }
    }
}

/// Time limits of a request; the call's own deadline counts in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Until there is a connection, if that is less than the client's own limit.
    pub connect: Option<Duration>,
    /// From then to the response's headers.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes: Option<Duration>,
    /// From sending to the last byte.
    pub total: Option<Duration>,
}
