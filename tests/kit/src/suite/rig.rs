//! What every case stands on: a store, one open session, a time that the case moves, and short words for the usual
//! steps. A step that a store refuses fails the case on the spot.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::draft::{TreeLimits, read_all};
use apflow_core::error::{ErrorCode, FailureKind, TaskError};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{NodeId, Seq, TaskId};
use apflow_core::json::Json;
use apflow_core::lease::Session;
use apflow_core::store::{
    CancelRequest, Cancellation, ClaimedRun, EventQuery, ExecuteRequest, Execution, FinishedRun, Inserted,
    QueuePlace, RunOutcome, Store, TaskPatch, Turn, TurnOutcome,
};
use apflow_core::task::{Task, TaskStatus, TreeStatus};
use apflow_core::tree::{NewTree, assemble};
use serde_json::Value;

use crate::trees::outline;

/// When every case begins.
pub const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
/// How long the rig's own session lasts: longer than any case.
pub const LONG: Duration = Duration::from_secs(24 * 3600);

/// A store and a node that uses it.
pub struct Rig {
    pub store: Arc<dyn Store>,
    pub session: Session,
    pub now: Timestamp,
}

impl Rig {
    pub async fn new(store: Arc<dyn Store>) -> Self {
        let opened = store.open_session(&NodeId::from("node-1"), START.plus(LONG), START).await.unwrap();
        assert_eq!(opened.rescued, 0);
        Self { store, session: opened.session, now: START }
    }

    /// Moves the time.
    pub fn wait_ms(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
    }

    /// Another node's session, with a lease of so many milliseconds from now.
    pub async fn open(&self, node: &str, lease_ms: u64) -> Session {
        let until = self.now.plus(Duration::from_millis(lease_ms));
        self.store.open_session(&NodeId::from(node), until, self.now).await.unwrap().session
    }

    /// Writes an [`outline`] without executing it.
    pub async fn insert(&self, text: &str) -> Inserted {
        self.insert_json(outline(text), false).await
    }

    /// Writes an [`outline`] and executes it.
    pub async fn start(&self, text: &str) -> Inserted {
        self.insert_json(outline(text), true).await
    }

    pub async fn insert_json(&self, tasks: Value, execute: bool) -> Inserted {
        self.store.insert_tree(&tree(tasks), execute, self.now).await.unwrap()
    }

    pub async fn execute(&self, task: &str) -> Execution {
        let request = ExecuteRequest { task: task.into(), rerun_completed: false, now: self.now };
        self.store.execute(request).await.unwrap()
    }

    pub async fn turn(&self, finished: Vec<FinishedRun>, claim: u32) -> TurnOutcome {
        self.turn_of(&self.session, finished, claim).await
    }

    pub async fn turn_of(&self, session: &Session, finished: Vec<FinishedRun>, claim: u32) -> TurnOutcome {
        self.store.turn(self.asks(session, finished, claim)).await.unwrap()
    }

    pub fn asks(&self, session: &Session, finished: Vec<FinishedRun>, claim: u32) -> Turn {
        turn_at(self.now, session, finished, claim)
    }

    pub async fn claim(&self, limit: u32) -> Vec<ClaimedRun> {
        self.turn(Vec::new(), limit).await.claimed
    }

    /// Claims what must be exactly this, in this order.
    pub async fn claim_exactly(&self, expected: &[&str]) -> Vec<ClaimedRun> {
        let runs = self.claim(100).await;
        assert_eq!(names(&runs), expected);
        runs
    }

    /// Claims one task, which must be this one.
    pub async fn claim_one(&self, expected: &str) -> ClaimedRun {
        let mut runs = self.claim(1).await;
        assert_eq!(names(&runs), [expected]);
        runs.remove(0)
    }

    /// Records these runs as completed and claims nothing.
    pub async fn complete(&self, runs: &[ClaimedRun]) -> TurnOutcome {
        self.turn(runs.iter().map(completed).collect(), 0).await
    }

    /// Records a run as failed and claims nothing.
    pub async fn fail(&self, run: &ClaimedRun) -> TurnOutcome {
        self.turn(vec![failed(run)], 0).await
    }

    /// Completes whatever can run until nothing can; gives the names in the order of their starts.
    pub async fn drain(&self) -> Vec<String> {
        let mut order = Vec::new();
        let mut finished = Vec::new();
        loop {
            let outcome = self.turn(finished, 100).await;
            if outcome.claimed.is_empty() {
                return order;
            }
            order.extend(outcome.claimed.iter().map(|run| run.name.clone()));
            finished = all_completed(&outcome);
        }
    }

    pub async fn cancel(&self, tasks: &[&str], cascade: bool) -> Cancellation {
        let tasks = tasks.iter().map(|id| TaskId::from(*id)).collect();
        let request = CancelRequest { tasks, cascade, message: "stop it".into(), now: self.now };
        self.store.cancel(request).await.unwrap()
    }

    pub async fn update(&self, task: &str, patch: TaskPatch) -> Task {
        self.store.update(&task.into(), patch, self.now).await.unwrap()
    }

