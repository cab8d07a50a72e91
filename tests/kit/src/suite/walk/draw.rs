//! Draws operations from a seed. An operation names tasks by their ids and runs by their place in the list of held
//! ones, so that it can be done to two stores.

use apflow_core::gate::{GateLimits, GateRule, GateScope, Rate};
use apflow_core::id::TaskId;
use apflow_core::store::TaskPatch;
use apflow_core::task::{DependencyKind, TaskStatus};
use serde_json::{Value, json};

use super::pair::Pair;
use crate::trees::EXECUTOR;

/// Nodes of a walk.
pub const NODES: usize = 3;
/// Trees of a walk.
const TREES: usize = 30;

/// How a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    Complete,
    Fail,
    /// Due in so many milliseconds.
    Retry(u64),
    /// Due in so many milliseconds.
    Delay(u64),
}

/// One operation. Times are milliseconds from now, nodes and held runs are given by number.
#[derive(Debug, Clone)]
pub enum Op {
    Insert {
        tasks: Value,
        execute: bool,
    },
    Execute {
        task: TaskId,
        rerun_completed: bool,
    },
    Turn {
        node: usize,
        finished: Vec<(usize, Ending)>,
        progress: Vec<usize>,
        claim: u32,
        started_first: bool,
    },
    Cancel {
        tasks: Vec<TaskId>,
        cascade: bool,
    },
    Update {
        task: TaskId,
        patch: Box<TaskPatch>,
    },
    Delete {
        task: TaskId,
    },
    Open {
        node: usize,
        lease_ms: u64,
    },
    Renew {
        node: usize,
        lease_ms: u64,
    },
    Close {
        node: usize,
    },
    Rescue,
    Rules {
        rules: Vec<GateRule>,
    },
    Expire,
    Wait {
        millis: u64,
    },
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end - 1`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True in so many of a hundred cases.
    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Draws, and remembers which trees there are.
pub struct Draw {
    random: Random,
    trees: Vec<Vec<TaskId>>,
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self { random: Random(seed), trees: Vec::new() }
    }

    /// The next operation.
    pub fn op(&mut self, pair: &Pair) -> Op {
        let full = self.trees.len() >= TREES;
        match self.random.below(100) {
            _ if self.trees.len() < 2 => self.insert(),
            0..9 if !full => self.insert(),
            0..18 => Op::Execute { task: self.task(), rerun_completed: self.random.percent(25) },
            18..23 => self.cancel(),
            23..36 => self.update(pair),
            36..40 => Op::Delete { task: self.task() },
            40..43 => Op::Open { node: self.random.below(NODES), lease_ms: self.lease() },
            43..50 => Op::Renew { node: self.random.below(NODES), lease_ms: self.lease() },
            50..51 => Op::Close { node: self.random.below(NODES) },
            51..55 => Op::Rescue,
            55..61 => Op::Wait { millis: self.random.below(700) as u64 },
            61..63 => self.rules(),
            63..66 => Op::Expire,
            _ => self.turn(pair),
        }
    }

    fn lease(&mut self) -> u64 {
        500 + self.random.below(3_000) as u64
    }

    /// A task, more often of one of the newest trees.
    fn task(&mut self) -> TaskId {
        let first = if self.random.percent(80) { self.trees.len().saturating_sub(6) } else { 0 };
        let tree = first + self.random.below(self.trees.len() - first);
        self.random.pick(&self.trees[tree]).clone()
    }

    fn insert(&mut self) -> Op {
        let number = self.trees.len();
        let size = 1 + self.random.below(9);
        let ids: Vec<String> = (0..size).map(|i| format!("t{number}-{i}")).collect();
        // Dependencies lead from later to earlier ones of a random order, so there is no circle.
        let ranks: Vec<u64> = (0..size).map(|_| self.random.next()).collect();
        let tasks = (0..size).map(|i| {
            let parent = (i > 0).then(|| ids[self.random.below(i)].clone());
            let dependencies: Vec<Value> = (0..size)
                .filter(|j| ranks[*j] < ranks[i] && self.random.percent(30))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|j| json!({"id": ids[j], "required": self.random.percent(70)}))
                .collect();
            json!({
                "id": ids[i], "name": ids[i], "parent_id": parent, "dependencies": dependencies,
                "priority": self.random.below(4), "executor": self.executor(), "inputs": {"i": i},
                "concurrency_key": self.key(), "deadline_ms": if i == 0 { self.deadline() } else { None },
            })
        });
        let tasks: Value = tasks.collect();
        self.trees.push(ids.into_iter().map(TaskId::from).collect());
        Op::Insert { tasks, execute: self.random.percent(70) }
    }

    fn executor(&mut self) -> &'static str {
        if self.random.percent(70) { EXECUTOR } else { "other" }
    }

    fn key(&mut self) -> Option<String> {
        self.random.percent(35).then(|| format!("k{}", self.random.below(4)))
    }

    fn deadline(&mut self) -> Option<u32> {
        self.random.percent(15).then(|| 1 + self.random.below(4_000) as u32)
    }

    /// Rules for some of the executors and keys that tasks have.
    fn rules(&mut self) -> Op {
        let names = [
            (GateScope::Executor, "other"),
            (GateScope::Key, "k0"),
            (GateScope::Key, "k1"),
            (GateScope::Key, "k*"),
        ];
        let mut rules = Vec::new();
        for (scope, name) in names {
            if self.random.percent(50) {
                continue;
            }
            let max_running = self.random.percent(60).then(|| self.random.below(4) as u32);
            let rate = self.random.percent(40).then(|| Rate {
                spacing: 1 + self.random.below(400_000) as i64,
                burst: 1 + self.random.below(3) as u32,
            });
            rules.push(GateRule { scope, name: name.into(), limits: GateLimits { max_running, rate } });
        }
        Op::Rules { rules }
    }

    fn turn(&mut self, pair: &Pair) -> Op {
        let node = self.random.below(NODES);
        let mut finished = Vec::new();
        let mut progress = Vec::new();
        for (i, holder) in pair.holders().enumerate() {
            // Now and then a result comes through another node, as when a worker hands it to whom it reaches.
            if (holder == node && self.random.percent(60)) || self.random.percent(3) {
                finished.push((i, self.ending()));
                if self.random.percent(5) {
                    finished.push((i, Ending::Complete));
                }
            }
            if self.random.percent(10) {
                progress.push(i);
            }
        }
        let (claim, started_first) = (self.random.below(5) as u32, self.random.percent(30));
        Op::Turn { node, finished, progress, claim, started_first }
    }

    fn ending(&mut self) -> Ending {
        match self.random.below(100) {
            0..62 => Ending::Complete,
            62..77 => Ending::Fail,
            77..90 => Ending::Retry(self.random.below(1_200) as u64),
            _ => Ending::Delay(self.random.below(1_200) as u64),
        }
    }

    fn cancel(&mut self) -> Op {
        let mut tasks = vec![self.task()];
        while self.random.percent(30) {
            tasks.push(self.task());
        }
        Op::Cancel { tasks, cascade: self.random.percent(50) }
    }

    fn update(&mut self, pair: &Pair) -> Op {
        let mut task = self.task();
        let mut patch = TaskPatch::default();
        match self.random.below(13) {
            10 => patch.concurrency_key = Some(self.key()),
            11 => patch.executor = Some(Some(self.executor().into())),
            12 => patch.deadline_ms = Some(self.deadline()),
            0..4 => patch.priority = Some(self.random.below(4) as u8),
            4..5 => patch.inputs = Some(json!({"edited": self.random.below(100)}).into()),
            5..8 => {
                let tree = self.trees.iter().find(|tree| tree.contains(&task)).cloned().unwrap_or_default();
                let edge = |random: &mut Random| {
                    (random.pick(&tree).clone(), random.percent(70), DependencyKind::Result)
                };
                let count = self.random.below(3);
                let mut edges: Vec<_> = (0..count).map(|_| edge(&mut self.random)).collect();
                if self.random.percent(10) {
                    edges.push((self.task(), true, DependencyKind::Result));
                }
                patch.dependencies = Some(edges);
            }
            _ => {
                if let Some(failed) = pair.failed().first().filter(|_| self.random.percent(70)) {
                    task = failed.clone();
                }
                let to = if self.random.percent(70) {
                    TaskStatus::Pending
                } else {
                    *self.random.pick(&TaskStatus::ALL)
                };
                patch.status = Some(to);
            }
        }
        Op::Update { task, patch: Box::new(patch) }
    }
}
