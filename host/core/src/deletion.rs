//! Whether tasks may be deleted: every reason against it, in one text that all stores give alike.

use crate::error::{Error, ErrorCode, Result};
use crate::id::TaskId;
use crate::task::TaskStatus;

/// A task that is about to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The task.
    pub id: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// Whether it waits, is ready, delayed or running.
    pub armed: bool,
    /// Whether it is a link that was not archived: it has nothing of its own to lose, and may go although it is completed.
    pub link: bool,
}

impl Doomed {
    fn is_busy(&self) -> bool {
        self.status != TaskStatus::Pending && !self.link
    }
}

/// Checks the deletion of a task (the first of `all`) with everything below it. `needed`: whether a task outside depends on
/// one inside; `links`: the links outside that read through to one inside.
///
/// # Errors
/// `CannotDelete` with all reasons.
pub fn check_deletable(all: &[Doomed], needed: bool, links: &[TaskId]) -> Result<()> {
    let mut reasons = Vec::new();
    let busy: Vec<String> = all
        .iter()
        .skip(1)
        .filter(|task| task.is_busy())
        .map(|task| format!("{}: {}", task.id, task.status))
        .collect();
    if !busy.is_empty() {
        reasons.push(format!("task has {} non-pending children: [{}]", busy.len(), busy.join(", ")));
    }
    if let Some(task) = all.first().filter(|task| task.is_busy()) {
        reasons.push(format!("task status is '{}' (must be 'pending')", task.status));
    }
    let queued = all.iter().filter(|task| task.armed && task.status == TaskStatus::Pending).count();
    if queued > 0 {
        reasons.push(format!("{queued} of its tasks are queued by a running execution (cancel it first)"));
    }
    if needed {
        reasons.push("task has dependent tasks and cannot be deleted".to_owned());
    }
    if !links.is_empty() {
        let names: Vec<&str> = links.iter().map(TaskId::as_str).collect();
        reasons.push(format!(
            "task has {} links to it: [{}] (delete them first)",
            names.len(),
            names.join(", ")
        ));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let id = all.first().map(|task| task.id.as_str()).unwrap_or_default();
    let text = format!("Cannot delete task: {}", reasons.join("; "));
    Err(Error::new(ErrorCode::CannotDelete, text).with("task_id", id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskStatus::{Completed, Failed, Pending};

    fn task(id: &str, status: TaskStatus, armed: bool) -> Doomed {
        Doomed { id: id.into(), status, armed, link: false }
    }

    #[test]
    fn all_reasons_are_in_one_text() {
        let all = [task("r", Failed, false), task("a", Completed, false), task("b", Pending, true)];
        let error = check_deletable(&all, true, &["l".into(), "m".into()]).unwrap_err();
        assert_eq!(
            error.message,
            "Cannot delete task: task has 1 non-pending children: [a: completed]; task status is 'failed' (must be \
             'pending'); 1 of its tasks are queued by a running execution (cancel it first); task has dependent tasks and \
             cannot be deleted; task has 2 links to it: [l, m] (delete them first)"
        );
        assert_eq!((error.code, &error.data["task_id"]), (ErrorCode::CannotDelete, &"r".into()));
    }

    #[test]
    fn pending_tasks_and_links_may_go() {
        let link = Doomed { link: true, ..task("l", Completed, false) };
        assert_eq!(check_deletable(&[task("r", Pending, false), link], false, &[]), Ok(()));
    }
}
