//! Sends webhook messages through the one HTTP client, under the same rules as a plugin's requests: hosts that the operator
//! allows, addresses that are checked when connecting, no redirects. Callers choose the URL, so nothing of the answer but
//! its status comes back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Clock;
use apflow_core::error::Result;
use apflow_core::webhook::verdict::Answer;
use apflow_core::webhook::{Outgoing, WebhookDefinition, WebhookTransport, invalid};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use crate::grants::{Capabilities, Grants, HttpRule, NetworkRule};
use crate::http::{
    Budget, HttpClient, HttpClientOptions, HttpError, HttpLimits, OutRequest, Timeouts, discard,
    parse_headers,
};

/// Headers of the message itself begin so.
const OWN: &str = "webhook-";
/// What is read of an answer's body, so that its connection can be used again.
const ANSWER_BYTES: u64 = 64 * 1024;

/// The transport.
#[derive(Debug)]
pub struct HttpWebhooks {
    client: HttpClient,
    grants: Grants,
    clock: Arc<dyn Clock>,
}

impl HttpWebhooks {
    /// Sends to hosts that `http` covers, and to addresses that are not public only where `private_network` covers them.
    ///
    /// # Errors
    /// If a root certificate cannot be read.
    pub fn new(
        http: Vec<HttpRule>,
        private_network: Vec<NetworkRule>,
        clock: Arc<dyn Clock>,
        options: HttpClientOptions,
    ) -> Result<Self, rustls::Error> {
        let rules = Capabilities { http, private_network, ..Capabilities::default() };
        let grants = Grants::new("webhooks", rules.clone(), rules);
        Ok(Self { client: HttpClient::new(options)?, grants, clock })
    }

    fn request(&self, definition: &WebhookDefinition) -> Result<OutRequest, HttpError> {
        let pairs = definition.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut request = OutRequest::parse(definition.method.as_str(), &definition.url, pairs)?;
        if let Some(name) = request.headers.keys().find(|name| name.as_str().starts_with(OWN)) {
            return Err(HttpError::BadRequest(format!("header `{name}` is set by the host; leave it out")));
        }
        if !request.headers.contains_key(header::CONTENT_TYPE) {
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.timeouts = Timeouts { total: Some(definition.timeout()), ..Timeouts::default() };
        Ok(request)
    }

    /// What the endpoint asks for: seconds, or a date.
    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(at.saturating_sub(Duration::from_micros(self.clock.now().as_micros().unsigned_abs())))
    }
}

#[async_trait]
impl WebhookTransport for HttpWebhooks {
    fn check(&self, definition: &WebhookDefinition) -> Result<()> {
        let pairs = definition.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        parse_headers(pairs).map_err(|error| invalid("headers", error))?;
        self.request(definition).map_err(|error| invalid("headers", error))?;
        let url = Url::parse(&definition.url).map_err(|error| invalid("url", error))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(invalid("url", format!("'{url}' is not an http or https URL")));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "url",
                "it holds a user or password; send them in the `authorization` header",
            ));
        }
        let origin = url.origin().ascii_serialization();
        if self.grants.http(&http::Method::POST, &url).is_err() {
            return Err(invalid("url", not_allowed(&origin)));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            // Other names are judged by where they lead when a connection is made.
            Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }
            _ => return Ok(()),
        };
        let address = SocketAddr::new(address, url.port_or_known_default().unwrap_or_default());
        match self.grants.address(url.host_str().unwrap_or_default(), address) {
            Ok(()) => Ok(()),
            Err(denied) => Err(invalid("url", private(&origin, denied.fact.as_deref()))),
        }
    }

    async fn send(&self, message: Outgoing<'_>) -> Answer {
        let mut request = match self.request(message.definition) {
            Ok(request) => request,
            Err(error) => return Answer::Refused(error.to_string()),
        };
        for (name, value) in message.headers {
            let Ok(value) = HeaderValue::try_from(value) else {
                return Answer::Refused(format!("The value of the header `{name}` cannot be sent"));
            };
            request.headers.insert(HeaderName::from_static(name), value);
        }
        request.body = Bytes::copy_from_slice(message.body.as_bytes()).into();
        let limits = HttpLimits { requests: 1, request_bytes: u64::MAX, response_bytes: ANSWER_BYTES };
        let origin = Url::parse(&message.definition.url).map(|url| url.origin().ascii_serialization());
        let origin = origin.unwrap_or_default();
        match self.client.send(&self.grants, request, Arc::new(Budget::new(limits, None))).await {
            Ok(response) => {
                let status = response.status.as_u16();
                let retry_after = self.retry_after(&response.headers);
                discard(response.body).await;
                Answer::Status { status, retry_after }
            }
            // An answer all the same, as far as it can be told; but it may be another program that answers.
            Err(HttpError::Denied(_)) => Answer::Refused(not_allowed(&origin)),
            Err(HttpError::ProhibitedAddress(denied)) => {
                Answer::Refused(private(&origin, denied.fact.as_deref()))
            }
            Err(HttpError::BadRequest(problem)) => Answer::Refused(problem),
            Err(error) => Answer::Unreachable(error.to_string()),
        }
    }
}

fn not_allowed(origin: &str) -> String {
    format!("{origin} is not covered by `webhooks.http` of the host's configuration; the operator can add it")
}

fn private(origin: &str, fact: Option<&str>) -> String {
    let fact = fact.unwrap_or("the address may not be reached");
    format!("{origin}: {fact}; the operator can allow it with `webhooks.private_network`")
}

#[cfg(test)]
mod tests;
