//! From a row to the task that everyone sees.

use apflow_core::clone::blank;
use apflow_core::id::{TaskKey, TreeKey};
use apflow_core::json::Json;
use apflow_core::task::{Attempt, Dependency, Task, TaskStatus};

use super::rows::{Place, State, TaskRow};

pub(super) fn view(state: &State, key: TaskKey) -> Task {
    let mut task = record(state, key);
    if task.is_link {
        blank(&mut task);
    }
    task
}

fn record(state: &State, key: TaskKey) -> Task {
    let row = &state.tasks[key];
    let tree = &state.trees[row.tree];
    let hold = row.hold();
    // While a run holds the task, that is the newest attempt, of which nothing is known yet but its beginning.
    let newest = if hold.is_some() { None } else { row.history.last() };
    let started_at = hold.map(|hold| hold.started_at).or_else(|| newest.and_then(|one| one.started_at));
    let finished_at = newest.map(|one| one.completed_at);
    let error = newest.and_then(|one| one.error.clone());
    let id_of = |key: TaskKey| state.tasks[key].id.clone();
    let run_with = inputs(row, newest);
    Task {
        id: row.id.clone(),
        parent_id: row.parent.map(id_of),
        tree_id: tree.id.clone(),
        user_id: tree.user_id.clone(),
        name: row.name.clone(),
        status: row.status,
        priority: row.priority,
        dependencies: row
            .dependencies
            .iter()
            .map(|(on, required, kind)| Dependency { id: id_of(*on), required: *required, kind: *kind })
            .collect(),
        inputs: run_with.clone().unwrap_or_else(|| row.inputs.clone()),
        params: row.params.clone(),
        schemas: row.schemas.clone(),
        result: newest.and_then(|one| one.result.clone()),
        error: error.clone(),
        error_info: error,
        progress: match (hold, row.status) {
            (Some(hold), _) => hold.fraction,
            (None, TaskStatus::Completed) => 1.0,
            (None, _) => 0.0,
        },
        created_at: row.created_at,
        started_at,
        updated_at: [row.edited_at, started_at, finished_at, row.archived_at]
            .into_iter()
            .flatten()
            .fold(row.created_at, Ord::max),
        completed_at: finished_at.filter(|_| row.status.is_terminal()),
        has_children: !row.children.is_empty(),
        original_task_id: row.origin.as_ref().map(|origin| origin.original_id.clone()),
        origin_type: row.origin_type(),
        has_references: !row.clones.is_empty(),
        schedule: state.schedules.get(&key).cloned().unwrap_or_default(),
        lease_id: hold.map(|_| row.token.0.to_string()),
        lease_expires_at: hold.and_then(|hold| state.sessions.get(&hold.node)?.until),
        placement_constraints: None,
        attempt: row.attempt,
        idempotency_key: if row.parent.is_none() { key_of(state, row.tree) } else { None },
        last_assigned_node: hold
            .map(|hold| hold.node.clone())
            .or_else(|| newest.and_then(|one| one.node.clone())),
        description: row.description.clone(),
        executor: row.executor.clone(),
        metadata: row.metadata.clone(),
        retry: row.retry,
        timeout_ms: row.timeout_ms,
        deadline_ms: tree.deadline_ms.filter(|_| row.parent.is_none()),
        concurrency_key: row.concurrency_key.clone(),
        blocked_by: match row.place {
            Place::Blocked(cause) => Some(id_of(cause)),
            Place::Idle
            | Place::Waiting(_)
            | Place::Ready(_)
            | Place::Delayed(_)
            | Place::Parked(..)
            | Place::Running(_) => None,
        },
        is_link: row.is_link(),
        defined_inputs: run_with.map(|_| row.inputs.clone()),
    }
}

/// What the newest attempt ran with, unless the owner has written a newer definition.
fn inputs(row: &TaskRow, newest: Option<&Attempt>) -> Option<Json> {
    newest
        .filter(|one| row.edited_at.is_none_or(|edited| one.started_at.is_some_and(|began| edited <= began)))
        .and_then(|one| one.inputs.clone())
}

/// The key of the request that created a tree.
fn key_of(state: &State, tree: TreeKey) -> Option<String> {
    state.receipts.iter().find(|(_, receipt)| receipt.tree == tree).map(|((_, key), _)| key.clone())
}
