//! How many event streams are open: each holds a place for as long as its client listens, and the places are limited.

use std::sync::Arc;

use apflow_core::error::{Error, ErrorCode, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for event streams.
#[derive(Debug, Clone)]
pub(crate) struct Subscriptions {
    places: Arc<Semaphore>,
    limit: usize,
}

impl Subscriptions {
    pub(crate) fn new(limit: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(limit)), limit }
    }

    /// A place; dropping it frees it.
    ///
    /// # Errors
    /// `LimitExceeded` if all are taken.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorCode::LimitExceeded,
                format!("All {} places for event streams are taken (server.max_streams)", self.limit),
            )
            .with("limit", self.limit)
            .with("retryable", true)
        })
    }

    /// How many are taken.
    pub(crate) fn open(&self) -> usize {
        self.limit - self.places.available_permits()
    }
}
