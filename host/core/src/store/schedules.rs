//! The part of the contract that is about schedules. A schedule belongs to the root of a tree and is written with it
//! ([`super::NewTree`]) or by an owner's edit ([`super::TaskPatch::schedule`], where [`crate::schedule::edit`] makes the
//! new schedule inside the transaction). What stands in the way of handling a due time twice is the store: it keeps one
//! [`ScheduleRun`] for a task and a due time.
//!
//! A schedule's `run_count` and `last_run_at`, and the entry of the history, change in the transaction that ends the
//! execution. A schedule without a next due time is out of force (`schedule_enabled` false) as soon as nothing of it runs.

use std::fmt;

use async_trait::async_trait;

use super::Page;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{TaskId, TreeId, TreeKey};
use crate::schedule::{ScheduleFilter, ScheduleRun};
use crate::task::Task;

/// What there is to do about schedules at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueSchedules {
    /// Due times to handle, the earliest first, then by insertion: roots and their due times.
    pub due: Vec<(TaskId, Timestamp)>,
    /// The earliest due time that is later.
    pub next: Option<Timestamp>,
    /// Whether due times wait for the end of an execution.
    pub waiting: bool,
}

/// What [`ScheduleStore::fire_schedule`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fired {
    /// The tree is executed for this due time.
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
    /// It is on record as skipped or missed, or it was handled before; the schedule has gone on.
    Passed,
    /// It waits for the end of an execution; nothing was changed.
    Waiting,
    /// It is not the schedule's due time (any more): somebody else has handled it, or the owner has changed the
    /// schedule. Nothing was changed.
    Stale,
}

/// Reports a run that was made outside of this host.
#[derive(Debug, Clone)]
pub struct CompleteSchedule {
    /// The root.
    pub task: TaskId,
    /// Why the run failed; none if it did not.
    pub failure: Option<String>,
    /// Whether the schedule goes on to its next due time.
    pub advance: bool,
    /// The time.
    pub now: Timestamp,
}

/// Durable schedules.
#[async_trait]
pub trait ScheduleStore: Send + Sync + fmt::Debug + 'static {
    /// Reads the roots that have a schedule, by next due time, those without one last, then by insertion.
    async fn schedules(&self, filter: ScheduleFilter, page: Page) -> Result<Vec<Task>>;

    /// Reads what is due: of schedules in force, due times that have come and do not wait ([`crate::schedule::decide`])
    /// for the end of an execution, at most `limit`.
    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<DueSchedules>;

    /// Handles a due time as [`crate::schedule::decide`] says: one transaction that checks that it still is the
    /// schedule's next due time and has no entry in the history, arms the whole tree ([`crate::plan::renewal`]), writes
    /// the entry and sets the next due time.
    ///
    /// # Errors
    /// `ScheduleInvalid` for a schedule that cannot be read.
    async fn fire_schedule(&self, task: &TaskId, due: Timestamp, now: Timestamp) -> Result<Fired>;

    /// Counts a run that was made outside, as [`crate::schedule::complete`] says, and writes its entry; a due time that
    /// has one already gets no second.
    ///
    /// # Errors
    /// `TaskNotFound`; `ScheduleInvalid` if the task has no schedule; `AlreadyExecuting` while this host runs the tree
    /// for its schedule.
    async fn complete_schedule(&self, request: CompleteSchedule) -> Result<Task>;

    /// Reads the history of a schedule, the newest due time first.
    async fn schedule_runs(&self, task: &TaskId, page: Page) -> Result<Vec<ScheduleRun>>;
}