    /// Updates what must be refused; the task must be as it was.
    pub async fn refused_update(&self, task: &str, patch: TaskPatch) -> (ErrorCode, String) {
        let (before, seq) = (self.task(task).await, self.last_seq().await);
        let error = self.store.update(&task.into(), patch, self.now).await.unwrap_err();
        assert_eq!(self.task(task).await, before);
        assert_eq!(self.last_seq().await, seq);
        (error.code, error.message)
    }

    pub async fn task(&self, id: &str) -> Task {
        self.find(id).await.unwrap_or_else(|| panic!("there is no task '{id}'"))
    }

    pub async fn find(&self, id: &str) -> Option<Task> {
        self.store.get(&[id.into()]).await.unwrap().remove(0)
    }

    /// The statuses of these tasks, as text divided by spaces.
    pub async fn statuses(&self, ids: &[&str]) -> String {
        let ids: Vec<TaskId> = ids.iter().map(|id| TaskId::from(*id)).collect();
        let tasks = self.store.get(&ids).await.unwrap();
        let texts: Vec<&str> =
            tasks.iter().map(|task| task.as_ref().map_or("none", |task| task.status.as_str())).collect();
        texts.join(" ")
    }

    pub async fn place(&self, id: &str) -> QueuePlace {
        self.store.queue_facts(&id.into()).await.unwrap().unwrap().place
    }

    pub async fn tree_status(&self, task: &str) -> TreeStatus {
        self.store.tree_state(&task.into()).await.unwrap().unwrap().status
    }

    pub async fn last_seq(&self) -> Seq {
        self.store.last_seq().await.unwrap()
    }

    /// The events of a tree later than `after`.
    pub async fn events(&self, tree: &str, after: Seq) -> Vec<Event> {
        let query = EventQuery { after, tree: Some(tree.into()), limit: 1_000_000, ..EventQuery::default() };
        self.store.events(query).await.unwrap()
    }

    /// The same as text: `"task.started a"`, `"tree.failed"`.
    pub async fn log(&self, tree: &str, after: Seq) -> Vec<String> {
        let text = |event: Event| match event.task_id {
            Some(task) => format!("{} {task}", event.kind),
            None => event.kind.to_string(),
        };
        self.events(tree, after).await.into_iter().map(text).collect()
    }

    /// The only event of that kind about that task.
    pub async fn only_event(&self, tree: &str, kind: EventKind, task: Option<&str>) -> Event {
        let wanted = |event: &Event| event.kind == kind && event.task_id.as_ref().map(TaskId::as_str) == task;
        let mut found: Vec<Event> = self.events(tree, Seq(0)).await.into_iter().filter(wanted).collect();
        assert_eq!(found.len(), 1, "{kind} of {task:?}: {found:?}");
        found.remove(0)
    }
}

/// The tree that a creation with these tasks stores.
pub fn tree(tasks: Value) -> NewTree {
    assemble(read_all(tasks, TreeLimits::default()).unwrap(), START).unwrap()
}

pub fn names(runs: &[ClaimedRun]) -> Vec<&str> {
    runs.iter().map(|run| run.name.as_str()).collect()
}

pub fn turn_at(now: Timestamp, session: &Session, finished: Vec<FinishedRun>, claim: u32) -> Turn {
    Turn { session: session.clone(), now, finished, progress: Vec::new(), claim, started_first: false }
}

/// What a turn claimed, as completed.
pub fn all_completed(outcome: &TurnOutcome) -> Vec<FinishedRun> {
    outcome.claimed.iter().map(completed).collect()
}

/// The run ended like this, with neither inputs nor receipt.
pub fn ended(run: &ClaimedRun, outcome: RunOutcome) -> FinishedRun {
    FinishedRun { key: run.key, token: run.token, outcome, inputs: None, receipt: None }
}

/// Completed, with the task's name as the result.
pub fn completed(run: &ClaimedRun) -> FinishedRun {
    ended(run, RunOutcome::Completed { result: Value::from(run.name.as_str()).into() })
}

pub fn completed_with(run: &ClaimedRun, result: Value) -> FinishedRun {
    ended(run, RunOutcome::Completed { result: result.into() })
}

pub fn failed(run: &ClaimedRun) -> FinishedRun {
    ended(run, RunOutcome::Failed { error: broken(), result: None })
}

pub fn retried(run: &ClaimedRun, due: Timestamp) -> FinishedRun {
    ended(run, RunOutcome::Retry { error: broken(), due })
}

pub fn delayed(run: &ClaimedRun, due: Timestamp) -> FinishedRun {
    ended(run, RunOutcome::Delay { due })
}

/// The error of all failures here.
pub fn broken() -> TaskError {
    TaskError::new(FailureKind::Permanent, "broken", "it broke").with("part", "axle")
}

/// The text of an event's data as a value; null if there is none.
pub fn data(event: &Event) -> Value {
    event.data.as_ref().map_or(Value::Null, Json::value)
}

pub fn status_patch(status: TaskStatus) -> TaskPatch {
    TaskPatch { status: Some(status), ..TaskPatch::default() }
}
