//! Feeds collectors from the event log: in batches, at least once, from a durable cursor, and never on the way of a
//! task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::Result;
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
    let mut cursors: HashMap<String, Seq> = HashMap::new();
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
    cursors: &mut HashMap<String, Seq>,
) -> Result<bool> {
    let name = collector.name();
    let mut after = match cursors.get(name) {
        Some(seq) => *seq,
        None => shared.store.cursor(name).await?.unwrap_or_default(),
    };
    loop {
        let query = EventQuery { after, tree: None, kinds: KINDS.to_vec(), limit: BATCH };
        let batch = shared.store.events(query).await?;
        let Some(last) = batch.last().map(|event| event.seq) else { return Ok(true) };
        let full = batch.len() >= BATCH as usize;
        if let Err(error) = collector.collect(batch).await {
            tracing::warn!(collector = name, %error, "the collector refused a batch; it comes again");
            return Ok(false);
        }
        shared.store.set_cursor(name, last).await?;
        after = last;
        cursors.insert(name.to_owned(), last);
        if !full {
            return Ok(true);
        }
    }
}
