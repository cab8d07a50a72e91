//! Runs that somebody else makes and reports: a scheduler outside that executes the tree by itself.

use super::{Schedule, ScheduleRun, ScheduleRunStatus, Timetable, invalid};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorCode, Result};
use crate::id::TaskId;

/// Counts a run that somebody else reports for the schedule's next due time, or for now if there is none; gives that due
/// time. With `advance` the schedule goes on to the next one.
///
/// # Errors
/// `ScheduleInvalid` for a schedule that cannot be read.
pub fn complete(schedule: &mut Schedule, advance: bool, now: Timestamp) -> Result<Timestamp> {
    let due = schedule.next_run_at.unwrap_or(now);
    schedule.run_count = schedule.run_count.saturating_add(1);
    schedule.last_run_at = Some(now);
    if let Some(table) = Timetable::of(schedule)?.filter(|_| advance) {
        schedule.next_run_at = table.following(due, now).filter(|_| !schedule.is_used_up(0));
        schedule.schedule_enabled &= schedule.next_run_at.is_some();
    }
    Ok(due)
}

/// Whether a run of a schedule may be reported from outside; `runs`: this host runs the tree for it.
///
/// # Errors
/// `ScheduleInvalid` for a task without a schedule; `AlreadyExecuting` if the host is at it itself.
pub fn check_report(schedule: &Schedule, task: &TaskId, runs: bool) -> Result<()> {
    if !schedule.is_set() {
        return Err(no_schedule(task));
    }
    if runs {
        let text = format!(
            "Task '{task}' is being run for its schedule by the host, which records the end itself; wait for it"
        );
        return Err(Error::new(ErrorCode::AlreadyExecuting, text).with("task_id", task.as_str()));
    }
    Ok(())
}

/// A task has no schedule.
pub fn no_schedule(task: &TaskId) -> Error {
    let remedy = format!("task '{task}' has no schedule; set one with tasks.update");
    invalid("schedule_type", "null", remedy).with("task_id", task.as_str())
}

/// The entry of the history for a reported run.
pub fn reported(due: Timestamp, failure: Option<String>, now: Timestamp) -> ScheduleRun {
    ScheduleRun {
        due_at: due,
        status: if failure.is_some() { ScheduleRunStatus::Failed } else { ScheduleRunStatus::Completed },
        due_count: 1,
        execution: None,
        started_at: now,
        ended_at: Some(now),
        error: failure,
    }
}
