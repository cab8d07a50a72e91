//! Idle instances of a plugin that may serve another call, and who may have them. An instance that was cancelled,
//! trapped or broke a limit never comes back here.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use apflow_core::id::TreeId;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::call::Live;

/// Idle instances that are kept; each holds memory.
const IDLE: usize = 16;

/// Who may share an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody: every call has a fresh one.
    None,
    /// Tasks of one tree, up to this many calls.
    Tree {
        /// None means any number.
        reuse: Option<NonZeroU32>,
    },
    /// All calls, up to this many.
    All {
        /// None means any number.
        reuse: Option<NonZeroU32>,
    },
    /// All calls, one after the other, by the same instance.
    One,
}

/// Idle instances of one kind of one plugin.
#[derive(Debug)]
pub(crate) struct Pool {
    sharing: Sharing,
    idle: Mutex<VecDeque<(Option<TreeId>, Live)>>,
    one: Semaphore,
}

impl Pool {
    /// An empty pool.
    pub fn new(sharing: Sharing) -> Self {
        Self { sharing, idle: Mutex::default(), one: Semaphore::new(1) }
    }

    /// Waits for the turn of a call where calls go one after the other; the permit is held through the call.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.sharing == Sharing::One { self.one.acquire().await.ok() } else { None }
    }

    /// An idle instance that may serve a call in `tree`.
    pub fn take(&self, tree: Option<&TreeId>) -> Option<Live> {
        let mut idle = match self.sharing {
            Sharing::None => return None,
            _ => self.idle.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let fits = |of: &Option<TreeId>| !matches!(self.sharing, Sharing::Tree { .. }) || of.as_ref() == tree;
        // The one that has served most: while calls do not overlap it is always the same one, and what it remembers
        // is in one place.
        let places = idle.iter().enumerate().filter(|(_, (of, _))| fits(of));
        let (place, _) = places.max_by_key(|(_, (_, live))| live.calls)?;
        idle.remove(place).map(|(_, live)| live)
    }

    /// Drops all idle instances.
    pub fn clear(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }

    /// Keeps an instance that has served `tree` well, if it may serve again.
    pub fn give_back(&self, tree: Option<&TreeId>, live: Live) {
        let reuse = match self.sharing {
            Sharing::None => return,
            Sharing::One => None,
            Sharing::Tree { reuse } | Sharing::All { reuse } => reuse,
        };
        if reuse.is_some_and(|most| live.calls >= most.get()) {
            return;
        }
        let of = matches!(self.sharing, Sharing::Tree { .. }).then(|| tree.cloned()).flatten();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back((of, live));
        let oldest = if idle.len() > IDLE { idle.pop_front() } else { None };
        drop(idle);
        // Freeing memories takes a while and nobody should wait for it.
        drop(oldest);
    }
}
