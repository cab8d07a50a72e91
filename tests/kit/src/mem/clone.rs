//! `insert_clone` and `archive`.

use apflow_core::clock::Timestamp;
use apflow_core::clone::{NewClone, check_completed, check_original};
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TaskKey};
use apflow_core::store::Inserted;
use apflow_core::task::{Attempt, TaskStatus, TreeStatus};
use serde_json::json;

use super::insert::{check_free, write};
use super::log::TaskNote;
use super::rows::{OriginRow, State};
use super::transaction::Transaction;

pub(super) fn insert(state: &mut State, clone: &NewClone, now: Timestamp) -> Result<Inserted> {
    let mut origins = Vec::with_capacity(clone.origins.len());
    for origin in &clone.origins {
        let original = state.task_keys.get(&origin.original).copied();
        let found = original.map(|key| &state.tasks[key]).map(|row| (row.status, row.is_link()));
        check_original(origin, found)?;
        let row = |original| OriginRow { link: origin.link, original, original_id: origin.original.clone() };
        origins.extend(original.map(row));
    }
    check_free(state, &clone.tree)?;
    let tree = write(state, &clone.tree, now);
    for (key, origin) in state.keys_of(tree).into_iter().zip(origins) {
        state.tasks[origin.original].clones.push(key);
        if origin.link {
            complete(state, key, now);
        }
        state.tasks[key].origin = Some(origin);
    }
    if clone.origins.iter().all(|origin| origin.link) {
        state.trees[tree].status = TreeStatus::Completed;
        state.trees[tree].ended_at = Some(now);
    }
    let count = clone.tree.tasks.len();
    Transaction::new(state, now).note_tree(
        tree,
        EventKind::TreeCreated,
        Some(json!({"tasks": count}).into()),
    );
    Ok(Inserted { tree, execution: None })
}

/// A link has nothing to run.
fn complete(state: &mut State, key: TaskKey, now: Timestamp) {
    let row = &mut state.tasks[key];
    row.status = TaskStatus::Completed;
    row.history.push(Attempt {
        attempt: 0,
        status: TaskStatus::Completed,
        node: None,
        started_at: None,
        completed_at: now,
        result: None,
        error: None,
        inputs: None,
        receipt: None,
    });
}

pub(super) fn archive(state: &mut State, ids: &[TaskId], now: Timestamp) -> Result<()> {
    let keys = ids.iter().map(|id| state.key_of(id)).collect::<Result<Vec<_>>>()?;
    check_completed(
        "archive these tasks",
        keys.iter().map(|key| &state.tasks[*key]).map(|row| (&row.id, row.status)),
    )?;
    let mut keys: Vec<TaskKey> =
        keys.into_iter().filter(|key| state.tasks[*key].archived_at.is_none()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut work = Transaction::new(state, now);
    for key in keys {
        let row = &mut work.state.tasks[key];
        row.archived_at = Some(now);
        let note =
            TaskNote { kind: EventKind::TaskUpdated, attempt: row.attempt, started_at: None, data: None };
        work.note_task(key, note);
    }
    Ok(())
}
