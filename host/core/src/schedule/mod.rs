//! When a tree runs by itself: arithmetic on a [`Schedule`] and points in time, without I/O. Stores keep schedules and
//! ask [`edit`](edit()) what an owner's change makes of one and [`decide`](decide()) what becomes of a due time, inside
//! the transaction that writes the answer; the engine only says when it is time to ask.
//!
//! Words: a *due time* is a point at which a schedule wants its tree to run. It is handled once: run, skipped (the tree
//! was running) or missed (nobody was there, and the policy does not make up for it).

mod calendar;
mod decide;
mod edit;
mod expression;
pub mod ical;
mod report;
mod timetable;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, ErrorCode};
use crate::task::TaskStatus;

pub use decide::{Action, Decision, GRACE, MAX_MADE_UP, TreeFacts, decide, waits};
pub use edit::{FIELDS, SchedulePatch, edit};
pub use report::{check_report, complete, no_schedule, reported};
pub use timetable::Timetable;

/// The zone of schedules that name none.
pub const DEFAULT_ZONE: &str = "UTC";

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The text on every wire and in every store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one with that text.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

texts! {
    /// What an expression means.
    ScheduleType {
        /// One point in time: RFC 3339, or a date and time in the schedule's zone.
        Once = "once",
        /// Every so many seconds.
        Interval = "interval",
        /// Five fields: minute, hour, day of month, month, day of week.
        Cron = "cron",
        /// `HH:MM`.
        Daily = "daily",
        /// Days 1 (Monday) to 7, then the time: `1,3,5 09:00`.
        Weekly = "weekly",
        /// Days of the month, then the time: `1,15 09:00`; days that a month does not have are left out.
        Monthly = "monthly",
    }
}

texts! {
    /// What becomes of due times that passed while no host was there to see them.
    MissedPolicy {
        /// They are not made up for.
        Skip = "skip",
        /// One run makes up for all of them.
        Once = "once",
        /// Each gets its run, one after another, the newest [`MAX_MADE_UP`] at most.
        All = "all",
    }
}

texts! {
    /// What becomes of a due time that comes while the tree is running. There is no "at the same time": a tree has one
    /// execution at a time.
    OverlapPolicy {
        /// It is not run.
        Skip = "skip",
        /// It is run when the tree has ended; several become one run, as the missed policy says.
        Queue = "queue",
    }
}

texts! {
    /// What became of a due time.
    ScheduleRunStatus {
        /// Its execution is under way.
        Running = "running",
        /// Its execution ended with everything completed.
        Completed = "completed",
        /// Its execution ended with something failed or blocked.
        Failed = "failed",
        /// Its execution ended with something cancelled and nothing failed.
        Cancelled = "cancelled",
        /// The tree was running.
        Skipped = "skipped",
        /// Nobody was there.
        Missed = "missed",
    }
}

/// The schedule of a tree: part of its root's task object. All fields are empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// What the expression means; none for a task without a schedule.
    pub schedule_type: Option<ScheduleType>,
    /// In the form that the type says.
    pub schedule_expression: Option<String>,
    /// Whether it is in force.
    pub schedule_enabled: bool,
    /// No due time before.
    pub schedule_start_at: Option<Timestamp>,
    /// No due time after.
    pub schedule_end_at: Option<Timestamp>,
    /// IANA name of the zone in which the expression is read.
    pub schedule_timezone: Option<String>,
    /// What becomes of due times that nobody saw.
    pub schedule_missed: Option<MissedPolicy>,
    /// What becomes of due times during a run.
    pub schedule_overlap: Option<OverlapPolicy>,
    /// The next due time.
    pub next_run_at: Option<Timestamp>,
    /// When the last run ended.
    pub last_run_at: Option<Timestamp>,
    /// At most so many runs.
    pub max_runs: Option<u32>,
    /// Runs that have ended.
    pub run_count: u32,
}

impl Schedule {
    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.schedule_type.is_some()
    }

    /// The policy for due times that nobody saw.
    pub fn missed(&self) -> MissedPolicy {
        self.schedule_missed.unwrap_or(MissedPolicy::Once)
    }

    /// The policy for due times during a run.
    pub fn overlap(&self) -> OverlapPolicy {
        self.schedule_overlap.unwrap_or(OverlapPolicy::Skip)
    }

    /// Whether no further run is allowed, `begun` of which have not ended.
    fn is_used_up(&self, begun: u32) -> bool {
        self.max_runs.is_some_and(|most| self.run_count.saturating_add(begun) >= most)
    }
}

/// What became of a due time, kept as long as the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleRun {
    /// The due time; there is one entry for each at most.
    pub due_at: Timestamp,
    /// What became of it.
    pub status: ScheduleRunStatus,
    /// Due times that this entry stands for: `due_at` and those after it. Counted up to 10,000.
    pub due_count: u32,
    /// The execution of the tree; none where there was none, or where it was reported from outside.
    pub execution: Option<u32>,
    /// When it was decided, which is when the execution began.
    pub started_at: Timestamp,
    /// When the execution ended.
    pub ended_at: Option<Timestamp>,
    /// What was reported from outside as the reason of a failure.
    pub error: Option<String>,
}

/// The entry's status once its execution has ended like this.
pub fn run_status(tree: crate::task::TreeStatus) -> ScheduleRunStatus {
    match tree {
        crate::task::TreeStatus::Completed => ScheduleRunStatus::Completed,
        crate::task::TreeStatus::Cancelled => ScheduleRunStatus::Cancelled,
        crate::task::TreeStatus::Failed => ScheduleRunStatus::Failed,
        crate::task::TreeStatus::Pending | crate::task::TreeStatus::InProgress => ScheduleRunStatus::Running,
    }
}

/// Which schedules to list.
#[derive(Debug, Clone, Default)]
pub struct ScheduleFilter {
    /// Only those in force.
    pub enabled_only: bool,
    /// Only of this owner.
    pub user_id: Option<String>,
    /// Only of this type.
    pub schedule_type: Option<ScheduleType>,
    /// Only where the root has one of these statuses; empty means all.
    pub statuses: Vec<TaskStatus>,
    /// Only those due by then, in force and not waiting for the end of an execution.
    pub due_by: Option<Timestamp>,
}

/// Only a root can have a schedule, because what a schedule executes is a tree.
pub fn not_a_root(kind: ScheduleType, task: &str) -> Error {
    let remedy = format!(
        "task '{task}' is not the root of its tree; set the schedule of the root, which runs the whole tree"
    );
    invalid("schedule_type", kind.as_str(), remedy)
}

/// A field of a schedule that cannot be: names field, value and remedy.
pub(crate) fn invalid(field: &str, value: impl std::fmt::Display, remedy: impl std::fmt::Display) -> Error {
    let value = value.to_string();
    Error::new(ErrorCode::ScheduleInvalid, format!("Schedule field '{field}' is '{value}': {remedy}"))
        .with("field", field)
        .with("value", value)
}

#[cfg(test)]
mod tests;
