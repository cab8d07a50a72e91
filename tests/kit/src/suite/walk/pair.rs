//! The store under test beside the store in memory: every operation is done to both, and what they show is compared.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{NodeId, Seq, TaskId, TaskKey, Token};
use apflow_core::lease::Session;
use apflow_core::store::{
    CancelRequest, ClaimedRun, EventQuery, ExecuteRequest, Execution, FinishedRun, ProgressReport,
    RunOutcome, Store, TaskFilter, Turn,
};
use apflow_core::task::TaskStatus;
use serde_json::{Value, json};

use super::super::rig::{START, broken, ended, tree};
use super::draw::{Ending, NODES, Op};
use super::seen::{self, Names};
use crate::history::{self, Rules, Summary};
use crate::mem::MemStore;

/// The key of an error's code; no answer has it.
const REFUSED: &str = "refused with";

/// One of the two stores, and what the walk knows of it.
struct Side {
    store: Arc<dyn Store>,
    sessions: Vec<Session>,
    /// Runs that have not been handed back, in the same order on both sides; the holder may have lost them.
    held: Vec<(usize, ClaimedRun)>,
    names: Names,
    seen: Seq,
    /// Whether the last turn left something to claim.
    more: bool,
}

/// Both stores.
pub struct Pair {
    mem: Side,
    sut: Side,
    now: Timestamp,
    tasks: Vec<TaskId>,
    failed: Vec<TaskId>,
    rules: Rules,
}

impl Pair {
    pub async fn new(store: Arc<dyn Store>) -> Self {
        let (mem, sut) = (Side::new(Arc::new(MemStore::new())).await, Side::new(store).await);
        Self { mem, sut, now: START, tasks: Vec::new(), failed: Vec::new(), rules: Rules::default() }
    }

    /// The nodes of the held runs.
    pub fn holders(&self) -> impl Iterator<Item = usize> {
        self.mem.held.iter().map(|(node, _)| *node)
    }

    /// Tasks that have failed.
    pub fn failed(&self) -> &[TaskId] {
        &self.failed
    }

    /// Whether what follows depends on which one of several failures blocks a task, which is the store's choice.
    pub async fn is_ambiguous(&self, op: &Op) -> bool {
        let Op::Delete { task } = op else { return false };
        let mut causes = HashSet::new();
        for side in [&self.mem, &self.sut] {
            let tasks = side.store.get(&self.tasks).await.unwrap();
            causes.extend(tasks.into_iter().flatten().filter_map(|task| task.blocked_by));
        }
        let doomed = self.mem.store.subtree(task).await.unwrap();
        doomed.iter().any(|task| causes.contains(&task.id))
    }

    /// Does an operation to both stores.
    ///
    /// # Errors
    /// What differs.
    pub async fn step(&mut self, op: &Op) -> Result<(), String> {
        if let Op::Wait { millis } = op {
            self.now = self.now.plus(Duration::from_millis(*millis));
        }
        let (mem, sut) = (self.mem.perform(op, self.now).await, self.sut.perform(op, self.now).await);
        agree("the answer", &mem, &sut)?;
        self.learn(op, &sut).await;
        self.compare().await
    }

    /// Remembers new tasks and changed dependencies.
    async fn learn(&mut self, op: &Op, answer: &Value) {
        let refused = answer.get(REFUSED).is_some();
        match op {
            Op::Insert { tasks, .. } if !refused => {
                let inserted = self.sut.store.subtree(&tree(tasks.clone()).root().clone()).await.unwrap();
                for task in inserted {
                    self.rules.changed(&task, Seq(0));
                    self.tasks.push(task.id);
                }
            }
            Op::Update { task, patch } if !refused && patch.dependencies.is_some() => {
                let changed = self.sut.store.get(std::slice::from_ref(task)).await.unwrap().remove(0);
                let after = self.sut.store.last_seq().await.unwrap();
                self.rules.changed(&changed.unwrap(), after);
            }
            _ => {}
        }
    }

    async fn compare(&mut self) -> Result<(), String> {
        agree("the new events", &self.mem.new_events().await, &self.sut.new_events().await)?;
        let (mem, sut) = (self.mem.store.get(&self.tasks).await, self.sut.store.get(&self.tasks).await);
        let (mem, sut) = (mem.unwrap(), sut.unwrap());
        for ((id, mem), sut) in self.tasks.iter().zip(&mem).zip(&sut) {
            let show = |task: &Option<_>| task.as_ref().map_or(Value::Null, seen::task);
            agree(&format!("task '{id}'"), &show(mem), &show(sut))?;
        }
        let failed = mem.iter().flatten().filter(|task| task.status == TaskStatus::Failed);
        self.failed = failed.map(|task| task.id.clone()).collect();
        // A few tasks a step, another few the next time.
        let offset = usize::try_from(self.sut.seen.0).unwrap_or(0);
        for i in 0..self.tasks.len().min(4) {
            let id = &self.tasks[(offset * 7 + i * 13) % self.tasks.len()];
            agree(&format!("the queues about '{id}'"), &self.mem.about(id).await, &self.sut.about(id).await)?;
        }
        agree("the counts", &self.mem.counts().await, &self.sut.counts().await)
    }

