//! `update` and `delete`: an owner's edits. Everything is checked before anything is changed.

use std::collections::BTreeSet;

use apflow_core::clock::Timestamp;
use apflow_core::clone::{check_mutable, check_not_archived};
use apflow_core::deletion::{Doomed, check_deletable};
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TaskKey, TreeKey};
use apflow_core::plan::circle;
use apflow_core::store::{Deleted, TaskPatch, dependent_in_progress};
use apflow_core::task::{DependencyKind, OriginType, Task, TaskStatus};
use apflow_core::transition::{Change, owner_change, transition};
use apflow_core::tree::not_of_root;
use serde_json::json;

use super::gates;
use super::log::TaskNote;
use super::rows::{OriginRow, Place, State, TaskRow};
use super::schedules::{self, edited};
use super::transaction::Transaction;
use super::view::view;

type Edges = Vec<(TaskKey, bool, DependencyKind)>;

pub(super) fn update(state: &mut State, id: &TaskId, patch: TaskPatch, now: Timestamp) -> Result<Task> {
    let key = state.key_of(id)?;
    check_mutable(id, state.tasks[key].origin_type(), "changed")?;
    let status = patch.status.map(|to| new_status(&state.tasks[key], to)).transpose()?;
    let dependencies =
        patch.dependencies.as_ref().map(|wanted| new_dependencies(state, key, wanted)).transpose()?;
    let schedule = patch.schedule.as_ref().map(|change| edited(state, key, change, now)).transpose()?;
    if patch.deadline_ms.is_some() && state.tasks[key].parent.is_some() {
        return Err(not_of_root(&state.tasks[key].name));
    }
    if let Some(schedule) = schedule {
        schedules::set(state, key, schedule);
    }
    if let Some(status) = status {
        state.tasks[key].status = status;
    }
    if let Some(dependencies) = dependencies {
        rewire(state, key, dependencies);
    }
    if let Some(priority) = patch.priority {
        state.reorder(key, |row| row.priority = priority);
    }
    let regates = patch.concurrency_key.is_some() || patch.executor.is_some();
    if let Some(deadline) = patch.deadline_ms {
        let tree = state.tasks[key].tree;
        state.trees[tree].deadline_ms = deadline;
    }
    let row = &mut state.tasks[key];
    set(&mut row.name, patch.name);
    set(&mut row.inputs, patch.inputs);
    set(&mut row.params, patch.params);
    set(&mut row.executor, patch.executor);
    set(&mut row.schemas, patch.schemas);
    set(&mut row.metadata, patch.metadata);
    set(&mut row.description, patch.description);
    set(&mut row.retry, patch.retry);
    set(&mut row.timeout_ms, patch.timeout_ms);
    set(&mut row.concurrency_key, patch.concurrency_key);
    row.edited_at = Some(now);
    let attempt = row.attempt;
    if regates {
        gates::regate(state, key);
    }
    let note = TaskNote { kind: EventKind::TaskUpdated, attempt, started_at: None, data: None };
    Transaction::new(state, now).note_task(key, note);
    Ok(view(state, key))
}

fn set<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}

fn new_status(row: &TaskRow, to: TaskStatus) -> Result<TaskStatus> {
    match owner_change(row.status, to)? {
        Change::Cancel => Err(Error::new(
            ErrorCode::InvalidTransition,
            format!("Task '{}' is cancelled by cancelling it, not by an update of its status", row.id),
        )
        .with("status", row.status.as_str())
        .with("requested", to.as_str())),
        change => transition(row.status, change),
    }
}

/// The keys of the wanted dependencies, without duplicates; the first of several wins.
fn new_dependencies(state: &State, key: TaskKey, wanted: &[(TaskId, bool, DependencyKind)]) -> Result<Edges> {
    let row = &state.tasks[key];
    let refuse = |problem: String| {
        Error::new(ErrorCode::InvalidDependency, problem)
            .with("task_id", row.id.as_str())
            .with("field", "dependencies")
    };
    if row.status != TaskStatus::Pending || row.place.is_armed() {
        let why = if row.place.is_armed() {
            "an execution that is under way will run it"
        } else {
            "it is not pending"
        };
        return Err(refuse(format!(
            "Dependencies of task '{}' (status '{}') cannot be changed: {why}. Only a pending task that no execution \
             has armed can get others",
            row.id, row.status
        )));
    }
    let is_running = |key: &TaskKey| state.tasks[*key].status == TaskStatus::InProgress;
    if let Some((busy, _)) = row.dependents.iter().find(|(by, _)| is_running(by)) {
        return Err(refuse(dependent_in_progress(&row.id, &state.tasks[*busy].id)));
    }
    let mut edges: Edges = Vec::with_capacity(wanted.len());
    for (id, required, kind) in wanted {
        let target = state.task_keys.get(id).filter(|target| state.tasks[**target].tree == row.tree);
        let Some(target) = target else {
            return Err(refuse(format!("Dependency '{id}' of task '{}' is not a task of its tree", row.id))
                .with("value", id.as_str()));
        };
        if edges.iter().all(|(known, _, _)| known != target) {
            edges.push((*target, *required, *kind));
        }
    }
    check_circle(state, key, &edges)?;
    Ok(edges)
}

