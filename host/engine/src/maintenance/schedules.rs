//! Executes trees when their schedules say so. The loop only knows when to ask: it sleeps until the earliest due time, and
//! what becomes of that is decided by the core inside the store's transaction. So any number of hosts may ask, a host may
//! die at any moment, and a due time is still handled once; those that passed meanwhile are there at the first look.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::TaskId;
use apflow_core::store::Fired;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::engine::{Engine, Shared};

/// Due times that one look fetches.
const BATCH: u32 = 100;
/// The longest sleep, so that schedules of other hosts and a clock that was set are seen.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Wakes the loop.
#[derive(Debug, Default)]
pub(crate) struct ScheduleBell {
    bell: Notify,
    /// Whether due times wait for the end of an execution.
    waiting: AtomicBool,
}

impl ScheduleBell {
    /// A schedule has changed, or the clock.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Executions have ended.
    pub(crate) fn executions_ended(&self) {
        if self.waiting.load(Ordering::Acquire) {
            self.ring();
        }
    }
}

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    if !shared.options.schedules {
        return;
    }
    let mut stopping = shared.stopping();
    while !*stopping.borrow() {
        // Registered before looking, so that what changes in between wakes us.
        let woken = shared.schedules.bell.notified();
        let next = match tick(&shared).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "schedules were not looked at; trying again");
                None
            }
        };
        let until = next.map_or(IDLE_LOOK, |next| next.since(shared.now()).min(IDLE_LOOK));
        tokio::select! {
            () = woken => {}
            () = sleep(until.max(Duration::from_millis(1))) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }
}

/// One look: handles what is due and gives the next due time.
async fn tick(shared: &Arc<Shared>) -> Result<Option<Timestamp>> {
    loop {
        let now = shared.now();
        // Until it is known otherwise something waits, so that an execution that ends during the look rings.
        shared.schedules.waiting.store(true, Ordering::Release);
        let found = shared.store.due_schedules(now, BATCH).await?;
        shared.schedules.waiting.store(found.waiting, Ordering::Release);
        let mut went_on = false;
        for (task, due) in found.due {
            if *shared.stopping().borrow() {
                return Ok(None);
            }
            went_on |= fire(shared, &task, due, now).await;
        }
        if !went_on {
            return Ok(found.next);
        }
    }
}

/// Handles one due time; gives whether its schedule has gone on. One that cannot be handled does not stop the others.
async fn fire(shared: &Arc<Shared>, task: &TaskId, due: Timestamp, now: Timestamp) -> bool {
    match shared.store.fire_schedule(task, due, now).await {
        Ok(Fired::Started { tree_id, execution, .. }) => {
            tracing::info!(%task, %due, execution, "a tree is executed because of its schedule");
            shared.events.written(Vec::new());
            Engine(Arc::clone(shared)).started(&tree_id);
            true
        }
        Ok(Fired::Passed) => {
            tracing::info!(%task, %due, "a due time was skipped or missed");
            true
        }
        Ok(Fired::Waiting) => {
            shared.schedules.waiting.store(true, Ordering::Release);
            false
        }
        Ok(Fired::Stale) => false,
        Err(error) => {
            tracing::error!(%task, %due, %error, "a due time could not be handled; trying again");
            false
        }
    }
}
