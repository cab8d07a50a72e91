//! Compares a log with what the store holds when everything has ended, and with what callers were told meanwhile:
//!
//! - trees, tasks and executions that were acknowledged are there; so is what was cancelled;
//! - each key of a request has one tree, the one that every answer named;
//! - the record of attempts is what the log says, their numbers grow, and the status of each task and tree follows from it;
//! - each due time of a schedule has one entry, each entry one execution, and no due time is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use apflow_core::error::Result;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{TaskId, TreeId};
use apflow_core::schedule::{ScheduleFilter, ScheduleRun, ScheduleRunStatus, ScheduleType};
use apflow_core::store::{Page, Store, TaskFilter, TreeState};
use apflow_core::task::{Attempt, Task, TaskStatus, TreeStatus};

use super::Rules;

/// What the store holds.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    /// Every task with the attempts at it.
    pub tasks: Vec<(Task, Vec<Attempt>)>,
    /// Every tree.
    pub trees: Vec<TreeState>,
    /// Every schedule: the root, and what became of its due times, the earliest first.
    pub schedules: Vec<(Task, Vec<ScheduleRun>)>,
}

/// What callers were told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Trees that were acknowledged.
    pub trees: BTreeMap<TreeId, ToldTree>,
    /// The trees that answers to requests with a key have named.
    pub keys: BTreeMap<String, BTreeSet<TreeId>>,
    /// Executions that were acknowledged.
    pub executions: BTreeSet<(TreeId, u32)>,
    /// Executions whose end was told.
    pub ends: BTreeMap<(TreeId, u32), String>,
    /// Tasks that were reported as cancelled.
    pub cancelled: BTreeSet<TaskId>,
}

/// A tree that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTree {
    /// Its root.
    pub root: TaskId,
    /// How many tasks it has.
    pub size: usize,
}

impl Holdings {
    /// Reads all of it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(store: &dyn Store) -> Result<Self> {
        const LIMIT: u32 = 1_000;
        let mut holdings = Self::default();
        for offset in (0..).step_by(LIMIT as usize) {
            let tasks = store.list(TaskFilter::default(), Page { limit: LIMIT, offset }).await?;
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                let attempts = store.attempts(&task.id).await?;
                if task.parent_id.is_none() {
                    holdings.trees.extend(store.tree_state(&task.id).await?);
                }
                holdings.tasks.push((task, attempts));
            }
        }
        for offset in (0..).step_by(LIMIT as usize) {
            let page = Page { limit: LIMIT, offset };
            let roots = store.schedules(ScheduleFilter::default(), page).await?;
            if roots.is_empty() {
                break;
            }
            for root in roots {
                let mut runs = store.schedule_runs(&root.id, Page { limit: u32::MAX, offset: 0 }).await?;
                runs.reverse();
                holdings.schedules.push((root, runs));
            }
        }
        Ok(holdings)
    }

    /// The rules that the log must keep.
    pub fn rules(&self) -> Rules {
        let mut rules = Rules::of(self.tasks.iter().map(|(task, _)| task));
        for (root, runs) in &self.schedules {
            for execution in runs.iter().filter_map(|run| run.execution) {
                rules.renewed(root.tree_id.clone(), execution);
            }
        }
        rules
    }
}

