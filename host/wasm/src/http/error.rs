//! Why there is no response, or no more of it. Texts name the server as scheme, host and port, never path or query, and
//! say what would help. Capabilities turn the variants into those of the contract.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::grants::Denied;

/// A request that did not succeed. An answer with an error status is a response, not this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No grant covers it.
    #[error("{0}")]
    Denied(Box<Denied>),
    /// The host is, or leads to, an address that may not be reached.
    #[error("{0}")]
    ProhibitedAddress(Box<Denied>),
    /// The time was up.
    #[error("{origin}: {phase} within {} ms", .after.as_millis())]
    Timeout {
        /// Scheme, host and port.
        origin: String,
        /// What did not happen in time.
        phase: Phase,
        /// The time there was.
        after: Duration,
    },
    /// Resolution, connection or TLS failed.
    #[error("{origin}: {problem}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// What failed.
        problem: String,
    },
    /// A body is larger than allowed.
    #[error("{origin}: the body of the {direction} is larger than {limit} bytes (limit `{}`)", .direction.limit_key())]
    TooLarge {
        /// Scheme, host and port.
        origin: String,
        /// Which body.
        direction: Direction,
        /// The limit in bytes.
        limit: u64,
    },
    /// The request is malformed.
    #[error("{0}")]
    BadRequest(String),
    /// Anything else.
    #[error("{message}")]
    Other {
        /// Stable.
        code: &'static str,
        /// One sentence.
        message: String,
    },
}

impl HttpError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Denied(denied) | Self::ProhibitedAddress(denied) => denied.code(),
            Self::Timeout { .. } => "http_timeout",
            Self::Connect { .. } => "http_connect",
            Self::TooLarge { .. } => "http_too_large",
            Self::BadRequest(_) => "http_bad_request",
            Self::Other { code, .. } => code,
        }
    }

    /// The same error, met when following a redirect from `origin`.
    pub(super) fn redirected_from(self, origin: &str) -> Self {
        match self {
            Self::Denied(denied) => Self::Denied(Box::new(denied.redirected_from(origin))),
            Self::ProhibitedAddress(denied) => {
                Self::ProhibitedAddress(Box::new(denied.redirected_from(origin)))
            }
            other => other,
        }
    }

    /// What hyper says about an exchange that broke.
    pub(super) fn broken(origin: &str, error: &(dyn Error + 'static)) -> Self {
        if let Some(inner) = sources(error).find_map(|source| source.downcast_ref::<Self>()) {
            return inner.clone();
        }
        let message = format!("{origin}: the exchange broke off: {}", root_cause(error));
        Self::Other { code: "http_broken", message }
    }
}

impl From<Denied> for HttpError {
    fn from(denied: Denied) -> Self {
        Self::Denied(Box::new(denied))
    }
}

/// What did not happen in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Resolution, connection and TLS.
    Connect,
    /// The response's headers.
    FirstByte,
    /// The next piece of the body.
    BetweenBytes,
    /// All of it.
    Total,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::FirstByte => "no response",
            Self::BetweenBytes => "nothing more of the body",
            Self::Total => "not finished",
        })
    }
}

/// Which body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What is sent.
    Request,
    /// What is received.
    Response,
}

impl Direction {
    const fn limit_key(self) -> &'static str {
        match self {
            Self::Request => "http_request_bytes",
            Self::Response => "http_response_bytes",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
        })
    }
}

/// `error` and everything behind it.
pub(super) fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The innermost error, which says most.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    sources(error).last().map(ToString::to_string).unwrap_or_default()
}
