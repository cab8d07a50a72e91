//! Talks with the other hosts of the database: tells them of work that this one does not take, of runs whose tokens were
//! revoked and of executions that ended, and hears the same from them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apflow_core::id::{TaskKey, Token, TreeKey};
use apflow_core::store::{PeerWord, TreeEnd};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::engine::Shared;

/// Words are sent this often at most: one wakes whoever sleeps, and who is awake needs none.
const PAUSE: Duration = Duration::from_millis(20);
/// The wait after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be told.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bell: Notify,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    work: bool,
    revoked: Vec<(TaskKey, Token)>,
    ended: Vec<TreeKey>,
}

impl Outbox {
    /// There may be tasks that this host does not take.
    pub(crate) fn work(&self) {
        self.change(|waiting| waiting.work = true);
    }

    /// Runs that are not here have lost their tokens.
    pub(crate) fn revoked(&self, runs: &[(TaskKey, Token)]) {
        if !runs.is_empty() {
            self.change(|waiting| waiting.revoked.extend_from_slice(runs));
        }
    }

    /// Executions have ended, which somebody may wait for at another host.
    pub(crate) fn ended(&self, ends: &[TreeEnd]) {
        if !ends.is_empty() {
            self.change(|waiting| waiting.ended.extend(ends.iter().map(|end| end.tree)));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }

    fn take(&self) -> Vec<PeerWord> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let revoked = (!waiting.revoked.is_empty()).then_some(PeerWord::Revoked(waiting.revoked));
        let ended = (!waiting.ended.is_empty()).then_some(PeerWord::Ended(waiting.ended));
        revoked.into_iter().chain(waiting.work.then_some(PeerWord::Work)).chain(ended).collect()
    }
}

/// Tells until the engine stops.
pub(crate) async fn tell(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    loop {
        tokio::select! {
            () = shared.outbox.bell.notified() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        for word in shared.outbox.take() {
            if let Err(error) = shared.store.tell_peers(&shared.options.node, &word).await {
                tracing::debug!(%error, "other hosts were not told; they find out by looking");
            }
        }
        if timeout(PAUSE, stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}

/// Hears until the engine stops.
pub(crate) async fn hear(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    loop {
        let heard = tokio::select! {
            heard = shared.store.hear_peers() => heard,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match heard {
            Ok((from, _)) if from == shared.options.node => {}
            Ok((_, PeerWord::Work)) => shared.work_appeared(),
            Ok((_, PeerWord::Ended(trees))) => shared.events.ended_elsewhere(&trees),
            Ok((_, PeerWord::Revoked(runs))) => {
                for (key, token) in runs {
                    shared.runs.interrupt(key, token);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "other hosts cannot be heard; looking instead");
                if timeout(AGAIN, stopping.wait_for(|stop| *stop)).await.is_ok() {
                    return;
                }
            }
        }
    }
}
