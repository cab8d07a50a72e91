//! Clones of tasks: which tasks of a tree a request takes ([`select`]), what is stored for them ([`build`]), and what may be
//! done to what came of it. Pure arithmetic on tasks that were read from a store, so that every store and every door
//! decides alike.
//!
//! A *copy* is a new task with the definition of another. A *link* is a new task without a definition: it is completed
//! from the start, never runs, and reads through to its original, which is never a link itself. An *archive* is no new
//! task: the task stays where it is and is frozen.

mod build;
mod select;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};
use crate::id::TaskId;
use crate::json::Json;
use crate::store::TaskPatch;
use crate::task::{OriginType, Task, TaskStatus};
use crate::tree::NewTree;

pub use build::{build, preview};
pub use select::{Selection, select};

/// What to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloneMode {
    /// New tasks with the same definitions.
    #[default]
    Copy,
    /// New tasks that read through to the originals.
    Link,
    /// The same tasks, frozen.
    Archive,
    /// Links for the tasks that are named, copies of the others.
    Mixed,
}

impl CloneMode {
    /// The text on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Link => "link",
            Self::Archive => "archive",
            Self::Mixed => "mixed",
        }
    }
}

/// Asks for a clone.
#[derive(Debug, Clone, PartialEq)]
pub struct CloneRequest {
    /// The task; with what is below it unless `recursive` is false.
    pub task: TaskId,
    /// What to make.
    pub mode: CloneMode,
    /// False: this one task alone, without what it depends on.
    pub recursive: bool,
    /// Which tasks become links; for [`CloneMode::Mixed`] only.
    pub link: Vec<TaskId>,
    /// Whether tasks outside that it depends on are taken, too; else they are an error.
    pub auto_include_deps: bool,
    /// Whether tasks outside that depend on it are taken, too.
    pub include_dependents: bool,
    /// The owner of the clone, if not that of the source. Links cannot change hands.
    pub user_id: Option<String>,
    /// What is different in the copies; the name only in the root. No status, no dependencies.
    pub changes: TaskPatch,
}

impl CloneRequest {
    /// A plain copy of a task and everything below it.
    pub fn copy(task: TaskId) -> Self {
        Self {
            task,
            mode: CloneMode::Copy,
            recursive: true,
            link: Vec::new(),
            auto_include_deps: false,
            include_dependents: false,
            user_id: None,
            changes: TaskPatch::default(),
        }
    }
}

/// Where one task of a [`NewClone`] comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The task that it is a clone of; never a link.
    pub original: TaskId,
    /// Whether it is a link; else it is a copy.
    pub link: bool,
}

/// A tree of clones, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewClone {
    /// The tasks; links have no definition.
    pub tree: NewTree,
    /// For each task of the tree, in its order.
    pub origins: Vec<Origin>,
}

/// Links and archived tasks never change and never run.
pub const fn is_frozen(origin: OriginType) -> bool {
    matches!(origin, OriginType::Link | OriginType::Archive)
}

/// Refuses to do something (for example "changed") to a task that is frozen.
///
/// # Errors
/// `TaskImmutable`.
pub fn check_mutable(id: &TaskId, origin: OriginType, done: &str) -> Result<()> {
    let (what, remedy) = match origin {
        OriginType::Create | OriginType::Copy => return Ok(()),
        OriginType::Link => ("a link", "Use its original (original_task_id), or a copy of it"),
        OriginType::Archive => ("archived", "Make a copy of it (tasks.clone) and use that"),
    };
    Err(Error::new(ErrorCode::TaskImmutable, format!("Task '{id}' is {what} and cannot be {done}. {remedy}"))
        .with("task_id", id.as_str()))
}

/// Refuses to do something to an archived task. For what a link is no obstacle to: it may be deleted, and the rest of its tree
/// may run.
///
/// # Errors
/// `TaskImmutable`.
pub fn check_not_archived(id: &TaskId, origin: OriginType, done: &str) -> Result<()> {
    if origin == OriginType::Archive { check_mutable(id, origin, done) } else { Ok(()) }
}

/// Refuses to link to or to archive tasks that are not completed. `what` is the operation, for the text.
///
/// # Errors
/// `CannotClone`, naming those that are not.
pub fn check_completed<'t>(
    what: &str,
    tasks: impl IntoIterator<Item = (&'t TaskId, TaskStatus)>,
) -> Result<()> {
    let open: Vec<String> = tasks
        .into_iter()
        .filter(|(_, status)| *status != TaskStatus::Completed)
        .map(|(id, status)| format!("{id}: {status}"))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let text = format!(
        "Cannot {what}: all its tasks must be completed, and {} are not: [{}]. Execute them first, or make a copy",
        open.len(),
        open.join(", ")
    );
    Err(Error::new(ErrorCode::CannotClone, text).with("tasks", open))
}

/// Looks at the original of a clone once more, in the transaction that writes the clone. `found` is what it is now: its
/// status, and whether it is a link.
///
/// # Errors
/// `TaskNotFound` if it is gone; `CannotClone` if it can no longer be linked to.
pub fn check_original(origin: &Origin, found: Option<(TaskStatus, bool)>) -> Result<()> {
    let id = &origin.original;
    let (status, is_link) = found.ok_or_else(|| Error::task_not_found(id))?;
    if origin.link && is_link {
        let text = format!("Task '{id}' is a link itself; link to its original");
        return Err(Error::new(ErrorCode::CannotClone, text).with("task_id", id.as_str()));
    }
    if origin.link { check_completed(&format!("link to task '{id}'"), [(id, status)]) } else { Ok(()) }
}

/// Takes the payload out of a link: what it shows when nobody reads through it.
pub fn blank(task: &mut Task) {
    task.inputs = Json::null();
    task.params = Json::null();
    task.schemas = Json::null();
    task.executor = None;
    task.result = None;
}

/// A link as whoever reads through it sees it: the original's data at the link's own place in its own tree.
#[must_use]
pub fn read_through(link: Task, original: &Task) -> Task {
    Task {
        id: link.id,
        parent_id: link.parent_id,
        tree_id: link.tree_id,
        user_id: link.user_id,
        dependencies: link.dependencies,
        has_children: link.has_children,
        created_at: link.created_at,
        updated_at: link.updated_at,
        origin_type: link.origin_type,
        original_task_id: link.original_task_id,
        has_references: link.has_references,
        idempotency_key: link.idempotency_key,
        is_link: true,
        ..original.clone()
    }
}

#[cfg(test)]
mod tests;
