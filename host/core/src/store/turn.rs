//! What goes into a turn and what comes out of it.

use crate::clock::Timestamp;
use crate::error::TaskError;
use crate::id::{Seq, TaskId, TaskKey, Token, TreeId, TreeKey};
use crate::json::Json;
use crate::lease::Session;
use crate::retry::RetryPolicy;
use crate::task::{DependencyKind, TaskStatus, TreeStatus};

/// What a finished run hands to the turn that records it.
#[derive(Debug, Clone, PartialEq)]
pub enum RunOutcome {
    /// It completed with a result.
    Completed {
        /// The result.
        result: Json,
    },
    /// It failed for good.
    Failed {
        /// Why.
        error: TaskError,
        /// A result to show all the same.
        result: Option<Json>,
    },
    /// It failed and is tried again.
    Retry {
        /// Why it failed.
        error: TaskError,
        /// Not before.
        due: Timestamp,
    },
    /// It did not run: a hook put it off. Counts as no attempt: nothing is appended to the history, the number is used
    /// again by the next claim.
    Delay {
        /// Not before.
        due: Timestamp,
    },
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedRun {
    /// The task.
    pub key: TaskKey,
    /// The token under which it was claimed; if it is not the current one, the run is refused and listed in
    /// [`TurnOutcome::lost`].
    pub token: Token,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The inputs it ran with, where they differ from the definition.
    pub inputs: Option<Json>,
    /// What it used.
    pub receipt: Option<Json>,
}

/// A progress report.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressReport {
    /// The task.
    pub key: TaskKey,
    /// The token of the run; reports of others are dropped.
    pub token: Token,
    /// 0.0 to 1.0.
    pub fraction: f64,
    /// `{"fraction", "message"?, "partial"?}`; becomes the event's data.
    pub data: Json,
}

/// One step of a node: record, release, claim, in one transaction.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Who asks; a session that is not the newest of its node gets [`crate::error::ErrorCode::LeaseLost`].
    pub session: Session,
    /// The time.
    pub now: Timestamp,
    /// Runs to record.
    pub finished: Vec<FinishedRun>,
    /// Progress to record, applied before `finished`.
    pub progress: Vec<ProgressReport>,
    /// How many ready tasks to claim at most.
    pub claim: u32,
    /// Whether executions of which a task has begun leave the queue before those that have not begun, whatever their
    /// priorities: what is claimed lifts all of its execution that is still to run.
    pub started_first: bool,
}

/// What a dependency gives to a claimed task.
#[derive(Debug, Clone, PartialEq)]
pub struct DependencyResult {
    /// The dependency.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// What it gives.
    pub kind: DependencyKind,
    /// The executor that made the result; of a link, as the rest, its original's.
    pub executor: Option<String>,
    /// Its `schemas` object.
    pub schemas: Json,
    /// Where it stands; a link is completed.
    pub status: TaskStatus,
    /// Its newest result, where there is one. A link gives the result of its original's newest attempt that completed.
    pub result: Option<Json>,
}

/// A task that the caller now holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedRun {
    /// The task.
    pub key: TaskKey,
    /// Its tree.
    pub tree: TreeKey,
    /// The execution it belongs to.
    pub execution: u32,
    /// Public id.
    pub id: TaskId,
    /// Public id of the tree.
    pub tree_id: TreeId,
    /// Name.
    pub name: String,
    /// Owner.
    pub user_id: Option<String>,
    /// Priority.
    pub priority: u8,
    /// Number of this attempt, from 1, over all executions.
    pub attempt: u32,
    /// Number of this attempt within the execution, from 1; rescued attempts are not counted.
    pub tries: u32,
    /// The fencing token.
    pub token: Token,
    /// The executor, if the task names one.
    pub executor: Option<String>,
    /// The definition's inputs.
    pub inputs: Json,
    /// The definition's params.
    pub params: Json,
    /// The definition's schemas.
    pub schemas: Json,
    /// The definition's metadata.
    pub metadata: Option<Json>,
    /// The retry policy.
    pub retry: Option<RetryPolicy>,
    /// Longest time for this attempt.
    pub timeout_ms: Option<u32>,
    /// In the order of the definition.
    pub dependencies: Vec<DependencyResult>,
}

/// An execution that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEnd {
    /// The tree.
    pub tree: TreeKey,
    /// Its public id.
    pub tree_id: TreeId,
    /// The execution that ended.
    pub execution: u32,
    /// How.
    pub status: TreeStatus,
}

/// What a turn did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnOutcome {
    /// In the order in which they were ready: priority, due time, insertion.
    pub claimed: Vec<ClaimedRun>,
    /// Finished runs that were refused because their token is not current.
    pub lost: Vec<(TaskKey, Token)>,
    /// Executions that ended in this turn.
    pub ended: Vec<TreeEnd>,
    /// Trees in whose log this turn wrote.
    pub touched: Vec<TreeKey>,
    /// Whether tasks are left that could be claimed now.
    pub more: bool,
    /// The earliest due time of what is delayed, or parked at a gate that only time closes.
    pub next_due: Option<Timestamp>,
    /// The newest position of the log.
    pub last_seq: Seq,
}
