//! The rows of the store in memory and their indexes. [`State::move_to`] is the only way from one queue to another, so
//! that the queues and the tasks cannot disagree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::ops::{Index, IndexMut, Range};

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::gate::{Gate, GateRule, GateScope};
use apflow_core::id::{NodeId, Seq, TaskId, TaskKey, Token, TreeId, TreeKey};
use apflow_core::json::Json;
use apflow_core::plan::Node;
use apflow_core::retention::Consumer;
use apflow_core::retry::RetryPolicy;
use apflow_core::schedule::{Schedule, ScheduleRun};
use apflow_core::task::{Attempt, DependencyKind, OriginType, TaskStatus, TreeStatus};
use apflow_core::transition::{Change, transition};

use super::log::Log;
use super::plugins::Plugins;
use super::webhooks::WebhookRow;

/// Where a task stands in the queues.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In none.
    Idle,
    /// Behind a task that did not complete, in the newest execution.
    Blocked(TaskKey),
    /// For so many dependencies.
    Waiting(u32),
    /// Since then, as far as the order of the queue is concerned.
    Ready(Timestamp),
    /// Until then.
    Delayed(Timestamp),
    /// At this gate, since then as far as the order of the queue is concerned.
    Parked(GateKey, Timestamp),
    /// A node holds it.
    Running(Hold),
}

impl Place {
    /// Whether an execution will still run the task.
    pub fn is_armed(&self) -> bool {
        !matches!(self, Self::Idle | Self::Blocked(_))
    }

    /// The run that is under way.
    pub fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Running(hold) => Some(hold),
            Self::Idle
            | Self::Blocked(_)
            | Self::Waiting(_)
            | Self::Ready(_)
            | Self::Delayed(_)
            | Self::Parked(..) => None,
        }
    }
}

/// A gate.
pub(super) type GateKey = (GateScope, String);
/// Where a task stands in the order of the queue: its priority, less by 4 if its execution was lifted.
pub(super) type Rank = i8;

/// A run that is under way; its token and number are the task's.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub node: NodeId,
    pub started_at: Timestamp,
    pub fraction: f64,
    /// Where it has taken a place.
    pub gates: Vec<GateKey>,
}

/// Where a clone comes from.
#[derive(Debug, Clone)]
pub(super) struct OriginRow {
    pub link: bool,
    pub original: TaskKey,
    /// Kept, as the original of a copy may be deleted.
    pub original_id: TaskId,
}

/// A task: definition, state, attempts.
pub(super) struct TaskRow {
    pub id: TaskId,
    pub tree: TreeKey,
    pub parent: Option<TaskKey>,
    /// By insertion.
    pub children: Vec<TaskKey>,
    pub dependencies: Vec<(TaskKey, bool, DependencyKind)>,
    /// Who depends on this task, and whether that is required.
    pub dependents: Vec<(TaskKey, bool)>,
    pub name: String,
    pub priority: u8,
    pub executor: Option<String>,
    pub inputs: Json,
    pub params: Json,
    pub schemas: Json,
    pub description: Option<String>,
    pub metadata: Option<Json>,
    pub retry: Option<RetryPolicy>,
    pub timeout_ms: Option<u32>,
    pub concurrency_key: Option<String>,
    pub created_at: Timestamp,
    /// When the owner last changed the definition.
    pub edited_at: Option<Timestamp>,
    pub status: TaskStatus,
    pub place: Place,
    /// Number of the newest attempt.
    pub attempt: u32,
    /// Attempts of this execution that count towards `max_attempts`.
    pub tries: u32,
    pub token: Token,
    /// Whether a host that wants begun executions first has lifted this one.
    pub lifted: bool,
    pub history: Vec<Attempt>,
    pub origin: Option<OriginRow>,
    pub archived_at: Option<Timestamp>,
    /// What was cloned from it and is still there.
    pub clones: Vec<TaskKey>,
}

impl TaskRow {
    /// The run that holds the task now.
    pub fn hold(&self) -> Option<&Hold> {
        self.place.hold()
    }

    pub fn rank(&self) -> Rank {
        let priority = self.priority.cast_signed();
        if self.lifted { priority - 4 } else { priority }
    }

