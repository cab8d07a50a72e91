//! Reading: tasks, lists, counts, attempts, queue facts, trees.

use apflow_core::id::{TaskId, TaskKey};
use apflow_core::store::{Page, Progress, QueueFacts, QueuePlace, StatusCounts, TaskFilter, TreeState};
use apflow_core::task::{Attempt, Task, TaskStatus};

use super::edit::descendants;
use super::rows::{Place, State, TaskRow};
use super::view::view;

pub(super) fn get(state: &State, ids: &[TaskId]) -> Vec<Option<Task>> {
    ids.iter().map(|id| state.task_keys.get(id).map(|key| view(state, *key))).collect()
}

pub(super) fn subtree(state: &State, id: &TaskId) -> Vec<Task> {
    let keys = state.task_keys.get(id).map(|key| descendants(state, *key)).unwrap_or_default();
    keys.into_iter().map(|key| view(state, key)).collect()
}

pub(super) fn children(state: &State, id: &TaskId) -> Vec<Task> {
    let Some(key) = state.task_keys.get(id) else { return Vec::new() };
    let mut keys = state.tasks[*key].children.clone();
    keys.sort_by_key(|child| (state.tasks[*child].priority, *child));
    keys.into_iter().map(|key| view(state, key)).collect()
}

pub(super) fn list(state: &State, filter: &TaskFilter, page: Page) -> Vec<Task> {
    let newest_first = state.tasks.iter().rev().filter(|(_, row)| fits(state, row, filter));
    let page = newest_first.skip(page.offset as usize).take(page.limit as usize);
    page.map(|(key, _)| view(state, TaskKey(key))).collect()
}

pub(super) fn count(state: &State, filter: &TaskFilter) -> StatusCounts {
    let mut counts = StatusCounts::default();
    for (_, row) in state.tasks.iter().filter(|(_, row)| fits(state, row, filter)) {
        *counts.of(row.status) += 1;
    }
    counts
}

fn fits(state: &State, row: &TaskRow, filter: &TaskFilter) -> bool {
    (filter.statuses.is_empty() || filter.statuses.contains(&row.status))
        && (!filter.root_only || row.parent.is_none())
        && (filter.user_id.is_none() || filter.user_id == state.trees[row.tree].user_id)
}

pub(super) fn progress(state: &State, id: &TaskId) -> Option<Progress> {
    let mut progress = Progress::default();
    for key in descendants(state, *state.task_keys.get(id)?) {
        let row = &state.tasks[key];
        *progress.counts.of(row.status) += 1;
        progress.done += match (row.hold(), row.status) {
            (Some(hold), _) => hold.fraction,
            (None, TaskStatus::Completed) => 1.0,
            (None, _) => 0.0,
        };
    }
    Some(progress)
}

pub(super) fn attempts(state: &State, id: &TaskId) -> Vec<Attempt> {
    state.task_keys.get(id).map(|key| state.tasks[*key].history.clone()).unwrap_or_default()
}

pub(super) fn queue_facts(state: &State, id: &TaskId) -> Option<QueueFacts> {
    let key = *state.task_keys.get(id)?;
    let row = &state.tasks[key];
    let place = match &row.place {
        Place::Idle => QueuePlace::NotArmed,
        Place::Blocked(_) => QueuePlace::Blocked,
        Place::Waiting(count) => QueuePlace::Waiting(*count),
        Place::Ready(due) => QueuePlace::Ready(state.ready.range(..(row.rank(), *due, key)).count() as u64),
        Place::Delayed(due) => QueuePlace::Delayed(*due),
        Place::Parked(gate, since) => {
            let ahead = state.parked[gate].range(..(row.rank(), *since, key)).count() as u64;
            QueuePlace::Parked(state.gates[gate].clone(), ahead)
        }
        Place::Running(_) => QueuePlace::Running,
    };
    let unmet = if row.status == TaskStatus::Pending { unmet(state, row) } else { Vec::new() };
    let put_off = matches!(place, QueuePlace::Delayed(_)).then(|| state.log.put_off(&row.id)).flatten();
    Some(QueueFacts { task: view(state, key), place, unmet, put_off })
}

fn unmet(state: &State, row: &TaskRow) -> Vec<(TaskId, TaskStatus, bool)> {
    let holds = |target: &TaskRow, required: bool| match required {
        true => target.status == TaskStatus::Completed,
        // A blocked task will not run: nothing waits for it that does not require it.
        false => target.status.is_terminal() || matches!(target.place, Place::Blocked(_)),
    };
    row.dependencies
        .iter()
        .map(|(on, required, _)| (&state.tasks[*on], *required))
        .filter(|(target, required)| !holds(target, *required))
        .map(|(target, required)| (target.id.clone(), target.status, required))
        .collect()
}

pub(super) fn tree_state(state: &State, task: &TaskId) -> Option<TreeState> {
    let key = state.tasks[*state.task_keys.get(task)?].tree;
    let tree = &state.trees[key];
    Some(TreeState {
        key,
        tree_id: tree.id.clone(),
        root: state.tasks[tree.root].id.clone(),
        status: tree.status,
        execution: tree.execution,
        started_seq: tree.started_seq,
        started_at: tree.started_at,
        ended_at: tree.ended_at,
    })
}