    /// Takes back all runs and completes whatever can run until nothing is left.
    ///
    /// # Errors
    /// What differs, or that there is no end.
    pub async fn rest(&mut self) -> Result<(), String> {
        for node in 0..NODES {
            self.step(&Op::Open { node, lease_ms: 1_000_000_000 }).await?;
        }
        self.step(&Op::Rules { rules: Vec::new() }).await?;
        for _ in 0..1_000 {
            // Longer than any delay: what is put off is due now.
            self.step(&Op::Wait { millis: 10_000 }).await?;
            let finished: Vec<_> = (0..self.sut.held.len()).map(|i| (i, Ending::Complete)).collect();
            let idle = finished.is_empty();
            let turn = Op::Turn { node: 0, finished, progress: Vec::new(), claim: 50, started_first: false };
            self.step(&turn).await?;
            if idle && self.sut.held.is_empty() && !self.sut.more {
                return Ok(());
            }
        }
        Err("there is still something to run after 1,000 turns".into())
    }

    /// Checks the whole log of the store under test; every execution must have ended.
    pub async fn check_history(&self) -> Result<Summary, Vec<String>> {
        let events = history::read_all(&*self.sut.store).await.unwrap();
        let summary = history::check(&events, &self.rules)?;
        match &summary.open[..] {
            [] => Ok(summary),
            open => Err(vec![format!("executions without an end: {open:?}")]),
        }
    }
}

fn agree(what: &str, mem: &Value, sut: &Value) -> Result<(), String> {
    if mem == sut {
        return Ok(());
    }
    Err(format!("{what}: expected\n  {mem}\nbut the store shows\n  {sut}"))
}

fn node(number: usize) -> NodeId {
    NodeId::from(format!("node-{number}"))
}

impl Side {
    async fn new(store: Arc<dyn Store>) -> Self {
        let mut sessions = Vec::new();
        for number in 0..NODES {
            let until = START.plus(Duration::from_secs(2));
            sessions.push(store.open_session(&node(number), until, START).await.unwrap().session);
        }
        Self { store, sessions, held: Vec::new(), names: Names::default(), seen: Seq(0), more: false }
    }

    /// The answer, or the code of the error.
    async fn perform(&mut self, op: &Op, now: Timestamp) -> Value {
        match self.answer(op, now).await {
            Ok(answer) => answer,
            Err(error) => json!({REFUSED: error.code.as_str()}),
        }
    }

    async fn answer(&mut self, op: &Op, now: Timestamp) -> Result<Value> {
        let later = |millis: u64| now.plus(Duration::from_millis(millis));
        match op {
            Op::Insert { tasks, execute } => self.insert(tasks, *execute, now).await,
            Op::Execute { task, rerun_completed } => self.execute(task, *rerun_completed, now).await,
            Op::Turn { node, finished, progress, claim, started_first } => {
                let runs = finished.iter().map(|(i, ending)| end(&self.held[*i].1, *ending, now)).collect();
                let turn = Turn {
                    session: self.sessions[*node].clone(),
                    now,
                    finished: runs,
                    progress: progress.iter().map(|i| report(&self.held[*i].1)).collect(),
                    claim: *claim,
                    started_first: *started_first,
                };
                self.turn(*node, finished, turn).await
            }
            Op::Rules { rules } => Ok(json!(self.store.set_gate_rules(rules, now).await?)),
            Op::Expire => {
                let done = self.store.expire(now).await?;
                let interrupted = self.interrupted(&done.interrupted);
                Ok(json!([interrupted, seen::ends(&done.ended), done.next]))
            }
            Op::Cancel { tasks, cascade } => self.cancel(tasks, *cascade, now).await,
            Op::Update { task, patch } => {
                Ok(seen::task(&self.store.update(task, (**patch).clone(), now).await?))
            }
            Op::Delete { task } => Ok(json!(self.store.delete(task, now).await?.deleted)),
            Op::Open { node: number, lease_ms } => {
                let opened = self.store.open_session(&node(*number), later(*lease_ms), now).await?;
                self.sessions[*number] = opened.session.clone();
                Ok(json!([opened.session, opened.rescued]))
            }
            Op::Renew { node, lease_ms } => {
                Ok(json!(self.store.renew_session(&self.sessions[*node], later(*lease_ms)).await?))
            }
            Op::Close { node } => Ok(json!(self.store.close_session(&self.sessions[*node], now).await?)),
            Op::Rescue => Ok(json!(self.store.rescue(now).await?)),
            Op::Wait { .. } => Ok(Value::Null),
        }
    }

