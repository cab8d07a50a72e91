//! The checker of event logs: reads a log from its beginning and says where it breaks what every history must keep,
//! whatever happened to the nodes. Crash tests and the random walk of the store's suite end with it.
//!
//! It proves of each tree and execution:
//! - positions grow; executions are numbered 1, 2, 3 …, one at a time, each with exactly one end, and the end's kind fits
//!   what happened;
//! - tasks start only within an execution, not while a run of theirs is under way, not after they were cancelled, not
//!   when they are blocked, and not again after they completed or failed in it;
//! - a task starts after everything that it requires has completed; nothing that it depends on runs then, or starts
//!   after it in the same execution;
//! - every end of a run is of the run that began last, so a task completes at most once per execution;
//! - numbers of attempts grow; only one that was put off is used again;
//! - every change of a task's status is one that [`apflow_core::transition`] knows.
//!
//! [`store`] compares a log with what the store holds and with what callers were told, [`streams`] with what readers saw.

pub mod store;
pub mod streams;

use std::collections::{HashMap, HashSet};

use apflow_core::error::Result;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::store::{EventQuery, Store};
use apflow_core::task::{Task, TaskStatus};
use apflow_core::transition::{Change, transition};

/// The whole log.
///
/// # Errors
/// Those of the store.
pub async fn read_all(store: &dyn Store) -> Result<Vec<Event>> {
    const PAGE: u32 = 10_000;
    let mut all: Vec<Event> = Vec::new();
    loop {
        let after = all.last().map_or(Seq(0), |event| event.seq);
        let page = store.events(EventQuery { after, limit: PAGE, ..EventQuery::default() }).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// What depends on what, and from which position of the log on; and which executions a schedule began.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    edges: HashMap<(TreeId, TaskId), Vec<(Seq, Edges)>>,
    renewals: HashSet<(TreeId, u32)>,
}

/// Dependencies, and whether they are required.
type Edges = Vec<(TaskId, bool)>;

impl Rules {
    /// The dependencies of these tasks, as they were from the beginning.
    pub fn of<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Self {
        let mut rules = Self::default();
        for task in tasks {
            rules.changed(task, Seq(0));
        }
        rules
    }

    /// The dependencies of this task are as it says from this position of the log on.
    pub fn changed(&mut self, task: &Task, after: Seq) {
        let edges = task.dependencies.iter().map(|d| (d.id.clone(), d.required)).collect();
        let key = (task.tree_id.clone(), task.id.clone());
        self.edges.entry(key).or_default().push((after, edges));
    }

    /// That execution was begun by a schedule: every task begins anew, also one that was cancelled.
    pub fn renewed(&mut self, tree: TreeId, execution: u32) {
        self.renewals.insert((tree, execution));
    }

    fn at(&self, tree: &TreeId, task: &TaskId, seq: Seq) -> &[(TaskId, bool)] {
        let versions = self.edges.get(&(tree.clone(), task.clone()));
        let newest = versions.and_then(|list| list.iter().rev().find(|(after, _)| *after < seq));
        newest.map_or(&[], |(_, edges)| edges)
    }
}

/// What a log that breaks nothing says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Executions that began.
    pub executions: u64,
    /// Trees whose newest execution has not ended.
    pub open: Vec<TreeId>,
    /// Completions of tasks.
    pub completed: u64,
    /// Failures for good.
    pub failed: u64,
    /// Runs that were taken back from a node.
    pub rescued: u64,
}

/// Checks a whole log, from its first event on.
///
/// # Errors
/// A sentence for each event that breaks a rule.
pub fn check(events: &[Event], rules: &Rules) -> Result<Summary, Vec<String>> {
    let mut checker =
        Checker { rules, trees: HashMap::new(), summary: Summary::default(), broken: Vec::new() };
    let mut last = Seq(0);
    for event in events {
        if event.seq <= last {
            checker.broken.push(format!("seq {} does not come after {}", event.seq.0, last.0));
        }
        last = event.seq;
        if let Err(problem) = checker.event(event) {
            checker.broken.push(format!("seq {}, {} {}: {problem}", event.seq.0, event.kind, subject(event)));
        }
    }
    let mut summary = checker.summary;
    summary.open = checker.trees.into_iter().filter(|(_, tree)| tree.open).map(|(id, _)| id).collect();
    summary.open.sort_unstable();
    if checker.broken.is_empty() { Ok(summary) } else { Err(checker.broken) }
}

fn subject(event: &Event) -> String {
    match &event.task_id {
        Some(task) => format!("of '{task}' (attempt {})", event.attempt),
        None => format!("of tree '{}' (execution {})", event.tree_id, event.attempt),
    }
}

#[derive(Default)]
struct TreeHistory {
    tasks: HashMap<TaskId, TaskHistory>,
    execution: u32,
    open: bool,
    /// What happened in this execution.
    failed: HashSet<TaskId>,
    blocked: HashSet<TaskId>,
    cancelled: HashSet<TaskId>,
    completed: HashSet<TaskId>,
    /// Dependencies of tasks that have started in it, and who relied on them.
    relied: HashMap<TaskId, TaskId>,
}

