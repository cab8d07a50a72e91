//! `cancel`: asks the core which tasks a cancellation takes, and takes them, armed or not.

use std::collections::BTreeMap;

use apflow_core::error::{FailureKind, Result, TaskError};
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TaskKey, Token, TreeKey};
use apflow_core::plan;
use apflow_core::store::{CancelRequest, CancelResult, Cancellation};
use apflow_core::task::{Attempt, TreeStatus};
use apflow_core::transition::Change;
use serde_json::json;

use super::log::TaskNote;
use super::rows::{Place, State};
use super::transaction::{Settled, Transaction};

pub(super) fn cancel(state: &mut State, request: &CancelRequest) -> Result<Cancellation> {
    let results = request.tasks.iter().map(|id| (id.clone(), verdict(state, id))).collect();
    let mut named: BTreeMap<TreeKey, Vec<TaskKey>> = BTreeMap::new();
    for key in request.tasks.iter().filter_map(|id| state.task_keys.get(id)) {
        named.entry(state.tasks[*key].tree).or_default().push(*key);
    }
    let error = TaskError::new(FailureKind::Cancelled, "cancelled", &*request.message);
    let mut work = Transaction::new(state, request.now);
    let mut interrupted = Vec::new();
    for (tree, targets) in named {
        for key in plan::cancellation(&work.state.skeleton(tree), &targets, request.cascade) {
            interrupted.extend(work.withdraw(key, Settled::Cancelled, &error)?.map(|token| (key, token)));
        }
        work.follow();
    }
    Ok(Cancellation { results, interrupted, ended: work.ended, touched: work.touched.into_iter().collect() })
}

/// What becomes of a named task, as it stands before the request.
fn verdict(state: &State, id: &TaskId) -> CancelResult {
    match state.task_keys.get(id).map(|key| state.tasks[*key].status) {
        None => CancelResult::NotFound,
        Some(status) if status.is_terminal() => CancelResult::Finished(status),
        Some(_) => CancelResult::Cancelled,
    }
}

impl Transaction<'_> {
    /// Ends a task that has not finished, cancelled or failed; gives the token of its run if there is one.
    pub(super) fn withdraw(
        &mut self,
        key: TaskKey,
        how: Settled,
        error: &TaskError,
    ) -> Result<Option<Token>> {
        let (change, kind) = match how {
            Settled::Failed => (Change::Expire, EventKind::TaskFailed),
            Settled::Cancelled | Settled::Completed => (Change::Cancel, EventKind::TaskCancelled),
        };
        self.state.tasks[key].change(change)?;
        let place = self.state.move_to(key, Place::Idle);
        let row = &mut self.state.tasks[key];
        let hold = place.hold();
        if hold.is_none() && (row.attempt > 0 || !row.history.is_empty()) {
            // The entry needs a number of its own, the newest one belongs to an attempt or to an earlier entry.
            row.attempt += 1;
        }
        let (attempt, started_at) = (row.attempt, hold.map(|hold| hold.started_at));
        row.history.push(Attempt {
            attempt,
            status: row.status,
            node: hold.map(|hold| hold.node.clone()),
            started_at,
            completed_at: self.now,
            result: None,
            error: Some(error.clone()),
            inputs: None,
            receipt: None,
        });
        let token = hold.map(|_| row.token);
        let data = Some(json!({"error": error}).into());
        self.note_task(key, TaskNote { kind, attempt, started_at, data });
        if place.is_armed() {
            self.settle(key, how);
        } else if matches!(place, Place::Blocked(_)) {
            self.unblock(key);
        }
        Ok(token)
    }

    /// A blocked task that is cancelled no longer counts as failed in an execution that is under way.
    fn unblock(&mut self, key: TaskKey) {
        let tree = &mut self.state.trees[self.state.tasks[key].tree];
        if tree.status == TreeStatus::InProgress {
            tree.failed -= 1;
            tree.cancelled += 1;
        }
    }
}
