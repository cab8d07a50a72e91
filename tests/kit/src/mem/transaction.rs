//! What the verbs that run tasks share: events, the end of a task and what follows from it for its dependents and for
//! its tree. A [`Transaction`] lives for one verb and collects what the verb answers.

use std::collections::BTreeSet;
use std::mem;

use apflow_core::clock::Timestamp;
use apflow_core::event::EventKind;
use apflow_core::id::{TaskKey, TreeKey};
use apflow_core::json::Json;
use apflow_core::store::TreeEnd;
use apflow_core::task::TreeStatus;
use serde_json::json;

use super::log::TaskNote;
use super::rows::{Place, State};
use super::schedules;

/// How an armed task came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Completed,
    Failed,
    Cancelled,
}

/// One verb at work.
pub(super) struct Transaction<'a> {
    pub state: &'a mut State,
    pub now: Timestamp,
    pub touched: BTreeSet<TreeKey>,
    pub ended: Vec<TreeEnd>,
    settled: Vec<(TaskKey, Settled)>,
    /// Trees whose last open task has gone.
    drained: Vec<TreeKey>,
}

impl<'a> Transaction<'a> {
    pub fn new(state: &'a mut State, now: Timestamp) -> Self {
        let (touched, ended, settled, drained) = Default::default();
        Self { state, now, touched, ended, settled, drained }
    }

    pub fn note_tree(&mut self, tree: TreeKey, kind: EventKind, data: Option<Json>) {
        self.touched.insert(tree);
        self.state.log.append_tree(&self.state.trees[tree], kind, data, self.now);
    }

    pub fn note_task(&mut self, key: TaskKey, note: TaskNote) {
        let task = &self.state.tasks[key];
        self.touched.insert(task.tree);
        self.state.log.append_task(&self.state.trees[task.tree], task, note, self.now);
    }

    /// Takes an armed task out of the execution; [`Self::follow`] then does what follows from it.
    pub fn settle(&mut self, key: TaskKey, how: Settled) {
        let tree = &mut self.state.trees[self.state.tasks[key].tree];
        match how {
            Settled::Completed => {}
            Settled::Failed => tree.failed += 1,
            Settled::Cancelled => tree.cancelled += 1,
        }
        self.close_one(self.state.tasks[key].tree);
        self.settled.push((key, how));
    }

    fn close_one(&mut self, key: TreeKey) {
        let tree = &mut self.state.trees[key];
        tree.open -= 1;
        if tree.open == 0 {
            self.drained.push(key);
        }
    }

    /// Blocks and releases whoever depends on what was settled, and ends executions. Blocking comes first: a task that
    /// waits for one that completed and one that failed does not run.
    pub fn follow(&mut self) {
        let settled = mem::take(&mut self.settled);
        let mut gone = Vec::new();
        let mut done = Vec::new();
        for (key, how) in settled {
            match how {
                Settled::Completed => done.push(key),
                Settled::Failed | Settled::Cancelled => gone.push((key, key)),
            }
        }
        self.block_behind(&mut gone);
        for key in done {
            self.release(key, |_| true);
        }
        for (key, _) in gone {
            self.release(key, |required| !required);
        }
        for tree in mem::take(&mut self.drained) {
            self.end(tree);
        }
    }

    /// Blocks the waiting tasks that require one of `gone` (task, cause) in any number of steps, and adds them to it.
    fn block_behind(&mut self, gone: &mut Vec<(TaskKey, TaskKey)>) {
        let first = gone.len();
        let mut at = 0;
        while let Some(&(key, cause)) = gone.get(at) {
            at += 1;
            for i in 0..self.state.tasks[key].dependents.len() {
                let (dependent, required) = self.state.tasks[key].dependents[i];
                if required && matches!(self.state.tasks[dependent].place, Place::Waiting(_)) {
                    self.state.move_to(dependent, Place::Blocked(cause));
                    let tree = self.state.tasks[dependent].tree;
                    self.state.trees[tree].failed += 1;
                    self.close_one(tree);
                    gone.push((dependent, cause));
                }
            }
        }
        let mut blocked = gone[first..].to_vec();
        blocked.sort_unstable();
        for (key, cause) in blocked {
            self.note_blocked(key, cause);
        }
    }

    pub fn note_blocked(&mut self, key: TaskKey, cause: TaskKey) {
        let data = json!({"blocked_by": self.state.tasks[cause].id});
        let attempt = self.state.tasks[key].attempt;
        let note =
            TaskNote { kind: EventKind::TaskBlocked, attempt, started_at: None, data: Some(data.into()) };
        self.note_task(key, note);
    }

    /// Counts a settled task off at the waiting tasks that depend on it in the way that `which` says.
    fn release(&mut self, key: TaskKey, which: impl Fn(bool) -> bool) {
        for i in 0..self.state.tasks[key].dependents.len() {
            let (dependent, required) = self.state.tasks[key].dependents[i];
            let Place::Waiting(count) = self.state.tasks[dependent].place else { continue };
            if !which(required) {
                continue;
            }
            let place = match count {
                0 | 1 => Place::Ready(self.armed_at(dependent)),
                more => Place::Waiting(more - 1),
            };
            self.state.move_to(dependent, place);
        }
    }

    /// When the execution armed the task: its place in the queue, however late it becomes ready.
    pub fn armed_at(&self, key: TaskKey) -> Timestamp {
        self.state.trees[self.state.tasks[key].tree].started_at.unwrap_or(self.now)
    }

    fn end(&mut self, key: TreeKey) {
        let tree = &mut self.state.trees[key];
        let status = TreeStatus::at_end(tree.failed, tree.cancelled);
        tree.status = status;
        tree.ended_at = Some(self.now);
        let (root, execution) = (tree.root, tree.execution);
        self.ended.push(TreeEnd { tree: key, tree_id: tree.id.clone(), execution, status });
        schedules::ended(self.state, root, execution, status, self.now);
        self.note_tree(key, EventKind::tree_end(status), None);
    }
}