#[derive(Default)]
struct TaskHistory {
    /// The attempt that is under way.
    run: Option<u32>,
    newest: u32,
    /// The kind of the event that ended the newest run.
    last: Option<EventKind>,
    cancelled: bool,
    status: Status,
}

/// Where a task stands by its events.
struct Status {
    is: TaskStatus,
    /// Whether it may be pending again without an event that says so: another execution has begun since, or its owner
    /// has edited it.
    may_rerun: bool,
}

impl Default for Status {
    fn default() -> Self {
        Self { is: TaskStatus::Pending, may_rerun: false }
    }
}

impl Status {
    fn change(&mut self, change: Change) -> Result<(), String> {
        let rerun = self.may_rerun && matches!(self.is, TaskStatus::Completed | TaskStatus::Failed);
        if rerun && matches!(change, Change::Start | Change::Cancel | Change::Expire) {
            self.is = transition(self.is, Change::Rerun).map_err(|error| error.message)?;
        }
        self.may_rerun = false;
        self.is = transition(self.is, change).map_err(|error| error.message)?;
        Ok(())
    }
}

struct Checker<'a> {
    rules: &'a Rules,
    trees: HashMap<TreeId, TreeHistory>,
    summary: Summary,
    broken: Vec<String>,
}

impl Checker<'_> {
    fn event(&mut self, event: &Event) -> Result<(), String> {
        let tree = self.trees.entry(event.tree_id.clone()).or_default();
        match event.kind {
            EventKind::TreeCreated => {
                // An id may be used again after its tree was deleted.
                *tree = TreeHistory::default();
                Ok(())
            }
            EventKind::TreeStarted => {
                self.summary.executions += 1;
                if self.rules.renewals.contains(&(event.tree_id.clone(), event.attempt)) {
                    tree.renew();
                }
                tree.begin(event.attempt)
            }
            EventKind::TreeCompleted | EventKind::TreeFailed | EventKind::TreeCancelled => tree.end(event),
            EventKind::TreeDeleted => Ok(()),
            EventKind::TaskUpdated => {
                tree.task(task_of(event)?).status.may_rerun = true;
                Ok(())
            }
            EventKind::TaskStarted => {
                let task = task_of(event)?;
                let edges = self.rules.at(&event.tree_id, task, event.seq);
                tree.start(task, event.attempt, edges)
            }
            EventKind::TaskProgress => tree.task(task_of(event)?).holds(event.attempt),
            EventKind::TaskFailed if ran_out_of_time(event) => {
                self.summary.failed += 1;
                tree.expire(task_of(event)?, event.attempt)
            }
            EventKind::TaskCompleted
            | EventKind::TaskFailed
            | EventKind::TaskRetrying
            | EventKind::TaskDelayed
            | EventKind::TaskRescued => {
                match event.kind {
                    EventKind::TaskCompleted => self.summary.completed += 1,
                    EventKind::TaskFailed => self.summary.failed += 1,
                    EventKind::TaskRescued => self.summary.rescued += 1,
                    _ => {}
                }
                tree.finish(task_of(event)?, event)
            }
            EventKind::TaskCancelled => tree.cancel(task_of(event)?, event.attempt),
            EventKind::TaskBlocked => tree.block(task_of(event)?),
        }
    }
}

fn task_of(event: &Event) -> Result<&TaskId, String> {
    event.task_id.as_ref().ok_or_else(|| "it names no task".to_owned())
}

