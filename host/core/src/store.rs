//! The contract of durable storage: each verb is one atomic intent, that is one transaction, and takes the time as a
//! parameter. `apflow-testkit` holds the suite that every implementation passes.
//!
//! Words: a *tree* is executed by an *execution* (numbered from 1 in the tree), which arms some of its tasks: they are
//! then *waiting* (for dependencies), *ready*, *delayed* (due later) or *running*. Tasks that are not armed are not
//! looked at by [`Store::turn`]. A tree has at most one execution at a time.

mod gates;
mod peers;
mod plugins;
mod schedules;
mod turn;
mod webhooks;

use async_trait::async_trait;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::clone::NewClone;
use crate::error::{FailureKind, Result, TaskError};
use crate::event::{Event, EventKind};
use crate::gate::Gate;
use crate::id::{Seq, TaskId, TaskKey, Token, TreeId, TreeKey};
use crate::json::Json;
use crate::lease::Session;
use crate::receipt::{NewReceipt, Receipt};
use crate::retention::{TrimRequest, Trimmed};
use crate::retry::RetryPolicy;
use crate::schedule::SchedulePatch;
use crate::task::{Attempt, DependencyKind, Task, TaskStatus, TreeStatus};
use crate::tree::NewTree;

pub use crate::progress::{Progress, StatusCounts};
pub use crate::receipt::InsertedOnce;
pub use gates::GateStore;
pub use peers::{PeerStore, PeerWord};
pub use plugins::{ChildFacts, PluginStore, RunRef, StateWrite, StateWritten};
pub use schedules::{CompleteSchedule, DueSchedules, Fired, ScheduleStore};
pub use turn::{
    ClaimedRun, DependencyResult, FinishedRun, ProgressReport, RunOutcome, TreeEnd, Turn, TurnOutcome,
};
pub use webhooks::{DeliveryRecord, DueWebhooks, NewWebhook, WebhookChange, WebhookStore};

/// What [`Store::insert_tree`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inserted {
    /// The tree.
    pub tree: TreeKey,
    /// Its execution, if it was asked for.
    pub execution: Option<u32>,
}

/// Asks for an execution.
#[derive(Debug, Clone)]
pub struct ExecuteRequest {
    /// The root for the whole tree, any other task for it and what it depends on.
    pub task: TaskId,
    /// Whether completed tasks run again; failed and pending ones always do, cancelled ones never.
    pub rerun_completed: bool,
    /// The time.
    pub now: Timestamp,
}

/// What [`Store::execute`] did.
#[derive(Debug, Clone, PartialEq)]
pub enum Execution {
    /// It is under way.
    Started {
        /// The tree.
        tree: TreeKey,
        /// Its public id.
        tree_id: TreeId,
        /// The root of the tree.
        root: TaskId,
        /// Number of the execution.
        execution: u32,
    },
    /// The tree already runs; nothing was changed.
    AlreadyRunning {
        /// The tree.
        tree: TreeKey,
        /// Its public id.
        tree_id: TreeId,
        /// The root of the tree.
        root: TaskId,
        /// Number of the running execution.
        execution: u32,
    },
    /// Nothing of what was asked for can run: all is completed, cancelled or blocked. Nothing was changed.
    NothingToRun {
        /// The tree.
        tree: TreeKey,
        /// Its public id.
        tree_id: TreeId,
        /// The root of the tree.
        root: TaskId,
        /// The status of the tree.
        status: TreeStatus,
    },
}

/// Asks for cancellation.
#[derive(Debug, Clone)]
pub struct CancelRequest {
    /// The tasks, in the order of the answer.
    pub tasks: Vec<TaskId>,
    /// Whether descendants and dependents (transitively) are cancelled too.
    pub cascade: bool,
    /// Becomes the error message of what is cancelled.
    pub message: String,
    /// The time.
    pub now: Timestamp,
}

/// What became of one task of a [`CancelRequest`].
#[derive(Debug, Clone, PartialEq)]
pub enum CancelResult {
    /// It is cancelled now.
    Cancelled,
    /// It had already finished; the status it has.
    Finished(TaskStatus),
    /// There is no such task.
    NotFound,
}

/// What [`Store::cancel`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cancellation {
    /// One entry for each task of the request, in its order.
    pub results: Vec<(TaskId, CancelResult)>,
    /// Runs that must be interrupted: their tokens are revoked.
    pub interrupted: Vec<(TaskKey, Token)>,
    /// Executions that ended by it.
    pub ended: Vec<TreeEnd>,
    /// Trees in whose log this wrote.
    pub touched: Vec<TreeKey>,
}

