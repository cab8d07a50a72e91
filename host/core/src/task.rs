//! A task as everyone outside the engine sees it: plain data, with the field names of every wire.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::error::TaskError;
use crate::id::{NodeId, TaskId, TreeId};
use crate::json::Json;
use crate::retry::RetryPolicy;
use crate::schedule::Schedule;

/// The priority of tasks that name none; 0 is the most urgent, 3 the least.
pub const DEFAULT_PRIORITY: u8 = 2;
/// The highest number that `priority` may have.
pub const MAX_PRIORITY: u8 = 3;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Not started, or waiting for another attempt.
    Pending,
    /// A node runs it.
    InProgress,
    /// Its result is recorded.
    Completed,
    /// Its last attempt failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl TaskStatus {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::InProgress, Self::Completed, Self::Failed, Self::Cancelled];

    /// The text on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether an execution has ended for the task.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a dependency gives beside the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyKind {
    /// The result is merged into the dependent's inputs.
    Result,
    /// The result is used only where `{"$from": …}` asks for it.
    Reference,
}

/// "Not before that task": the only thing that gates a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The task to wait for; in the same tree.
    pub id: TaskId,
    /// True: it must be completed. False: any terminal status will do.
    pub required: bool,
    /// What it gives.
    #[serde(rename = "type")]
    pub kind: DependencyKind,
}

/// Where a task came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginType {
    /// Written by a caller.
    Create,
    /// A copy of another task.
    Copy,
    /// A view of another task.
    Link,
    /// Frozen.
    Archive,
}

/// A task with its state. The JSON form has every field, nulls included.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Task {
    /// Public id.
    pub id: TaskId,
    /// The task above it in the structure; gates nothing.
    pub parent_id: Option<TaskId>,
    /// The tree.
    #[serde(rename = "task_tree_id")]
    pub tree_id: TreeId,
    /// Owner.
    pub user_id: Option<String>,
    /// Unique among the tasks of one creation.
    pub name: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// 0 (most urgent) to 3.
    pub priority: u8,
    /// What gates it.
    pub dependencies: Vec<Dependency>,
    /// The inputs of the newest attempt if there is one, else the definition's: an object, null for a link.
    pub inputs: Json,
    /// For the executor's construction: an object; `executor_id` names the executor.
    pub params: Json,
    /// `method`, `input_schema`, `output_schema`: an object.
    pub schemas: Json,
    /// The result of the newest attempt.
    pub result: Option<Json>,
    /// The error message of the newest attempt.
    #[serde(serialize_with = "error_text")]
    pub error: Option<TaskError>,
    /// The same error with kind, code and pointer.
    pub error_info: Option<TaskError>,
    /// 0.0 to 1.0.
    pub progress: f64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its newest attempt began.
    pub started_at: Option<Timestamp>,
    /// When anything last changed.
    pub updated_at: Timestamp,
    /// When it reached a terminal status.
    pub completed_at: Option<Timestamp>,
    /// Whether it is the parent of others.
    pub has_children: bool,
    /// What it is a clone of.
    pub original_task_id: Option<TaskId>,
    /// How it came about.
    pub origin_type: OriginType,
    /// Whether there are clones of it.
    pub has_references: bool,
    /// When it runs by itself; only a root has a schedule.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// The fencing token of the run that holds it.
    pub lease_id: Option<String>,
    /// When that lease ends unless it is renewed.
    pub lease_expires_at: Option<Timestamp>,
    /// Which nodes may run it.
    pub placement_constraints: Option<Json>,
    /// Number of the newest attempt; 0 before the first.
    #[serde(rename = "attempt_id")]
    pub attempt: u32,
    /// The key of the request that created the tree; at its root only.
    pub idempotency_key: Option<String>,
    /// The node of the newest attempt.
    pub last_assigned_node: Option<NodeId>,
    /// Free text.
    pub description: Option<String>,
    /// The executor that will run it.
    pub executor: Option<String>,
    /// A free object.
    pub metadata: Option<Json>,
    /// When to try again.
    pub retry: Option<RetryPolicy>,
    /// Longest time for one attempt, in milliseconds.
    pub timeout_ms: Option<u32>,
    /// Longest time for one execution of the tree, in milliseconds; only a root has one.
    pub deadline_ms: Option<u32>,
    /// Tasks with the same key, in whatever trees, run one at a time, or as the operator's rule for the key says.
    pub concurrency_key: Option<String>,
    /// The failed or cancelled dependency that it waits behind.
    pub blocked_by: Option<TaskId>,
    /// Whether it reads through to `original_task_id`; also where it was archived since. A link's own record has no
    /// payload: `inputs`, `params` and `schemas` are null.
    #[serde(skip)]
    pub is_link: bool,
    /// The definition's inputs, where `inputs` shows those of an attempt.
    #[serde(skip)]
    pub defined_inputs: Option<Json>,
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn error_text<S: Serializer>(error: &Option<TaskError>, serializer: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(|error| error.message.as_str()).serialize(serializer)
}

/// Where a tree stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeStatus {
    /// Never executed.
    Pending,
    /// Something in it runs or can run.
    InProgress,
    /// The last execution ended with everything completed.
    Completed,
    /// The last execution ended with something failed or blocked.
    Failed,
    /// The last execution ended with something cancelled and nothing failed.
    Cancelled,
}

impl TreeStatus {
    /// The text on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// How an execution ends in which so many tasks failed (or stayed blocked) and were cancelled.
    pub const fn at_end(failed: u32, cancelled: u32) -> Self {
        if cancelled > 0 && failed == 0 {
            Self::Cancelled
        } else if failed > 0 {
            Self::Failed
        } else {
            Self::Completed
        }
    }
}

impl fmt::Display for TreeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One attempt at a task, kept for good.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// From 1; 0 for a task that was cancelled before its first attempt, and for a link, which never runs.
    pub attempt: u32,
    /// `completed`, `failed` or `cancelled`.
    pub status: TaskStatus,
    /// The node that ran it.
    pub node: Option<NodeId>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was recorded.
    pub completed_at: Timestamp,
    /// Its result.
    pub result: Option<Json>,
    /// Its error.
    pub error: Option<TaskError>,
    /// The resolved inputs, where they differ from the definition.
    pub inputs: Option<Json>,
    /// What it used: CPU time, memory, bytes, plugin and version.
    pub receipt: Option<Json>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for status in TaskStatus::ALL {
            assert_eq!(TaskStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(TaskStatus::parse("banana"), None);
    }

    #[test]
    fn a_tree_ends_as_its_worst_task() {
        assert_eq!(TreeStatus::at_end(0, 0), TreeStatus::Completed);
        assert_eq!(TreeStatus::at_end(0, 2), TreeStatus::Cancelled);
        assert_eq!(TreeStatus::at_end(1, 2), TreeStatus::Failed);
    }
}
