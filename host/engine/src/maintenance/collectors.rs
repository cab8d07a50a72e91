//! Feeds collectors from the event log: in batches, at least once, from a durable cursor, and never on the way of a
//! task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::Seq;
use apflow_core::plugin::Collector;
use apflow_core::store::EventQuery;
use tokio::time::timeout;

use crate::engine::Shared;

/// Events in one batch.
const BATCH: u32 = 1000;
/// Between two looks, so that batches gather.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two signs of life of a collector that has nothing to do.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// What is measured.
const KINDS: &[EventKind] = &[
    EventKind::TaskCompleted,
    EventKind::TaskFailed,
    EventKind::TaskCancelled,
    EventKind::TaskRetrying,
    EventKind::TreeCompleted,
    EventKind::TreeFailed,
    EventKind::TreeCancelled,
];

/// Runs until the engine stops; what was not delivered then is delivered after the next start.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    let mut newest = shared.events.watch();
    let mut cursors: HashMap<String, (Seq, Timestamp)> = HashMap::new();
    loop {
        newest.borrow_and_update();
        let mut behind = false;
        for collector in &shared.catalog().collectors {
            match deliver(&shared, collector.as_ref(), &mut cursors).await {
                Ok(all) => behind |= !all,
                Err(error) => {
                    tracing::warn!(collector = collector.name(), %error, "events were not delivered; they come again");
                    behind = true;
                }
            }
        }
        let pause = timeout(PAUSE, stopping.wait_for(|stop| *stop));
        if pause.await.is_ok() {
            return;
        }
        if behind {
            continue;
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Delivers what there is; gives whether all of it was taken.
async fn deliver(
    shared: &Shared,
    collector: &dyn Collector,
    cursors: &mut HashMap<String, (Seq, Timestamp)>,
) -> Result<bool> {
    let name = collector.name();
    let mut after = match cursors.get(name) {
        Some((seq, _)) => *seq,
        None => shared.store.cursor(name).await?.unwrap_or_default(),
    };
    loop {
        let query = EventQuery { after, kinds: KINDS.to_vec(), limit: BATCH, ..EventQuery::default() };
        let batch = match shared.store.events(query).await {
            Err(error) if error.code == ErrorCode::EventsExpired => {
                // It was not heard of for too long; what is gone cannot come any more.
                tracing::error!(collector = name, %error, "events were removed before they were delivered");
                after = shared.store.log_start().await?;
                continue;
            }
            batch => batch?,
        };
        let Some(last) = batch.last().map(|event| event.seq) else {
            return said_alive(shared, name, after, cursors).await.map(|()| true);
        };
        let full = batch.len() >= BATCH as usize;
        if let Err(error) = collector.collect(batch).await {
            tracing::warn!(collector = name, %error, "the collector refused a batch; it comes again");
            return Ok(false);
        }
        let now = shared.now();
        shared.store.set_cursor(name, last, now).await?;
        after = last;
        cursors.insert(name.to_owned(), (last, now));
        if !full {
            return Ok(true);
        }
    }
}

/// Writes the cursor from time to time although there was nothing to deliver: the log is held for those who are heard of,
/// and not for events that are none of their concern.
async fn said_alive(
    shared: &Shared,
    name: &str,
    after: Seq,
    cursors: &mut HashMap<String, (Seq, Timestamp)>,
) -> Result<()> {
    let now = shared.now();
    if cursors.get(name).is_some_and(|(_, written)| now.since(*written) < SIGN_OF_LIFE) {
        return Ok(());
    }
    // Up to here nothing was found before this was read, but something may have come since.
    let end = shared.store.last_seq().await?;
    let query = EventQuery { after, kinds: KINDS.to_vec(), limit: 1, ..EventQuery::default() };
    let next = shared.store.events(query).await?.first().map(|event| Seq(event.seq.0 - 1));
    let seq = next.unwrap_or(end).min(end).max(after);
    shared.store.set_cursor(name, seq, now).await?;
    cursors.insert(name.to_owned(), (seq, now));
    Ok(())
}