/// What [`Store::expire`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expiration {
    /// Runs that must be interrupted: their tokens are revoked.
    pub interrupted: Vec<(TaskKey, Token)>,
    /// Executions that ended by it.
    pub ended: Vec<TreeEnd>,
    /// The next deadline of an execution that is under way.
    pub next: Option<Timestamp>,
}

/// The error of tasks that an execution had no time left for.
pub fn out_of_time(deadline_ms: u32) -> TaskError {
    let text = format!(
        "The execution of the tree took longer than {deadline_ms} ms (deadline_ms of its root) and was ended. Execute the \
         tree again to go on with what has not completed"
    );
    TaskError::new(FailureKind::Permanent, "tree_deadline", text).with("deadline_ms", deadline_ms)
}

/// An owner's edit. `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskPatch {
    /// New name.
    pub name: Option<String>,
    /// New priority; also moves the task in the queue.
    pub priority: Option<u8>,
    /// New inputs.
    pub inputs: Option<Json>,
    /// New params; `executor` must then be set to what they name.
    pub params: Option<Json>,
    /// New executor: `Some(None)` for none.
    pub executor: Option<Option<String>>,
    /// New schemas.
    pub schemas: Option<Json>,
    /// New metadata: `Some(None)` for none.
    pub metadata: Option<Option<Json>>,
    /// New description: `Some(None)` for none.
    pub description: Option<Option<String>>,
    /// New retry policy: `Some(None)` for none.
    pub retry: Option<Option<RetryPolicy>>,
    /// New timeout: `Some(None)` for none.
    pub timeout_ms: Option<Option<u32>>,
    /// New concurrency key: `Some(None)` for none. A task that runs keeps its place under the old one.
    pub concurrency_key: Option<Option<String>>,
    /// New deadline of executions: `Some(None)` for none. Only of a root; it also counts for one that is under way.
    pub deadline_ms: Option<Option<u32>>,
    /// New dependencies as (public id, required, kind). Only of a pending task that no execution has armed, and while nothing
    /// that depends on it is in progress; each id must be in the same tree, and there must be no circle.
    pub dependencies: Option<Vec<(TaskId, bool, DependencyKind)>>,
    /// New status, checked by [`crate::transition::owner_change`]. `Pending` on a failed task appends nothing to the
    /// attempts and makes the task pending again. `Cancelled` is done by [`Store::cancel`], never by a patch.
    pub status: Option<TaskStatus>,
    /// A change of the schedule, only of a root; the store asks [`crate::schedule::edit`] what it makes.
    pub schedule: Option<SchedulePatch>,
}

/// Why a task cannot get other dependencies while one that depends on it is in progress.
pub fn dependent_in_progress(task: &TaskId, dependent: &TaskId) -> String {
    format!(
        "Dependencies of task '{task}' cannot be changed: task '{dependent}', which depends on it, is in progress. Wait for its \
         end, or cancel it"
    )
}

/// What [`Store::delete`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Tasks that are gone, the named one included.
    pub deleted: u32,
}

/// Which tasks to list or count.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only of this owner.
    pub user_id: Option<String>,
    /// Only with one of these statuses; empty means all.
    pub statuses: Vec<TaskStatus>,
    /// Only roots.
    pub root_only: bool,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub limit: u32,
    /// Skip so many.
    pub offset: u32,
}

/// A tree as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TreeState {
    /// Key in this store.
    #[serde(skip)]
    pub key: TreeKey,
    /// Public id.
    pub tree_id: TreeId,
    /// The root task.
    pub root: TaskId,
    /// Where it stands.
    pub status: TreeStatus,
    /// Number of the newest execution; 0 before the first.
    pub execution: u32,
    /// Position in the log before the first event of the newest execution.
    pub started_seq: Seq,
    /// When the newest execution began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Why a task is not running, as facts of the store; the engine adds limits and plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueFacts {
    /// The task.
    pub task: Task,
    /// Where it stands in the queues.
    pub place: QueuePlace,
    /// Dependencies that do not hold yet: (id, status, required).
    pub unmet: Vec<(TaskId, TaskStatus, bool)>,
    /// Where a run was put off and the task is therefore delayed: the data of that `task.delayed` event, unless retention
    /// has removed it. None where it waits for another attempt.
    pub put_off: Option<Json>,
}