    async fn insert(&mut self, tasks: &Value, execute: bool, now: Timestamp) -> Result<Value> {
        let new = tree(tasks.clone());
        let inserted = self.store.insert_tree(&new, execute, now).await?;
        self.names.trees.insert(inserted.tree, new.id);
        Ok(json!(inserted.execution))
    }

    async fn execute(&self, task: &TaskId, rerun_completed: bool, now: Timestamp) -> Result<Value> {
        let request = ExecuteRequest { task: task.clone(), rerun_completed, now };
        Ok(match self.store.execute(request).await? {
            Execution::Started { tree_id, root, execution, .. } => {
                json!(["started", tree_id, root, execution])
            }
            Execution::AlreadyRunning { tree_id, root, execution, .. } => {
                json!(["running", tree_id, root, execution])
            }
            Execution::NothingToRun { tree_id, root, status, .. } => {
                json!(["nothing", tree_id, root, status])
            }
        })
    }

    async fn turn(&mut self, node: usize, finished: &[(usize, Ending)], turn: Turn) -> Result<Value> {
        let outcome = self.store.turn(turn).await?;
        self.more = outcome.more;
        let handed: HashSet<usize> = finished.iter().map(|(i, _)| *i).collect();
        let mut index = 0..;
        self.held.retain(|_| index.next().is_none_or(|i| !handed.contains(&i)));
        for run in &outcome.claimed {
            self.names.tasks.insert(run.key, run.id.clone());
            self.held.push((node, run.clone()));
        }
        let mut lost: Vec<String> =
            outcome.lost.iter().map(|(key, _)| self.names.task(*key).to_string()).collect();
        lost.sort_unstable();
        Ok(json!({
            "claimed": outcome.claimed.iter().map(seen::claim).collect::<Vec<_>>(),
            "lost": lost, "ended": seen::ends(&outcome.ended), "touched": self.names.touched(&outcome.touched),
            "more": outcome.more, "next_due": outcome.next_due,
        }))
    }

    async fn cancel(&self, tasks: &[TaskId], cascade: bool, now: Timestamp) -> Result<Value> {
        let request = CancelRequest { tasks: tasks.to_vec(), cascade, message: "stop".into(), now };
        let done = self.store.cancel(request).await?;
        let interrupted = self.interrupted(&done.interrupted);
        let results: Vec<String> =
            done.results.iter().map(|(id, result)| format!("{id} {result:?}")).collect();
        let (ended, touched) = (seen::ends(&done.ended), self.names.touched(&done.touched));
        Ok(json!({"results": results, "interrupted": interrupted, "ended": ended, "touched": touched}))
    }

    fn interrupted(&self, runs: &[(TaskKey, Token)]) -> Vec<String> {
        let mut ids: Vec<String> = runs.iter().map(|(key, _)| self.names.task(*key).to_string()).collect();
        ids.sort_unstable();
        ids
    }

    async fn new_events(&mut self) -> Value {
        let query = EventQuery { after: self.seen, limit: 1_000_000, ..EventQuery::default() };
        let events = self.store.events(query).await.unwrap();
        self.seen = events.last().map_or(self.seen, |event| event.seq);
        seen::events(&events)
    }

    async fn about(&self, id: &TaskId) -> Value {
        let facts = self.store.queue_facts(id).await.unwrap();
        let tree = self.store.tree_state(id).await.unwrap();
        let attempts = self.store.attempts(id).await.unwrap();
        json!([facts.as_ref().map(seen::facts), tree.as_ref().map(seen::tree), attempts])
    }

    async fn counts(&self) -> Value {
        let roots = TaskFilter { root_only: true, ..TaskFilter::default() };
        let (all, roots) = (self.store.count(TaskFilter::default()).await, self.store.count(roots).await);
        let gates: Vec<String> =
            self.store.gates().await.unwrap().iter().map(|gate| format!("{gate:?}")).collect();
        json!([all.unwrap(), roots.unwrap(), gates])
    }
}

fn end(run: &ClaimedRun, ending: Ending, now: Timestamp) -> FinishedRun {
    let later = |millis: u64| now.plus(Duration::from_millis(millis));
    let outcome = match ending {
        Ending::Complete => {
            RunOutcome::Completed { result: json!({"task": run.id, "attempt": run.attempt}).into() }
        }
        Ending::Fail => RunOutcome::Failed { error: broken(), result: None },
        Ending::Retry(millis) => RunOutcome::Retry { error: broken(), due: later(millis) },
        Ending::Delay(millis) => RunOutcome::Delay { due: later(millis) },
    };
    // Some runs have inputs of their own and say what they used.
    let inputs = (run.attempt % 2 == 1).then(|| json!({"resolved": run.attempt}).into());
    let receipt = (run.priority % 2 == 1).then(|| json!({"wall_us": 1}).into());
    FinishedRun { inputs, receipt, ..ended(run, outcome) }
}

fn report(run: &ClaimedRun) -> ProgressReport {
    let data = json!({"fraction": 0.5, "message": run.name}).into();
    ProgressReport { key: run.key, token: run.token, fraction: 0.5, data }
}