/// Checks all that this file is about.
///
/// # Errors
/// A sentence for each thing that is not as it must be.
pub fn check(log: &[Event], holdings: &Holdings, told: &Told) -> Result<(), Vec<String>> {
    let said = Said::by(log);
    let mut broken = Vec::new();
    for (task, attempts) in &holdings.tasks {
        said.agrees_with(task, attempts, &mut broken);
    }
    for tree in &holdings.trees {
        said.agrees_with_tree(tree, &mut broken);
    }
    for (root, runs) in &holdings.schedules {
        said.agrees_with_schedule(root, runs, &mut broken);
    }
    said.holds_what_was_told(holdings, told, &mut broken);
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// What the log says, by whom it is about.
#[derive(Default)]
struct Said {
    created: HashSet<TreeId>,
    /// Ends of executions; none for one that has not ended.
    executions: HashMap<(TreeId, u32), Option<EventKind>>,
    newest: HashMap<TreeId, u32>,
    tasks: HashMap<TaskId, Ends>,
}

/// Ends of attempts at a task, and in which execution the newest of them fell.
#[derive(Default)]
struct Ends {
    recorded: Vec<(u32, TaskStatus)>,
    cancellations: usize,
    last: Option<(u32, TaskStatus)>,
}

impl Said {
    fn by(log: &[Event]) -> Self {
        let mut said = Self::default();
        for event in log {
            let tree = &event.tree_id;
            match event.kind {
                EventKind::TreeCreated => {
                    said.created.insert(tree.clone());
                }
                EventKind::TreeStarted => {
                    said.executions.insert((tree.clone(), event.attempt), None);
                    said.newest.insert(tree.clone(), event.attempt);
                }
                kind if kind.ends_tree() => {
                    said.executions.insert((tree.clone(), event.attempt), Some(kind));
                }
                _ => said.task(event),
            }
        }
        said
    }

    fn task(&mut self, event: &Event) {
        let Some(task) = &event.task_id else { return };
        let execution = self.newest.get(&event.tree_id).copied().unwrap_or_default();
        let ends = self.tasks.entry(task.clone()).or_default();
        let status = match event.kind {
            EventKind::TaskCompleted => TaskStatus::Completed,
            EventKind::TaskFailed | EventKind::TaskRetrying => TaskStatus::Failed,
            EventKind::TaskCancelled => {
                ends.cancellations += 1;
                ends.last = Some((execution, TaskStatus::Cancelled));
                return;
            }
            _ => return,
        };
        ends.recorded.push((event.attempt, status));
        if event.kind != EventKind::TaskRetrying {
            ends.last = Some((execution, status));
        }
    }

    fn agrees_with(&self, task: &Task, attempts: &[Attempt], broken: &mut Vec<String>) {
        let id = &task.id;
        if let Some(pair) = attempts.windows(2).find(|pair| pair[0].attempt >= pair[1].attempt) {
            let (first, second) = (pair[0].attempt, pair[1].attempt);
            broken.push(format!("task '{id}': attempt {second} is on record after attempt {first}"));
        }
        let none = Ends::default();
        let ends = self.tasks.get(id).unwrap_or(&none);
        let cancelled = |attempt: &&Attempt| attempt.status == TaskStatus::Cancelled;
        let recorded: Vec<_> = attempts
            .iter()
            .filter(|attempt| !cancelled(attempt))
            .map(|attempt| (attempt.attempt, attempt.status))
            .collect();
        if recorded != ends.recorded {
            broken.push(format!(
                "task '{id}': the attempts on record are {recorded:?}, by the log they are {:?}",
                ends.recorded
            ));
        }
        if attempts.iter().filter(cancelled).count() != ends.cancellations {
            broken.push(format!("task '{id}': cancelled {} times by the log", ends.cancellations));
        }
        let newest = self.newest.get(&task.tree_id).copied().unwrap_or_default();
        let fits = match ends.last {
            Some((execution, status)) => {
                // What an earlier execution ended is pending again where the newest one armed and then blocked it.
                task.status == status || (execution < newest && task.status == TaskStatus::Pending)
            }
            None => task.status == TaskStatus::Pending,
        };
        if !fits {
            let last = ends.last.map_or(TaskStatus::Pending, |(_, status)| status);
            broken.push(format!("task '{id}' is {}, by the log it is {last}", task.status));
        }
    }

    fn agrees_with_tree(&self, tree: &TreeState, broken: &mut Vec<String>) {
        let id = &tree.tree_id;
        let newest = self.newest.get(id).copied().unwrap_or_default();
        if newest != tree.execution {
            broken.push(format!("tree '{id}': {} executions are stored, {newest} logged", tree.execution));
        }
        let end = self.executions.get(&(id.clone(), newest));
        let status = match end {
            None => TreeStatus::Pending,
            Some(None) => TreeStatus::InProgress,
            Some(Some(EventKind::TreeCompleted)) => TreeStatus::Completed,
            Some(Some(EventKind::TreeCancelled)) => TreeStatus::Cancelled,
            Some(Some(_)) => TreeStatus::Failed,
        };
        if status == TreeStatus::InProgress {
            broken.push(format!("tree '{id}': execution {newest} has not ended"));
        }
        if tree.status != status {
            broken.push(format!("tree '{id}' is {}, by the log it is {status}", tree.status));
        }
    }

    fn agrees_with_schedule(&self, root: &Task, runs: &[ScheduleRun], broken: &mut Vec<String>) {
        let (id, schedule) = (&root.id, &root.schedule);
        let seconds = schedule.schedule_expression.as_ref().and_then(|text| text.parse::<i64>().ok());
        let interval =
            seconds.filter(|_| schedule.schedule_type == Some(ScheduleType::Interval)).map(|s| s * 1_000_000);
        for pair in runs.windows(2) {
            let (first, second) = (pair[0].due_at, pair[1].due_at);
            let step = interval.map(|interval| interval * i64::from(pair[0].due_count));
            let between = second.as_micros() - first.as_micros();
            if between <= 0 {
                broken.push(format!("schedule '{id}': due time {second} has two entries"));
            } else if step.is_some_and(|step| step != between) {
                broken.push(format!("schedule '{id}': due times between {first} and {second} have no entry"));
            }
        }
        let mut executions = HashSet::new();
        for run in runs {
            let ended = run.execution.and_then(|execution| {
                if !executions.insert(execution) {
                    broken.push(format!("schedule '{id}': execution {execution} is that of two due times"));
                }
                self.executions.get(&(root.tree_id.clone(), execution)).copied().flatten()
            });
            let fits = match run.status {
                ScheduleRunStatus::Completed => ended == Some(EventKind::TreeCompleted),
                ScheduleRunStatus::Failed => ended == Some(EventKind::TreeFailed),
                ScheduleRunStatus::Cancelled => ended == Some(EventKind::TreeCancelled),
                ScheduleRunStatus::Skipped | ScheduleRunStatus::Missed => run.execution.is_none(),
                ScheduleRunStatus::Running => false,
            };
            if !fits {
                broken.push(format!(
                    "schedule '{id}': {} was {:?}, by the log execution {:?} ended with {ended:?}",
                    run.due_at, run.status, run.execution
                ));
            }
        }
        if executions.len() != schedule.run_count as usize {
            broken.push(format!(
                "schedule '{id}': {} runs are counted, {} are on record",
                schedule.run_count,
                executions.len()
            ));
        }
    }

    fn holds_what_was_told(&self, holdings: &Holdings, told: &Told, broken: &mut Vec<String>) {
        let tasks: HashMap<&TaskId, &Task> =
            holdings.tasks.iter().map(|(task, _)| (&task.id, task)).collect();
        let mut sizes: HashMap<&TreeId, usize> = HashMap::new();
        for task in tasks.values() {
            *sizes.entry(&task.tree_id).or_default() += 1;
        }
        for (tree, ToldTree { root, size }) in &told.trees {
            if !self.created.contains(tree) {
                broken.push(format!("tree '{tree}' was acknowledged and is not in the log"));
            }
            let stored = sizes.get(tree).copied().unwrap_or_default();
            if stored != *size || tasks.get(root).is_none_or(|root| root.tree_id != *tree) {
                broken.push(format!(
                    "tree '{tree}' was acknowledged with root '{root}' and {size} tasks, {stored} are stored"
                ));
            }
        }
        let mut by_key: BTreeMap<&str, BTreeSet<TreeId>> = BTreeMap::new();
        for task in tasks.values() {
            if let Some(key) = &task.idempotency_key {
                by_key.entry(key).or_default().insert(task.tree_id.clone());
            }
        }
        for (key, trees) in by_key.iter().filter(|(_, trees)| trees.len() > 1) {
            broken.push(format!("key '{key}' has made {} trees: {trees:?}", trees.len()));
        }
        for (key, trees) in &told.keys {
            if by_key.get(key.as_str()) != Some(trees) {
                let stored = by_key.get(key.as_str());
                broken
                    .push(format!("key '{key}' was answered with {trees:?}, in the store it has {stored:?}"));
            }
        }
        for (tree, execution) in &told.executions {
            if !self.executions.contains_key(&(tree.clone(), *execution)) {
                broken.push(format!(
                    "execution {execution} of tree '{tree}' was acknowledged and is not in the log"
                ));
            }
        }
        for ((tree, execution), end) in &told.ends {
            let logged = self.executions.get(&(tree.clone(), *execution)).copied().flatten();
            let logged = logged.map_or("nothing", EventKind::as_str);
            if logged.strip_prefix("tree.") != Some(end) {
                broken.push(format!(
                    "execution {execution} of tree '{tree}' was told to be {end}, the log has {logged}"
                ));
            }
        }
        for task in &told.cancelled {
            if self.tasks.get(task).is_none_or(|ends| ends.cancellations == 0) {
                broken.push(format!("task '{task}' was reported as cancelled and is not, by the log"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
