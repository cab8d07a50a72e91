//! The worker of one collector: reads batches after the cursor, hands them over, and moves the cursor when they are taken.
//! A collector that fails is left alone for longer and longer.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode};
use apflow_core::id::Seq;
use apflow_core::plugin::Collector;
use apflow_core::store::EventQuery;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::timeout;

use super::KINDS;
use crate::engine::Shared;

/// Events in one batch.
const BATCH: u32 = 1000;
/// Between two looks, so that batches gather.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks whether the collector is still there.
const LOOK: Duration = Duration::from_secs(1);
/// Between two signs of life of a collector that has nothing to do.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// The wait after a failure; doubled up to the longest, with up to as much again by chance.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Runs until the engine stops or the collector is gone.
pub(super) async fn run(shared: Arc<Shared>, name: String) {
    let mut stopping = shared.stopping();
    let mut newest = shared.events.watch();
    let mut feed = Feed { shared: Arc::clone(&shared), name: name.clone(), cursor: None, written: None };
    let mut waits = waits();
    while !*stopping.borrow() {
        newest.borrow_and_update();
        let catalog = shared.catalog();
        let Some(collector) = catalog.collectors.iter().find(|one| one.name() == name) else { break };
        let pause = match feed.deliver(collector.as_ref()).await {
            Ok(()) => {
                shared.collectors.succeeded(&name);
                waits = self::waits();
                PAUSE
            }
            Err(error) => {
                let wait = waits.next().unwrap_or(LONGEST_WAIT);
                tracing::warn!(collector = name, %error, ?wait, "events were not delivered; they come again");
                shared.collectors.failed(&name, error, shared.now().plus(wait));
                wait
            }
        };
        drop(catalog);
        if timeout(pause, stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        if pause > PAUSE {
            continue;
        }
        tokio::select! {
            _ = timeout(LOOK, newest.changed()) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
    shared.collectors.succeeded(&name);
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}

struct Feed {
    shared: Arc<Shared>,
    name: String,
    /// What is delivered, once it is known.
    cursor: Option<Seq>,
    /// When the cursor was last written.
    written: Option<Timestamp>,
}

impl Feed {
    /// Delivers all there is. The error is a sentence.
    async fn deliver(&mut self, collector: &dyn Collector) -> Result<(), String> {
        let said = |error: Error| error.to_string();
        let store = Arc::clone(&self.shared.store);
        let mut after = match self.cursor {
            Some(cursor) => cursor,
            None => store.cursor(&self.name).await.map_err(said)?.unwrap_or_default(),
        };
        let stopping = self.shared.stopping();
        loop {
            let query = EventQuery { after, kinds: KINDS.to_vec(), limit: BATCH, ..EventQuery::default() };
            let batch = match store.events(query).await {
                Err(error) if error.code == ErrorCode::EventsExpired => {
                    // It was not heard of for too long; what is gone cannot come any more.
                    tracing::error!(collector = self.name, %error, "events were removed before they were delivered");
                    after = store.log_start().await.map_err(said)?;
                    continue;
                }
                batch => batch.map_err(said)?,
            };
            let Some(last) = batch.last().map(|event| event.seq) else {
                return self.say_alive(after).await.map_err(said);
            };
            let full = batch.len() >= BATCH as usize;
            collector.collect(batch).await.map_err(|error| format!("{}: {}", error.code, error.message))?;
            self.keep(last).await.map_err(said)?;
            after = last;
            if !full || *stopping.borrow() {
                return Ok(());
            }
        }
    }

    async fn keep(&mut self, cursor: Seq) -> Result<(), Error> {
        let now = self.shared.now();
        self.shared.store.set_cursor(&self.name, cursor, now).await?;
        (self.cursor, self.written) = (Some(cursor), Some(now));
        Ok(())
    }

    /// Writes the cursor from time to time although there was nothing to deliver: the log is held for those who are heard
    /// of, and not for events that are none of their concern.
    async fn say_alive(&mut self, after: Seq) -> Result<(), Error> {
        let now = self.shared.now();
        if self.written.is_some_and(|written| now.since(written) < SIGN_OF_LIFE) {
            return Ok(());
        }
        // Up to here nothing was found before this was read, but something may have come since.
        let store = Arc::clone(&self.shared.store);
        let end = store.last_seq().await?;
        let query = EventQuery { after, kinds: KINDS.to_vec(), limit: 1, ..EventQuery::default() };
        let next = store.events(query).await?.first().map(|event| Seq(event.seq.0 - 1));
        self.keep(next.unwrap_or(end).min(end).max(after)).await
    }
}