fn check_circle(state: &State, key: TaskKey, edges: &Edges) -> Result<()> {
    let targets = |edges: &Edges| edges.iter().map(|(on, _, _)| *on).collect::<Vec<_>>();
    let graph: Vec<(TaskKey, Vec<TaskKey>)> = state
        .keys_of(state.tasks[key].tree)
        .into_iter()
        .map(|one| (one, targets(if one == key { edges } else { &state.tasks[one].dependencies })))
        .collect();
    match circle(&graph) {
        None => Ok(()),
        Some(at) => Err(Error::new(
            ErrorCode::CircularDependency,
            format!(
                "Circular dependency detected involving task '{}'. Tasks cannot have circular dependencies as this \
                 would cause infinite loops.",
                state.tasks[at].name
            ),
        )
        .with("task_id", state.tasks[at].id.as_str())),
    }
}

/// Gives a task other dependencies. What blocked it is behind it then.
fn rewire(state: &mut State, key: TaskKey, edges: Edges) {
    unwire(state, key);
    for (target, required, _) in &edges {
        state.tasks[*target].dependents.push((key, *required));
    }
    state.tasks[key].dependencies = edges;
    state.move_to(key, Place::Idle);
}

fn unwire(state: &mut State, key: TaskKey) {
    for (target, _, _) in std::mem::take(&mut state.tasks[key].dependencies) {
        state.tasks[target].dependents.retain(|(dependent, _)| *dependent != key);
    }
}

pub(super) fn delete(state: &mut State, id: &TaskId, now: Timestamp) -> Result<Deleted> {
    let key = state.key_of(id)?;
    let all = descendants(state, key);
    check_not_archived(id, state.tasks[key].origin_type(), "deleted")?;
    check(state, &all)?;
    let tree = state.tasks[key].tree;
    let count = all.len() as u32;
    Transaction::new(state, now).note_tree(
        tree,
        EventKind::TreeDeleted,
        Some(json!({"tasks": count}).into()),
    );
    if let Some(parent) = state.tasks[key].parent {
        state.tasks[parent].children.retain(|child| *child != key);
    } else {
        state.tree_keys.remove(&state.trees[tree].id);
    }
    for one in &all {
        unwire(state, *one);
    }
    unblock(state, tree, &all.iter().copied().collect());
    for one in &all {
        if let Some(row) = state.tasks.remove(one.0) {
            state.task_keys.remove(&row.id);
            forget_clone(state, *one, row.origin);
        }
        state.schedules.remove(one);
        state.schedule_runs.remove(one);
        state.plugins.checkpoints.remove(one);
        state.plugins.children.retain(|_, child| child.task != *one);
    }
    if state.tasks.get(state.trees[tree].root.0).is_none() {
        state.trees.remove(tree.0);
        state.receipts.retain(|_, receipt| receipt.tree != tree);
        state.plugins.children.remove(&tree);
    }
    Ok(Deleted { deleted: count })
}

/// The original has one clone less, if it is still there.
fn forget_clone(state: &mut State, clone: TaskKey, origin: Option<OriginRow>) {
    let Some(original) = origin.map(|origin| origin.original) else { return };
    if state.tasks.get(original.0).is_some() {
        state.tasks[original].clones.retain(|one| *one != clone);
    }
}

/// What stands behind a task that is gone, through others that have got new dependencies, is behind it no more.
fn unblock(state: &mut State, tree: TreeKey, gone: &BTreeSet<TaskKey>) {
    for key in state.keys_of(tree) {
        if matches!(state.tasks[key].place, Place::Blocked(cause) if gone.contains(&cause)) {
            state.move_to(key, Place::Idle);
        }
    }
}

/// A task and everything below it, in pre-order.
pub(super) fn descendants(state: &State, key: TaskKey) -> Vec<TaskKey> {
    let mut all = Vec::new();
    let mut open = vec![key];
    while let Some(one) = open.pop() {
        all.push(one);
        open.extend(state.tasks[one].children.iter().rev());
    }
    all
}

fn check(state: &State, all: &[TaskKey]) -> Result<()> {
    let row = |key: &TaskKey| &state.tasks[*key];
    let doomed: Vec<Doomed> = all
        .iter()
        .map(row)
        .map(|row| Doomed {
            id: row.id.clone(),
            status: row.status,
            armed: row.place.is_armed(),
            link: row.origin_type() == OriginType::Link,
        })
        .collect();
    let inside: BTreeSet<TaskKey> = all.iter().copied().collect();
    let needed = all.iter().map(row).flat_map(|row| &row.dependents).any(|(by, _)| !inside.contains(by));
    let clones: BTreeSet<TaskKey> = all.iter().map(row).flat_map(|row| row.clones.iter().copied()).collect();
    let links: Vec<TaskId> =
        clones.difference(&inside).map(row).filter(|row| row.is_link()).map(|row| row.id.clone()).collect();
    check_deletable(&doomed, needed, &links)
}