    /// The gates that it must pass, if there are such: that of its key, then that of its executor.
    pub fn gates(&self) -> Vec<GateKey> {
        let key = self.concurrency_key.clone().map(|key| (GateScope::Key, key));
        let executor = self.executor.clone().map(|executor| (GateScope::Executor, executor));
        key.into_iter().chain(executor).collect()
    }

    /// The run that holds the task under this token.
    pub fn held_by(&self, token: Token) -> Option<&Hold> {
        self.hold().filter(|_| self.token == token)
    }

    pub fn is_link(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.link)
    }

    pub fn origin_type(&self) -> OriginType {
        match &self.origin {
            _ if self.archived_at.is_some() => OriginType::Archive,
            None => OriginType::Create,
            Some(origin) if origin.link => OriginType::Link,
            Some(_) => OriginType::Copy,
        }
    }

    /// Changes the status as the state machine allows.
    pub fn change(&mut self, change: Change) -> Result<()> {
        self.status = transition(self.status, change)?;
        Ok(())
    }
}

/// A tree and its newest execution.
pub(super) struct TreeRow {
    pub id: TreeId,
    pub user_id: Option<String>,
    pub root: TaskKey,
    /// The block of keys of its tasks, some of which may be deleted.
    pub keys: Range<i64>,
    pub status: TreeStatus,
    pub execution: u32,
    pub started_seq: Seq,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub deadline_ms: Option<u32>,
    /// Armed tasks of the execution that have not finished.
    pub open: u32,
    /// Tasks of the execution that failed or are blocked.
    pub failed: u32,
    /// Tasks of the execution that were cancelled.
    pub cancelled: u32,
}

/// What a key was used for.
pub(super) struct ReceiptRow {
    pub digest: String,
    pub tree: TreeKey,
    pub created_at: Timestamp,
}

/// The newest session of a node. Runs of older ones were taken back when it was opened.
pub(super) struct SessionRow {
    pub epoch: i64,
    /// None once it is over.
    pub until: Option<Timestamp>,
    pub runs: BTreeSet<TaskKey>,
}

/// Rows by key; keys count from 1 and are never used again.
pub(super) struct Table<T>(Vec<Option<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    pub fn next_key(&self) -> i64 {
        self.0.len() as i64 + 1
    }

    pub fn push(&mut self, row: T) {
        self.0.push(Some(row));
    }

    pub fn remove(&mut self, key: i64) -> Option<T> {
        self.0.get_mut(usize::try_from(key - 1).ok()?)?.take()
    }

    pub fn get(&self, key: i64) -> Option<&T> {
        self.0.get(usize::try_from(key - 1).ok()?)?.as_ref()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, &T)> {
        self.0.iter().enumerate().filter_map(|(i, row)| Some((i as i64 + 1, row.as_ref()?)))
    }

    fn row(&self, key: i64) -> &T {
        self.get(key).expect("keys inside the store name rows that are there")
    }

    fn row_mut(&mut self, key: i64) -> &mut T {
        usize::try_from(key - 1)
            .ok()
            .and_then(|i| self.0.get_mut(i)?.as_mut())
            .expect("keys inside the store name rows that are there")
    }
}

impl Index<TaskKey> for Table<TaskRow> {
    type Output = TaskRow;

    fn index(&self, key: TaskKey) -> &TaskRow {
        self.row(key.0)
    }
}

impl IndexMut<TaskKey> for Table<TaskRow> {
    fn index_mut(&mut self, key: TaskKey) -> &mut TaskRow {
        self.row_mut(key.0)
    }
}

impl Index<TreeKey> for Table<TreeRow> {
    type Output = TreeRow;

    fn index(&self, key: TreeKey) -> &TreeRow {
        self.row(key.0)
    }
}

impl IndexMut<TreeKey> for Table<TreeRow> {
    fn index_mut(&mut self, key: TreeKey) -> &mut TreeRow {
        self.row_mut(key.0)
    }
}

