//! What runs hand over and the next turn takes: finished runs, and the newest progress of each run.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apflow_core::id::{TaskKey, Token};
use apflow_core::store::{FinishedRun, ProgressReport};

/// What one turn takes.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) finished: Vec<FinishedRun>,
    progress: HashMap<(TaskKey, Token), ProgressReport>,
}

impl Contents {
    /// The progress reports in the order of tasks.
    pub(crate) fn take_progress(&mut self) -> Vec<ProgressReport> {
        let mut list: Vec<_> = std::mem::take(&mut self.progress).into_values().collect();
        list.sort_by_key(|report| report.key);
        list
    }
}

/// Filled by runs, emptied by the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<Contents>);

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn finished(&self, run: FinishedRun) {
        self.lock().finished.push(run);
    }

    pub(crate) fn progress(&self, report: ProgressReport) {
        self.lock().progress.insert((report.key, report.token), report);
    }

    /// Takes at most `max` finished runs, and all progress.
    pub(crate) fn take(&self, max: usize) -> Contents {
        let mut inside = self.lock();
        if inside.finished.len() <= max {
            return std::mem::take(&mut inside);
        }
        let rest = inside.finished.split_off(max);
        Contents {
            finished: std::mem::replace(&mut inside.finished, rest),
            progress: std::mem::take(&mut inside.progress),
        }
    }

    /// Puts back what a failed turn had taken, before everything else.
    pub(crate) fn put_back(&self, mut finished: Vec<FinishedRun>) {
        let mut inside = self.lock();
        finished.append(&mut inside.finished);
        inside.finished = finished;
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Contents::default();
    }

    pub(crate) fn has_finished(&self) -> bool {
        !self.lock().finished.is_empty()
    }

    pub(crate) fn has_progress(&self) -> bool {
        !self.lock().progress.is_empty()
    }
}
