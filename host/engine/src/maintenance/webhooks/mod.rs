//! Delivers webhooks from the log. The loop only knows which may have something to send; each of them is then worked on by
//! a task of its own ([`worker`]), one at a time and so many at once as there are places. A place is held for one batch, so
//! that a busy webhook and a slow endpoint leave the others theirs; after a failure a webhook holds none. Nothing is kept in
//! memory but names and positions: what is not delivered yet is in the log.

mod message;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{Seq, WebhookId};
use apflow_core::webhook::WebhookOptions;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::engine::Shared;

/// Webhooks that one look fetches.
const BATCH: u32 = 1_000;
/// Between two looks, so that events gather.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest sleep: other hosts may have gone, and may have made webhooks.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Where a webhook was found to have nothing to send, and since when nothing was written about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    /// Its cursor in the store.
    stored: Seq,
    /// Nothing for it lies between the two.
    end: Seq,
    since: Timestamp,
    /// When that was; what reads no clock of the database may read this one.
    at: Instant,
}

/// What a worker leaves behind.
type Left = Option<Looked>;

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let Some(options) = shared.options.webhooks.clone().filter(|options| options.max_concurrent > 0) else {
        return;
    };
    let mut stopping = shared.stopping();
    let mut newest = shared.events.watch();
    let mut desk = Desk {
        options,
        busy: HashMap::new(),
        looked: HashMap::new(),
        served: HashMap::new(),
        turn: 0,
        workers: JoinSet::new(),
    };
    while !*stopping.borrow() {
        let woken = shared.webhooks.notified();
        newest.borrow_and_update();
        let look = match desk.look(&shared).await {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(%error, "webhooks were not looked at; trying again");
                Look::default()
            }
        };
        let until = look.next.map_or(IDLE_LOOK, |next| next.since(shared.now()).min(IDLE_LOOK));
        tokio::select! {
            () = woken => {}
            () = sleep(until.max(PAUSE)) => {}
            Some(left) = desk.workers.join_next_with_id(), if !desk.workers.is_empty() => desk.put_down(left),
            changed = newest.changed(), if look.any => if changed.is_err() { break },
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        if !*stopping.borrow() {
            sleep(PAUSE).await;
        }
        while let Some(left) = desk.workers.try_join_next_with_id() {
            desk.put_down(left);
        }
    }
    // They stop after the message that they are sending; what is not recorded is sent again by whoever comes next.
    let ended = async { while desk.workers.join_next().await.is_some() {} };
    if timeout(shared.options.stop_grace, ended).await.is_err() {
        desk.workers.shutdown().await;
    }
}

#[derive(Default)]
struct Look {
    next: Option<Timestamp>,
    any: bool,
}

/// Who works on what.
struct Desk {
    options: WebhookOptions,
    /// Who is worked on, by the task that does it.
    busy: HashMap<task::Id, WebhookId>,
    looked: HashMap<WebhookId, Looked>,
    /// When each was last given a place: the first in the list of those who wait must not be the first for ever.
    served: HashMap<WebhookId, u64>,
    turn: u64,
    workers: JoinSet<Left>,
}

impl Desk {
    /// Gives places to webhooks that may have something to send.
    async fn look(&mut self, shared: &Arc<Shared>) -> Result<Look> {
        let places = self.options.max_concurrent as usize;
        let last = shared.store.last_seq().await?;
        let found = shared.store.due_webhooks(&shared.session(), last, shared.now(), BATCH).await?;
        let mut due = found.due;
        self.looked.retain(|id, _| due.contains(id));
        self.served.retain(|id, _| due.contains(id));
        due.sort_by_key(|id| self.served.get(id).copied().unwrap_or(0));
        let idle = |looked: &Looked| looked.end >= last && looked.at.elapsed() < IDLE_LOOK;
        for id in due {
            if self.workers.len() >= places {
                break;
            }
            if self.looked.get(&id).is_some_and(idle) || self.busy.values().any(|busy| *busy == id) {
                continue;
            }
            self.turn += 1;
            self.served.insert(id.clone(), self.turn);
            let looked = self.looked.get(&id).copied();
            let (shared, options) = (Arc::clone(shared), self.options.clone());
            let worked_on = id.clone();
            let worker = self.workers.spawn(async move {
                match worker::work(&shared, &options, &id, looked).await {
                    Ok(looked) => looked,
                    Err(error) => {
                        tracing::warn!(webhook = %id, %error, "a webhook was not delivered; trying again");
                        looked
                    }
                }
            });
            self.busy.insert(worker.id(), worked_on);
        }
        Ok(Look { next: found.next, any: found.any })
    }

    fn put_down(&mut self, left: Result<(task::Id, Left), JoinError>) {
        match left {
            Ok((worker, looked)) => {
                let Some(id) = self.busy.remove(&worker) else { return };
                match looked {
                    Some(looked) => self.looked.insert(id, looked),
                    None => self.looked.remove(&id),
                };
            }
            Err(error) => {
                let id = self.busy.remove(&error.id());
                tracing::error!(webhook = ?id, %error, "the delivery of a webhook broke off; trying again");
            }
        }
    }
}
