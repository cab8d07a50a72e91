//! Schedules: the core decides, this keeps what it decided.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{TaskId, TaskKey};
use apflow_core::plan;
use apflow_core::schedule::{
    self, Action, Schedule, ScheduleFilter, SchedulePatch, ScheduleRun, ScheduleRunStatus, TreeFacts,
};
use apflow_core::store::{CompleteSchedule, DueSchedules, Fired, Page, ScheduleStore};
use apflow_core::task::{Task, TreeStatus};
use apflow_core::transition::Change;
use async_trait::async_trait;

use super::MemStore;
use super::execute::arm;
use super::rows::{State, TreeRow};
use super::transaction::Transaction;
use super::view::view;

#[async_trait]
impl ScheduleStore for MemStore {
    async fn schedules(&self, filter: ScheduleFilter, page: Page) -> Result<Vec<Task>> {
        Ok(list(&self.state(), &filter, page))
    }

    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<DueSchedules> {
        Ok(due(&self.state(), now, limit))
    }

    async fn fire_schedule(&self, task: &TaskId, due: Timestamp, now: Timestamp) -> Result<Fired> {
        fire(&mut self.state(), task, due, now)
    }

    async fn complete_schedule(&self, request: CompleteSchedule) -> Result<Task> {
        complete(&mut self.state(), &request)
    }

    async fn schedule_runs(&self, task: &TaskId, page: Page) -> Result<Vec<ScheduleRun>> {
        let state = self.state();
        let runs = state.task_keys.get(task).and_then(|key| state.schedule_runs.get(key));
        let newest_first = runs.into_iter().flat_map(|runs| runs.values().rev());
        Ok(newest_first.skip(page.offset as usize).take(page.limit as usize).cloned().collect())
    }
}

/// Roots with a schedule, by next due time.
fn in_order(state: &State) -> Vec<(TaskKey, &Schedule)> {
    let mut all: Vec<_> = state.schedules.iter().map(|(key, one)| (*key, one)).collect();
    all.sort_by_key(|(key, one)| (one.next_run_at.is_none(), one.next_run_at, *key));
    all
}

fn list(state: &State, filter: &ScheduleFilter, page: Page) -> Vec<Task> {
    let fits = |(key, one): &(TaskKey, &Schedule)| {
        let row = &state.tasks[*key];
        let tree = &state.trees[row.tree];
        let is_due = |by: Timestamp| {
            one.schedule_enabled
                && one.next_run_at.is_some_and(|due| due <= by && !schedule::waits(one, due, facts(tree)))
        };
        (one.schedule_enabled || !filter.enabled_only)
            && (filter.user_id.is_none() || filter.user_id == tree.user_id)
            && (filter.schedule_type.is_none() || filter.schedule_type == one.schedule_type)
            && (filter.statuses.is_empty() || filter.statuses.contains(&row.status))
            && filter.due_by.is_none_or(is_due)
    };
    let wanted = in_order(state).into_iter().filter(fits);
    wanted.skip(page.offset as usize).take(page.limit as usize).map(|(key, _)| view(state, key)).collect()
}

fn facts(tree: &TreeRow) -> TreeFacts {
    match tree.status {
        TreeStatus::InProgress => TreeFacts::Running { since: tree.started_at.unwrap_or_default() },
        TreeStatus::Pending | TreeStatus::Completed | TreeStatus::Failed | TreeStatus::Cancelled => {
            TreeFacts::Free { since: tree.ended_at }
        }
    }
}

fn due(state: &State, now: Timestamp, limit: u32) -> DueSchedules {
    let mut found = DueSchedules::default();
    for (key, one) in in_order(state).into_iter().filter(|(_, one)| one.schedule_enabled) {
        let Some(due) = one.next_run_at else { continue };
        let row = &state.tasks[key];
        if due > now {
            found.next = found.next.or(Some(due));
        } else if schedule::waits(one, due, facts(&state.trees[row.tree])) {
            found.waiting = true;
        } else if found.due.len() < limit as usize {
            found.due.push((row.id.clone(), due));
        }
    }
    found
}

