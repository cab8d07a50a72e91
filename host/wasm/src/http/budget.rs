//! What one call of a plugin may still send and receive over HTTP, and what it has: the limits, the counters of the
//! receipt, and the servers contacted. Shared by all requests and bodies of the call.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::HttpError;
use crate::limits::Limits;

/// The limits that concern HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests of the call, redirects included.
    pub requests: u32,
    /// Bytes of each request's body.
    pub request_bytes: u64,
    /// Bytes of each response's body.
    pub response_bytes: u64,
}

impl From<&Limits> for HttpLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            requests: limits.http_requests,
            request_bytes: limits.http_request_bytes,
            response_bytes: limits.http_response_bytes,
        }
    }
}

/// The budget of one call.
#[derive(Debug)]
pub struct Budget {
    pub(super) limits: HttpLimits,
    deadline: Option<Instant>,
    requests: AtomicU32,
    sent: AtomicU64,
    received: AtomicU64,
    contacted: Mutex<BTreeSet<String>>,
}

impl Budget {
    /// A full budget. Nothing outlasts `deadline`, the end of the call.
    pub fn new(limits: HttpLimits, deadline: Option<Instant>) -> Self {
        Self {
            limits,
            deadline,
            requests: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            contacted: Mutex::default(),
        }
    }

    /// Requests that were begun, redirects included.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed).min(self.limits.requests)
    }

    /// Bytes of request bodies so far.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of response bodies so far.
    pub fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// `host:port` of every server that a connection was used to, sorted.
    pub fn contacted(&self) -> Vec<String> {
        self.contacted.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Counts a request, or refuses it.
    pub(super) fn begin_request(&self) -> Result<(), HttpError> {
        let limit = self.limits.requests;
        let next = |count: u32| (count < limit).then_some(count + 1);
        match self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(()),
            Err(_) => Err(HttpError::Other {
                code: "http_requests_limit",
                message: format!(
                    "the call has sent {limit} requests, the most it may (limit `http_requests`)"
                ),
            }),
        }
    }

    /// When a request that may take `timeout` must be done, and how long that is; none where nothing limits it.
    pub(super) fn deadline(&self, timeout: Option<Duration>) -> Option<Deadline> {
        let now = Instant::now();
        let own = timeout.map(|after| Deadline { at: now + after, after });
        let call = self.deadline.map(|at| Deadline { at, after: at.saturating_duration_since(now) });
        own.into_iter().chain(call).min_by_key(|deadline| deadline.at)
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn record_contact(&self, peer: &str) {
        let mut contacted = self.contacted.lock().unwrap_or_else(PoisonError::into_inner);
        if !contacted.contains(peer) {
            contacted.insert(peer.to_owned());
        }
    }
}

/// The end of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub at: Instant,
    /// How long that was when the request began.
    pub after: Duration,
}
