//! The runs of this node: how many there are, and how to interrupt one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use apflow_core::id::{TaskKey, Token};
use tokio::task::AbortHandle;

#[derive(Debug, Default)]
struct Table {
    active: HashMap<TaskKey, (Token, AbortHandle)>,
    /// Claims whose token was revoked before their run was registered, or after it ended and before it was recorded; with
    /// the number of the turn that was under way. Runs of other hosts are among them, so none is kept for longer than it
    /// can matter: a claim that somebody could revoke was committed by that turn at the latest.
    revoked: HashMap<(TaskKey, Token), u64>,
    turn: u64,
}

/// Holds every run from its claim to its end.
#[derive(Debug)]
pub(crate) struct Runs {
    limit: u32,
    table: Mutex<Table>,
    waiting: AtomicU32,
}

/// A run that waits for child tasks; until it is dropped, another one may have its slot.
#[derive(Debug)]
pub(crate) struct Waiting<'r>(&'r Runs);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Runs {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, table: Mutex::default(), waiting: AtomicU32::new(0) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more may start.
    pub(crate) fn free(&self) -> u32 {
        let waiting = self.waiting.load(Ordering::Acquire);
        self.limit.saturating_sub(self.active().saturating_sub(waiting))
    }

    /// A run holds no slot while it waits. When it goes on there may be more runs than slots, for a while: to wait for a slot
    /// then could be to wait for oneself.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self)
    }

    pub(crate) fn active(&self) -> u32 {
        u32::try_from(self.table().active.len()).unwrap_or(u32::MAX)
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    /// Starts a run under the table's lock, so that it cannot end before it is known. Does nothing if its token has
    /// been revoked since the claim.
    pub(crate) fn start(&self, key: TaskKey, token: Token, spawn: impl FnOnce() -> AbortHandle) {
        let mut table = self.table();
        if table.revoked.remove(&(key, token)).is_none() {
            let handle = spawn();
            table.active.insert(key, (token, handle));
        }
    }

    /// The run has ended by itself.
    pub(crate) fn ended(&self, key: TaskKey, token: Token) {
        let mut table = self.table();
        if table.active.get(&key).is_some_and(|(held, _)| *held == token) {
            table.active.remove(&key);
        }
    }

    /// The turn that should have recorded the run refused it.
    pub(crate) fn lost(&self, key: TaskKey, token: Token) {
        self.table().revoked.remove(&(key, token));
    }

    /// Stops a run whose token was revoked.
    pub(crate) fn interrupt(&self, key: TaskKey, token: Token) {
        let mut table = self.table();
        match table.active.get(&key) {
            Some((held, _)) if *held == token => {
                if let Some((_, handle)) = table.active.remove(&key) {
                    handle.abort();
                }
            }
            _ => {
                let turn = table.turn;
                table.revoked.insert((key, token), turn);
            }
        }
    }

    /// A turn has ended, and what it claimed has been started.
    pub(crate) fn turn_ended(&self) {
        let mut table = self.table();
        let ended = table.turn;
        table.revoked.retain(|_, turn| *turn == ended);
        table.turn += 1;
    }

    pub(crate) fn abort_all(&self) {
        for (_, (_, handle)) in self.table().active.drain() {
            handle.abort();
        }
    }
}
