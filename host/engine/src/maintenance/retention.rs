//! Removes the oldest events from the log, a few at a time, so that no turn waits long. Any number of hosts may do it on one
//! database: how far it goes is decided by the core inside the store's transaction.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::Result;
use apflow_core::retention::DAY;
use tokio::time::timeout;

use crate::engine::Shared;

/// Events that one transaction removes at most.
const BATCH: u32 = 1_000;
/// Between two transactions, for whoever else wants to write.
const BREATH: Duration = Duration::from_millis(20);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// How long dead letters of an execution that has ended wait for somebody.
const ENDED_WEBHOOKS: Duration = DAY.saturating_mul(30);

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    loop {
        let pause = match tick(&shared).await {
            Ok(true) => BREATH,
            Ok(false) => LOOK,
            Err(error) => {
                tracing::warn!(%error, "old events were not removed; trying again");
                LOOK
            }
        };
        if timeout(pause, stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}

/// One look; gives whether there may be more to remove.
async fn tick(shared: &Shared) -> Result<bool> {
    let now = shared.now();
    let Some(request) = shared.options.retention.request(now, BATCH) else { return Ok(false) };
    let trimmed = shared.store.trim_events(request).await?;
    if trimmed.removed > 0 {
        tracing::debug!(removed = trimmed.removed, log_start = %trimmed.start, "old events were removed");
        return Ok(true);
    }
    shared.store.purge_webhooks(now.minus(ENDED_WEBHOOKS)).await?;
    Ok(false)
}