fn fire(state: &mut State, task: &TaskId, due: Timestamp, now: Timestamp) -> Result<Fired> {
    let Some(key) = state.task_keys.get(task).copied() else { return Ok(Fired::Stale) };
    let Some(one) = state.schedules.get(&key) else { return Ok(Fired::Stale) };
    if one.next_run_at != Some(due) || !one.schedule_enabled || now < due {
        return Ok(Fired::Stale);
    }
    let tree = state.tasks[key].tree;
    let decision = schedule::decide(one, due, facts(&state.trees[tree]), now)?;
    if decision.action == Action::Wait {
        return Ok(Fired::Waiting);
    }
    let handled = state.schedule_runs.entry(key).or_default().contains_key(&due);
    let runs = decision.action == Action::Run && !handled;
    if let Some(one) = state.schedules.get_mut(&key) {
        one.next_run_at = decision.next;
        one.schedule_enabled &= decision.next.is_some() || runs;
    }
    if handled {
        return Ok(Fired::Passed);
    }
    let (status, execution) = match decision.action {
        Action::Run => (ScheduleRunStatus::Running, Some(state.trees[tree].execution + 1)),
        Action::Skip => (ScheduleRunStatus::Skipped, None),
        Action::Miss | Action::Wait => (ScheduleRunStatus::Missed, None),
    };
    let ended_at = (!runs).then_some(now);
    let entry = ScheduleRun {
        due_at: due,
        status,
        due_count: decision.due_count,
        execution,
        started_at: now,
        ended_at,
        error: None,
    };
    state.schedule_runs.entry(key).or_default().insert(due, entry);
    if !runs {
        return Ok(Fired::Passed);
    }
    let plan = plan::renewal(&state.skeleton(tree));
    let execution = arm(&mut Transaction::new(state, now), tree, &plan, Change::Renew)?;
    let row = &state.trees[tree];
    Ok(Fired::Started { tree, tree_id: row.id.clone(), root: state.tasks[row.root].id.clone(), execution })
}

fn complete(state: &mut State, request: &CompleteSchedule) -> Result<Task> {
    let key = state.key_of(&request.task)?;
    let mut one = state.schedules.get(&key).cloned().unwrap_or_default();
    let open = |run: &ScheduleRun| run.status == ScheduleRunStatus::Running;
    let runs = state.schedule_runs.get(&key).is_some_and(|runs| runs.values().any(open));
    schedule::check_report(&one, &request.task, runs)?;
    let due = schedule::complete(&mut one, request.advance, request.now)?;
    state.schedules.insert(key, one);
    let entry = schedule::reported(due, request.failure.clone(), request.now);
    state.schedule_runs.entry(key).or_default().entry(due).or_insert(entry);
    Ok(view(state, key))
}

/// What an owner's edit makes of the schedule of a task.
pub(super) fn edited(state: &State, key: TaskKey, patch: &SchedulePatch, now: Timestamp) -> Result<Schedule> {
    let current = state.schedules.get(&key).cloned().unwrap_or_default();
    let edited = schedule::edit(&current, patch, now)?;
    match edited.schedule_type {
        Some(kind) if state.tasks[key].parent.is_some() => {
            Err(schedule::not_a_root(kind, &state.tasks[key].name))
        }
        _ => Ok(edited),
    }
}

/// Puts a schedule in the place of another; an empty one takes it away.
pub(super) fn set(state: &mut State, key: TaskKey, one: Schedule) {
    if one.is_set() {
        state.schedules.insert(key, one);
    } else {
        state.schedules.remove(&key);
    }
}

/// The execution of a tree has ended: if it was for its schedule, that is on record.
pub(super) fn ended(state: &mut State, root: TaskKey, execution: u32, status: TreeStatus, now: Timestamp) {
    let runs = state.schedule_runs.get_mut(&root).into_iter().flat_map(|runs| runs.values_mut());
    let mut open =
        runs.filter(|run| run.status == ScheduleRunStatus::Running && run.execution == Some(execution));
    let Some(run) = open.next() else { return };
    (run.status, run.ended_at) = (schedule::run_status(status), Some(now));
    if let Some(one) = state.schedules.get_mut(&root) {
        one.run_count += 1;
        one.last_run_at = Some(now);
        let left = one.max_runs.is_none_or(|most| one.run_count < most);
        one.schedule_enabled &= one.next_run_at.is_some() && left;
    }
}