/// Everything in the store.
#[derive(Default)]
pub(super) struct State {
    pub tasks: Table<TaskRow>,
    pub task_keys: HashMap<TaskId, TaskKey>,
    pub trees: Table<TreeRow>,
    pub tree_keys: HashMap<TreeId, TreeKey>,
    /// `(rank, since, key)`: the order in which ready tasks leave.
    pub ready: BTreeSet<(Rank, Timestamp, TaskKey)>,
    /// In the same order.
    pub parked: BTreeMap<GateKey, BTreeSet<(Rank, Timestamp, TaskKey)>>,
    pub gates: BTreeMap<GateKey, Gate>,
    pub gate_rules: Vec<GateRule>,
    pub delayed: BTreeSet<(Timestamp, TaskKey)>,
    pub sessions: HashMap<NodeId, SessionRow>,
    pub log: Log,
    pub cursors: HashMap<String, Consumer>,
    /// In the order of insertion.
    pub webhooks: Vec<WebhookRow>,
    /// By root.
    pub schedules: BTreeMap<TaskKey, Schedule>,
    /// By root and due time.
    pub schedule_runs: HashMap<TaskKey, BTreeMap<Timestamp, ScheduleRun>>,
    /// By owner and key.
    pub receipts: HashMap<(Option<String>, String), ReceiptRow>,
    pub plugins: Plugins,
}

impl State {
    pub fn key_of(&self, id: &TaskId) -> Result<TaskKey> {
        self.task_keys.get(id).copied().ok_or_else(|| Error::task_not_found(id))
    }

    /// Moves a task from its queue to another, or within it; gives the place it had.
    pub fn move_to(&mut self, key: TaskKey, place: Place) -> Place {
        let row = &mut self.tasks[key];
        let old = mem::replace(&mut row.place, place);
        match &old {
            Place::Ready(due) => {
                self.ready.remove(&(row.rank(), *due, key));
            }
            Place::Parked(gate, since) => {
                self.parked.entry(gate.clone()).or_default().remove(&(row.rank(), *since, key));
                if let Some(gate) = self.gates.get_mut(gate) {
                    gate.parked -= 1;
                }
            }
            Place::Delayed(due) => {
                self.delayed.remove(&(*due, key));
            }
            Place::Running(hold) => {
                if let Some(session) = self.sessions.get_mut(&hold.node) {
                    session.runs.remove(&key);
                }
                for gate in &hold.gates {
                    if let Some(gate) = self.gates.get_mut(gate) {
                        gate.running -= 1;
                    }
                }
            }
            Place::Idle | Place::Blocked(_) | Place::Waiting(_) => {}
        }
        match &row.place {
            Place::Ready(due) => {
                self.ready.insert((row.rank(), *due, key));
            }
            Place::Parked(gate, since) => {
                self.parked.entry(gate.clone()).or_default().insert((row.rank(), *since, key));
                if let Some(gate) = self.gates.get_mut(gate) {
                    gate.parked += 1;
                }
            }
            Place::Delayed(due) => {
                self.delayed.insert((*due, key));
            }
            Place::Running(hold) => {
                if let Some(session) = self.sessions.get_mut(&hold.node) {
                    session.runs.insert(key);
                }
            }
            Place::Idle | Place::Blocked(_) | Place::Waiting(_) => {}
        }
        old
    }

    /// Changes what the order of the queue goes by: out of the queue and in again, where the task stands in one.
    pub fn reorder(&mut self, key: TaskKey, change: impl FnOnce(&mut TaskRow)) {
        if !matches!(self.tasks[key].place, Place::Ready(_) | Place::Parked(..)) {
            return change(&mut self.tasks[key]);
        }
        let place = self.move_to(key, Place::Idle);
        change(&mut self.tasks[key]);
        self.move_to(key, place);
    }

    /// The keys of a tree's tasks, in pre-order.
    pub fn keys_of(&self, tree: TreeKey) -> Vec<TaskKey> {
        let keys = self.trees[tree].keys.clone();
        keys.filter(|key| self.tasks.get(*key).is_some()).map(TaskKey).collect()
    }

    /// A tree reduced to what decides.
    pub fn skeleton(&self, tree: TreeKey) -> Vec<Node> {
        let node = |key: TaskKey| {
            let row = &self.tasks[key];
            let dependencies = row.dependencies.iter().map(|(on, required, _)| (*on, *required)).collect();
            Node { key, parent: row.parent, status: row.status, origin: row.origin_type(), dependencies }
        };
        self.keys_of(tree).into_iter().map(node).collect()
    }
}