/// A task's place in the queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueuePlace {
    /// No execution has armed it (or it has finished).
    NotArmed,
    /// It waits for so many dependencies.
    Waiting(u32),
    /// A dependency failed; it will not run in this execution.
    Blocked,
    /// It is put off.
    Delayed(Timestamp),
    /// It is parked at this gate, behind so many others.
    Parked(Gate, u64),
    /// So many ready tasks leave before it.
    Ready(u64),
    /// A node runs it.
    Running,
}

/// Which events to read, in order of `seq`.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only later ones.
    pub after: Seq,
    /// Only of this tree.
    pub tree: Option<TreeId>,
    /// Only of trees of this owner.
    pub user_id: Option<String>,
    /// Only these kinds; empty means all.
    pub kinds: Vec<EventKind>,
    /// At most so many.
    pub limit: u32,
}

/// What [`Store::open_session`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// Runs of older sessions of this node that are ready again.
    pub rescued: u32,
}

/// Durable storage of trees, runs and events.
#[async_trait]
pub trait Store: ScheduleStore + GateStore + PeerStore + PluginStore + WebhookStore {
    /// Writes a tree and its schedule; with `execute` it is armed in the same transaction. Appends `tree.created` (and `tree.started`).
    ///
    /// # Errors
    /// `InvalidTree` if the tree id or a task id is taken, naming it; then nothing is written.
    async fn insert_tree(&self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<Inserted>;

    /// Does the same for a request with a key: if its owner has used the key before, for the same content, nothing is
    /// written and the answer is what was created then. The receipt is written in the same transaction as the tree.
    ///
    /// # Errors
    /// As [`Store::insert_tree`]; `IdempotencyConflict` if the key was used for other content.
    async fn insert_once(
        &self,
        tree: &NewTree,
        receipt: &NewReceipt,
        execute: bool,
        now: Timestamp,
    ) -> Result<InsertedOnce>;

    /// Reads what an owner has used a key for.
    async fn receipt(&self, owner: Option<&str>, key: &str) -> Result<Option<Receipt>>;

    /// Writes a tree of clones, without executing it: links are completed at once, with an attempt that is numbered 0 and
    /// has no node; a tree of nothing but links is completed as a whole. Appends `tree.created`.
    ///
    /// # Errors
    /// As [`Store::insert_tree`], and what [`crate::clone::check_original`] says of each original; then nothing is written.
    async fn insert_clone(&self, clone: &NewClone, now: Timestamp) -> Result<Inserted>;

    /// Freezes tasks where they are, all of which must be completed; those that are archived already stay so. Appends
    /// `task.updated` for each of the others.
    ///
    /// # Errors
    /// `TaskNotFound`, `CannotClone`; then nothing is changed.
    async fn archive(&self, ids: &[TaskId], now: Timestamp) -> Result<()>;

    /// Arms a tree or a part of it as [`crate::plan`] says. Appends `tree.started`, and `task.blocked` for tasks that
    /// are blocked from the start.
    ///
    /// # Errors
    /// `TaskNotFound`; `TaskImmutable` if the named task is archived.
    async fn execute(&self, request: ExecuteRequest) -> Result<Execution>;

    /// Records progress and finished runs, releases dependents, blocks what cannot run, ends executions, moves due
    /// tasks to ready, and claims, in this order and in one transaction.
    ///
    /// On offer are the first [`Turn::claim`] of the ready tasks and, at each gate that has room, of the parked ones as
    /// many as it has room for; of these again the first [`Turn::claim`]. They are looked at in the order of the queue:
    /// a task whose gates (its key's, its executor's) have room takes a place in each and is claimed, another is parked
    /// at the one that is full, its key's first.
    ///
    /// # Errors
    /// `LeaseLost` if the session is not the newest of its node; then nothing was recorded.
    async fn turn(&self, turn: Turn) -> Result<TurnOutcome>;

    /// Cancels tasks, armed or not. Pending tasks and running ones become `cancelled`; the runs' tokens are revoked.
    /// Without `cascade`, dependents of what was cancelled are blocked as after a failure.
    async fn cancel(&self, request: CancelRequest) -> Result<Cancellation>;

    /// Ends executions whose deadline ([`NewTree::deadline_ms`]) has passed: every task of theirs that was still to run, or
    /// ran, fails with [`out_of_time`]; tokens of runs are revoked.
    async fn expire(&self, now: Timestamp) -> Result<Expiration>;

    /// Changes a definition. Appends `task.updated`.
    ///
    /// # Errors
    /// `TaskNotFound`, `TaskImmutable`, `InvalidTransition`, `InvalidDependency`, `CircularDependency`, `ScheduleInvalid`; then nothing is
    /// changed.
    async fn update(&self, id: &TaskId, patch: TaskPatch, now: Timestamp) -> Result<Task>;

    /// Deletes a task with its descendants, all of which must be pending and not armed, and on which no other task
    /// depends. Attempts and edges go too; a tree whose root goes is gone, its events stay. Appends `tree.deleted`.
    ///
    /// # Errors
    /// `TaskNotFound`; `CannotDelete` with all reasons in one text.
    async fn delete(&self, id: &TaskId, now: Timestamp) -> Result<Deleted>;

    /// Reads tasks, in the order of `ids`.
    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>>;

    /// Reads a task and its descendants in pre-order (children by insertion); empty if there is no such task.
    async fn subtree(&self, id: &TaskId) -> Result<Vec<Task>>;

    /// Hands over what [`Store::subtree`] reads, task by task, so that nobody has to hold a large tree: all of one moment,
    /// until `each` gives an error, which ends it.
    async fn each_below(&self, id: &TaskId, each: &mut (dyn FnMut(Task) -> Result<()> + Send)) -> Result<()>;

    /// Reads the children of a task by priority, then insertion.
    async fn children(&self, id: &TaskId) -> Result<Vec<Task>>;

    /// Lists tasks, newest first.
    async fn list(&self, filter: TaskFilter, page: Page) -> Result<Vec<Task>>;

    /// Counts tasks.
    async fn count(&self, filter: TaskFilter) -> Result<StatusCounts>;

    /// Reads how far a task and everything below it have come; none if there is no such task.
    async fn progress(&self, id: &TaskId) -> Result<Option<Progress>>;

    /// Reads the attempts at a task, oldest first.
    async fn attempts(&self, id: &TaskId) -> Result<Vec<Attempt>>;

    /// Reads why a task is not running; none if there is no such task.
    async fn queue_facts(&self, id: &TaskId) -> Result<Option<QueueFacts>>;

    /// Reads the state of the tree that a task is in; none if there is no such task.
    async fn tree_state(&self, task: &TaskId) -> Result<Option<TreeState>>;

    /// Reads the log.
    ///
    /// # Errors
    /// `EventsExpired` if events after that position have been removed; of one tree, if events of it have.
    async fn events(&self, query: EventQuery) -> Result<Vec<Event>>;

    /// The newest position of the log.
    async fn last_seq(&self) -> Result<Seq>;

    /// The position up to which the log has been removed; 0 if it is whole.
    async fn log_start(&self) -> Result<Seq>;

    /// Removes the oldest events, as [`crate::retention`] says, and moves [`Store::log_start`] in the same transaction. The
    /// newest event always stays, so that no position is given twice.
    async fn trim_events(&self, request: TrimRequest) -> Result<Trimmed>;

    /// Does what the database needs from time to time to stay as fast as it is; cheap where nothing is to be done.
    async fn tidy(&self) -> Result<()>;

    /// Opens a session of this node with the next epoch and takes back the runs of its older sessions: they are ready again, at once.
    ///
    /// # Errors
    /// `InvalidParams` if another process that is alive has the name of the node.
    async fn open_session(
        &self,
        node: &crate::id::NodeId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Opened>;

    /// Extends the lease of a session.
    ///
    /// # Errors
    /// `LeaseLost` if the session is not the newest of its node or its lease was already ended by [`Store::rescue`].
    async fn renew_session(&self, session: &Session, until: Timestamp) -> Result<()>;

    /// Ends a session in good order: its runs are ready again at once.
    async fn close_session(&self, session: &Session, now: Timestamp) -> Result<()>;

    /// Makes the runs of all sessions whose lease has expired ready again, appending `task.rescued`; gives their
    /// number. Rescued attempts do not count towards `max_attempts`; the token grows.
    async fn rescue(&self, now: Timestamp) -> Result<u32>;

    /// Reads the cursor of that name.
    async fn cursor(&self, name: &str) -> Result<Option<Seq>>;

    /// Writes the cursor of that name: its consumer is alive at this time, and has taken everything up to the position.
    async fn set_cursor(&self, name: &str, seq: Seq, now: Timestamp) -> Result<()>;
}