fn ensure(holds: bool, problem: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// Whether it is about a task that the deadline of its execution ended, see [`apflow_core::store::out_of_time`].
fn ran_out_of_time(event: &Event) -> bool {
    let code = event.data.as_ref().map(|data| data.value()["error"]["code"].clone());
    code.is_some_and(|code| code == "tree_deadline")
}

impl TreeHistory {
    fn task(&mut self, id: &TaskId) -> &mut TaskHistory {
        self.tasks.entry(id.clone()).or_default()
    }

    fn renew(&mut self) {
        for task in self.tasks.values_mut() {
            task.cancelled = false;
            task.status.is = TaskStatus::Pending;
        }
    }

    fn begin(&mut self, execution: u32) -> Result<(), String> {
        let (open, expected) = (self.open, self.execution + 1);
        for task in self.tasks.values_mut() {
            task.status.may_rerun = true;
        }
        self.execution = execution;
        self.open = true;
        self.failed.clear();
        self.blocked.clear();
        self.cancelled.clear();
        self.completed.clear();
        self.relied.clear();
        ensure(!open, || "the execution before it has not ended".into())?;
        ensure(execution == expected, || format!("its number is not {expected}"))
    }

    fn end(&mut self, event: &Event) -> Result<(), String> {
        let open = std::mem::replace(&mut self.open, false);
        ensure(open, || "no execution is under way".into())?;
        ensure(event.attempt == self.execution, || format!("execution {} is under way", self.execution))?;
        if let Some((id, _)) = self.tasks.iter().find(|(_, task)| task.run.is_some()) {
            return Err(format!("task '{id}' is still running"));
        }
        let fits = match event.kind {
            EventKind::TreeCompleted => self.failed.is_empty() && self.blocked.is_empty(),
            EventKind::TreeCancelled => {
                self.failed.is_empty()
                    && !self.cancelled.is_empty()
                    && self.blocked.is_subset(&self.cancelled)
            }
            _ => !self.failed.is_empty() || !self.blocked.is_empty(),
        };
        ensure(fits, || {
            let (failed, blocked, cancelled) = (self.failed.len(), self.blocked.len(), self.cancelled.len());
            format!("{failed} tasks have failed, {blocked} are blocked, {cancelled} were cancelled")
        })
    }

    fn start(&mut self, id: &TaskId, attempt: u32, edges: &[(TaskId, bool)]) -> Result<(), String> {
        let open = self.open;
        let task = self.task(id);
        let (run, newest, cancelled) = (task.run.replace(attempt), task.newest, task.cancelled);
        task.newest = attempt;
        ensure(open, || "no execution is under way".into())?;
        ensure(run.is_none(), || format!("attempt {} is still running", run.unwrap_or_default()))?;
        ensure(attempt > newest, || format!("attempt {newest} was before it"))?;
        ensure(!cancelled, || "it was cancelled".into())?;
        ensure(!self.completed.contains(id), || "it has completed in this execution".into())?;
        ensure(!self.failed.contains(id), || "it has failed in this execution".into())?;
        ensure(!self.blocked.contains(id), || "it is blocked".into())?;
        if let Some(dependent) = self.relied.get(id) {
            return Err(format!("'{dependent}' depends on it and has started before it"));
        }
        for (dependency, required) in edges {
            self.relied.insert(dependency.clone(), id.clone());
            let (run, last) = self.tasks.get(dependency).map_or((None, None), |task| (task.run, task.last));
            ensure(run.is_none(), || format!("its dependency '{dependency}' is running"))?;
            ensure(!required || last == Some(EventKind::TaskCompleted), || {
                format!("it requires '{dependency}', which has not completed")
            })?;
        }
        self.task(id).status.change(Change::Start)
    }

    fn finish(&mut self, id: &TaskId, event: &Event) -> Result<(), String> {
        let task = self.task(id);
        let holds = task.holds(event.attempt);
        task.run = None;
        let changed = task.status.change(match event.kind {
            EventKind::TaskCompleted => Change::Complete,
            EventKind::TaskFailed => Change::Fail,
            _ => Change::Retry,
        });
        match event.kind {
            // It was no attempt: the number is used again.
            EventKind::TaskDelayed => task.newest = event.attempt.saturating_sub(1),
            EventKind::TaskRescued => {}
            kind => task.last = Some(kind),
        }
        if event.kind == EventKind::TaskFailed {
            self.failed.insert(id.clone());
        }
        if event.kind == EventKind::TaskCompleted {
            let first = self.completed.insert(id.clone());
            ensure(first, || "it has completed in this execution before".into())?;
        }
        holds.and(changed)
    }

    fn cancel(&mut self, id: &TaskId, attempt: u32) -> Result<(), String> {
        self.cancelled.insert(id.clone());
        let task = self.task(id);
        let before = std::mem::replace(&mut task.cancelled, true);
        let run = task.run.take();
        let changed = task.status.change(Change::Cancel);
        task.last = Some(EventKind::TaskCancelled);
        ensure(!before, || "it was cancelled before".into())?;
        changed?;
        ensure(run.is_none_or(|run| run == attempt), || {
            format!("attempt {} is running", run.unwrap_or_default())
        })
    }

    /// The execution has run out of time, whether the task ran or not.
    fn expire(&mut self, id: &TaskId, attempt: u32) -> Result<(), String> {
        self.failed.insert(id.clone());
        let open = self.open;
        let task = self.task(id);
        let (run, newest) = (task.run.take(), task.newest);
        let changed = task.status.change(Change::Expire);
        task.newest = attempt;
        task.last = Some(EventKind::TaskFailed);
        ensure(open, || "no execution is under way".into())?;
        changed?;
        // The entry of one that never ran is numbered 0.
        ensure(run.map_or(attempt > newest || attempt == 0, |run| run == attempt), || {
            format!("attempt {} is the newest", run.unwrap_or(newest))
        })
    }

    fn block(&mut self, id: &TaskId) -> Result<(), String> {
        self.blocked.insert(id.clone());
        let running = self.task(id).run.is_some();
        ensure(!running, || "it is running".into())?;
        ensure(self.open, || "no execution is under way".into())
    }
}

impl TaskHistory {
    fn holds(&self, attempt: u32) -> Result<(), String> {
        match self.run {
            Some(run) if run == attempt => Ok(()),
            Some(run) => Err(format!("attempt {run} is running")),
            None => Err("it is not running".into()),
        }
    }
}

#[cfg(test)]
mod tests;
