//! The ordered event log: every transition is one event, written in the transaction that made it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{Seq, TaskId, TreeId};
use crate::json::Json;
use crate::task::TreeStatus;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What happened. Text for the wire, number for the store; both are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[$doc])* $name,)* }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text on every wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The number in the store.
            pub const fn number(self) -> i64 {
                match self { $(Self::$name => $number,)* }
            }

            /// The kind with that number.
            pub fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// A tree was accepted; `data` is `{"tasks": count}`.
    TreeCreated = 1, "tree.created";
    /// An execution began; `data` is `{"tasks": count}`, the tasks it will run.
    TreeStarted = 2, "tree.started";
    /// An execution ended with everything completed.
    TreeCompleted = 3, "tree.completed";
    /// An execution ended with something failed or blocked.
    TreeFailed = 4, "tree.failed";
    /// An execution ended with something cancelled and nothing failed.
    TreeCancelled = 5, "tree.cancelled";
    /// A tree was deleted, or part of it; `data` is `{"tasks": count}`.
    TreeDeleted = 6, "tree.deleted";
    /// A node claimed the task.
    TaskStarted = 10, "task.started";
    /// The run reported; `data` is `{"fraction", "message"?, "partial"?}`.
    TaskProgress = 11, "task.progress";
    /// The task is completed.
    TaskCompleted = 12, "task.completed";
    /// The task has failed for good.
    TaskFailed = 13, "task.failed";
    /// The task was cancelled.
    TaskCancelled = 14, "task.cancelled";
    /// An attempt failed and another will follow; `data` is `{"due": time}`.
    TaskRetrying = 15, "task.retrying";
    /// A required dependency failed; `data` is `{"blocked_by": id}`.
    TaskBlocked = 16, "task.blocked";
    /// A hook put the task off; `data` is `{"due": time}`.
    TaskDelayed = 17, "task.delayed";
    /// The node that ran it is gone and the task is ready again.
    TaskRescued = 18, "task.rescued";
    /// The owner changed the definition.
    TaskUpdated = 19, "task.updated";
}

impl EventKind {
    /// Whether it ends an execution of a tree: exactly one such event for each `tree.started`.
    pub const fn ends_tree(self) -> bool {
        matches!(self, Self::TreeCompleted | Self::TreeFailed | Self::TreeCancelled)
    }

    /// Whether it finishes a task.
    pub const fn ends_task(self) -> bool {
        matches!(self, Self::TaskCompleted | Self::TaskFailed | Self::TaskCancelled)
    }

    /// How the execution ended that it ends, if it ends one.
    pub const fn ended(self) -> Option<TreeStatus> {
        match self {
            Self::TreeCompleted => Some(TreeStatus::Completed),
            Self::TreeFailed => Some(TreeStatus::Failed),
            Self::TreeCancelled => Some(TreeStatus::Cancelled),
            _ => None,
        }
    }

    /// The event that ends an execution with this status.
    pub const fn tree_end(status: TreeStatus) -> Self {
        match status {
            TreeStatus::Completed => Self::TreeCompleted,
            TreeStatus::Cancelled => Self::TreeCancelled,
            TreeStatus::Failed | TreeStatus::Pending | TreeStatus::InProgress => Self::TreeFailed,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::ALL
            .iter()
            .find(|kind| kind.as_str() == text)
            .copied()
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an event kind")))
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position; increasing, with possible gaps.
    pub seq: Seq,
    /// The tree.
    pub tree_id: TreeId,
    /// The task; none for events of the tree.
    pub task_id: Option<TaskId>,
    /// The task's executor.
    pub executor: Option<String>,
    /// The attempt for task events, the execution for tree events.
    pub attempt: u32,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// From `task.started` to the end of a run when the attempt began, at the end of an execution when that began.
    pub started_at: Option<Timestamp>,
    /// As the kind says. For `task.completed` `{"result"}`, for `task.failed` and `task.retrying` `{"error": TaskError}`
    /// (and `due`), for `task.cancelled` `{"error"}`; with `receipt` where the attempt has one.
    pub data: Option<Json>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_unique_and_come_back() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_number(kind.number()), Some(*kind));
            let text = serde_json::to_string(kind).unwrap();
            assert_eq!(serde_json::from_str::<EventKind>(&text).unwrap(), *kind);
        }
    }
}
