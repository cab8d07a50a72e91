//! The state machine of a task: every status change in the project asks [`transition`] first.

use crate::error::{Error, ErrorCode, Result};
use crate::task::TaskStatus::{self, Cancelled, Completed, Failed, InProgress, Pending};

/// What may happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A node claims it.
    Start,
    /// Its attempt succeeded.
    Complete,
    /// Its last attempt failed.
    Fail,
    /// Its attempt failed or its node died, and another attempt follows.
    Retry,
    /// Somebody cancels it.
    Cancel,
    /// The deadline of its execution has passed.
    Expire,
    /// It shall run again although it has finished.
    Rerun,
    /// Its tree begins anew, whatever became of it the last time: what a schedule does.
    Renew,
}

/// The status after `change`, or a refusal that leaves the task as it is.
///
/// # Errors
/// [`ErrorCode::InvalidTransition`], naming both.
pub fn transition(from: TaskStatus, change: Change) -> Result<TaskStatus> {
    match (from, change) {
        (Pending, Change::Start) => Ok(InProgress),
        (InProgress, Change::Complete) => Ok(Completed),
        (InProgress, Change::Fail) => Ok(Failed),
        (InProgress, Change::Retry) => Ok(Pending),
        (Pending | InProgress, Change::Cancel) => Ok(Cancelled),
        (Pending | InProgress, Change::Expire) => Ok(Failed),
        (Failed | Completed, Change::Rerun) => Ok(Pending),
        (Failed | Completed | Cancelled, Change::Renew) => Ok(Pending),
        (Pending | InProgress | Completed | Failed | Cancelled, _) => Err(Error::new(
            ErrorCode::InvalidTransition,
            format!("A task that is '{from}' cannot {}", verb(change)),
        )
        .with("status", from.as_str())),
    }
}

/// The change that an owner asks for by naming a new status in `tasks.update`.
///
/// An owner may cancel a pending or running task and may put a failed task back to `pending`; starting, completing and
/// failing belong to the holder of the lease alone.
///
/// # Errors
/// [`ErrorCode::InvalidTransition`] for anything else.
pub fn owner_change(from: TaskStatus, to: TaskStatus) -> Result<Change> {
    match (from, to) {
        (Pending | InProgress, Cancelled) => Ok(Change::Cancel),
        (Failed, Pending) => Ok(Change::Rerun),
        (Pending | InProgress | Completed | Failed | Cancelled, _) => Err(Error::new(
            ErrorCode::InvalidTransition,
            format!(
                "Status cannot be changed from '{from}' to '{to}'. By update, a pending or running task can be \
                 cancelled and a failed one set back to pending; everything else follows from executing it"
            ),
        )
        .with("status", from.as_str())
        .with("requested", to.as_str())),
    }
}

fn verb(change: Change) -> &'static str {
    match change {
        Change::Start => "be started",
        Change::Complete => "be completed",
        Change::Fail => "fail",
        Change::Retry => "be tried again",
        Change::Cancel => "be cancelled",
        Change::Expire => "run out of time",
        Change::Rerun => "be run again",
        Change::Renew => "begin anew",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_changes_are_possible() {
        let all = [Pending, InProgress, Completed, Failed, Cancelled];
        let changes = [
            Change::Start,
            Change::Complete,
            Change::Fail,
            Change::Retry,
            Change::Cancel,
            Change::Expire,
            Change::Rerun,
            Change::Renew,
        ];
        let allowed: Vec<_> = all
            .iter()
            .flat_map(|from| changes.iter().map(move |change| (*from, *change)))
            .filter_map(|(from, change)| transition(from, change).ok().map(|to| (from, to)))
            .collect();
        assert_eq!(
            allowed,
            [
                (Pending, InProgress),
                (Pending, Cancelled),
                (Pending, Failed),
                (InProgress, Completed),
                (InProgress, Failed),
                (InProgress, Pending),
                (InProgress, Cancelled),
                (InProgress, Failed),
                (Completed, Pending),
                (Completed, Pending),
                (Failed, Pending),
                (Failed, Pending),
                (Cancelled, Pending),
            ]
        );
    }

    #[test]
    fn an_owner_cannot_complete_or_revive() {
        assert!(owner_change(Completed, Pending).is_err());
        assert!(owner_change(Pending, Completed).is_err());
        assert_eq!(owner_change(Failed, Pending), Ok(Change::Rerun));
        assert_eq!(owner_change(InProgress, Cancelled), Ok(Change::Cancel));
    }
}
