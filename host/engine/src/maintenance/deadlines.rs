//! Ends executions that have run out of time. The loop only knows when to ask: which they are is decided by the store, for
//! whoever asks first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::engine::Shared;
use crate::usecase::cancel::{cancel_children, withdrawn};

/// The longest sleep, so that what other hosts start and a clock that was set are seen.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    while !*stopping.borrow() {
        // Registered before looking, so that what begins in between wakes us.
        let woken = shared.deadlines.notified();
        let wait = tick(&shared).await;
        tokio::select! {
            () = woken => {}
            () = sleep(wait.max(Duration::from_millis(1))) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }
}

/// One look; gives the time to the next.
async fn tick(shared: &Arc<Shared>) -> Duration {
    let now = shared.now();
    match shared.store.expire(now).await {
        Ok(expiration) => {
            for end in &expiration.ended {
                tracing::warn!(tree = %end.tree_id, execution = end.execution, "an execution has run out of time (deadline_ms)");
            }
            if !expiration.ended.is_empty() {
                let runs = expiration.interrupted.iter().map(|(key, _)| *key).collect();
                withdrawn(shared, expiration.interrupted, expiration.ended);
                if let Err(error) = cancel_children(shared, runs).await {
                    tracing::warn!(%error, "child trees of executions that ran out of time were not cancelled");
                }
            }
            expiration.next.map_or(IDLE_LOOK, |next| next.since(now).min(IDLE_LOOK))
        }
        Err(error) => {
            tracing::warn!(%error, "deadlines were not looked at; trying again");
            IDLE_LOOK
        }
    }
}
