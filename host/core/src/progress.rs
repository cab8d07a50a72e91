//! How far work has come: tasks by status, and what they have done.

use serde::Serialize;

use crate::task::TaskStatus;

/// Tasks by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StatusCounts {
    /// Pending.
    pub pending: u64,
    /// Running.
    pub in_progress: u64,
    /// Completed.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
}

impl StatusCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.pending + self.in_progress + self.completed + self.failed + self.cancelled
    }

    /// The count of one status, to write.
    pub fn of(&mut self, status: TaskStatus) -> &mut u64 {
        match status {
            TaskStatus::Pending => &mut self.pending,
            TaskStatus::InProgress => &mut self.in_progress,
            TaskStatus::Completed => &mut self.completed,
            TaskStatus::Failed => &mut self.failed,
            TaskStatus::Cancelled => &mut self.cancelled,
        }
    }
}

/// How far a task and everything below it have come.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    /// Tasks by status.
    pub counts: StatusCounts,
    /// The sum of what each has done of itself: 1 for a completed task, what a running one has reported, else 0.
    pub done: f64,
}

impl Progress {
    /// 0.0 to 1.0: the mean of all tasks.
    pub fn fraction(&self) -> f64 {
        match self.counts.total() {
            0 => 0.0,
            total => self.done / total as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_is_the_mean_of_all_tasks() {
        let mut progress = Progress::default();
        assert!(progress.fraction().abs() < f64::EPSILON);
        *progress.counts.of(TaskStatus::Completed) = 1;
        *progress.counts.of(TaskStatus::InProgress) = 1;
        *progress.counts.of(TaskStatus::Failed) = 2;
        progress.done = 1.5;
        assert_eq!(progress.counts.total(), 4);
        assert!((progress.fraction() - 0.375).abs() < f64::EPSILON);
    }
}
