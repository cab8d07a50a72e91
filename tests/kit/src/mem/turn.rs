//! `turn`: records, releases, blocks, ends, wakes and claims, in this order. Its cost follows what it is given and the
//! edges of that, never the size of the store.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Result, TaskError};
use apflow_core::event::EventKind;
use apflow_core::gate::Gate;
use apflow_core::id::{NodeId, TaskKey};
use apflow_core::json::Json;
use apflow_core::store::{
    ClaimedRun, DependencyResult, FinishedRun, ProgressReport, RunOutcome, Turn, TurnOutcome,
};
use apflow_core::task::{Attempt, DependencyKind, TaskStatus};
use apflow_core::transition::Change;
use serde_json::json;

use super::gates;
use super::log::TaskNote;
use super::rows::{Hold, Place, State};
use super::session;
use super::transaction::{Settled, Transaction};

pub(super) fn turn(state: &mut State, turn: Turn) -> Result<TurnOutcome> {
    session::check(state, &turn.session)?;
    let mut work = Transaction::new(state, turn.now);
    for report in turn.progress {
        work.progress(report);
    }
    let mut lost = Vec::new();
    for run in turn.finished {
        let (key, token) = (run.key, run.token);
        if !work.record(run)? {
            lost.push((key, token));
        }
    }
    work.follow();
    work.wake();
    let mut claimed = Vec::new();
    for key in gates::offered(work.state, turn.claim as usize, turn.now) {
        claimed.extend(work.claim_one(key, &turn.session.node)?);
    }
    if turn.started_first {
        let keys: Vec<TaskKey> = claimed.iter().map(|run| run.key).collect();
        gates::promote(work.state, &keys);
    }
    let awaited = || work.state.gates.values().filter_map(Gate::wakes_at);
    let due = work.state.delayed.first().map(|(due, _)| *due);
    Ok(TurnOutcome {
        claimed,
        lost,
        ended: work.ended,
        touched: work.touched.into_iter().collect(),
        more: !work.state.ready.is_empty() || awaited().any(|opens| opens <= turn.now),
        next_due: awaited().filter(|opens| *opens > turn.now).chain(due).min(),
        last_seq: work.state.log.last(),
    })
}

impl Transaction<'_> {
    fn progress(&mut self, report: ProgressReport) {
        let Some(row) = self.state.tasks.get(report.key.0) else { return };
        let Some(hold) = row.held_by(report.token) else { return };
        let (attempt, started_at) = (row.attempt, hold.started_at);
        if let Place::Running(hold) = &mut self.state.tasks[report.key].place {
            hold.fraction = report.fraction;
        }
        let (kind, started_at, data) = (EventKind::TaskProgress, Some(started_at), Some(report.data));
        self.note_task(report.key, TaskNote { kind, attempt, started_at, data });
    }

    /// Records how a run ended; false if its token is not the current one.
    fn record(&mut self, run: FinishedRun) -> Result<bool> {
        let key = run.key;
        let Some(row) = self.state.tasks.get(key.0) else { return Ok(false) };
        let Some(hold) = row.held_by(run.token).cloned() else { return Ok(false) };
        let attempt = row.attempt;
        let (kind, change, place, settled) = match &run.outcome {
            RunOutcome::Completed { .. } => {
                (EventKind::TaskCompleted, Change::Complete, Place::Idle, Some(Settled::Completed))
            }
            RunOutcome::Failed { .. } => {
                (EventKind::TaskFailed, Change::Fail, Place::Idle, Some(Settled::Failed))
            }
            RunOutcome::Retry { due, .. } => {
                (EventKind::TaskRetrying, Change::Retry, Place::Delayed(*due), None)
            }
            RunOutcome::Delay { due } => (EventKind::TaskDelayed, Change::Retry, Place::Delayed(*due), None),
        };
        self.state.tasks[key].change(change)?;
        self.state.move_to(key, place);
        let data = Some(facts(&run.outcome, run.receipt.as_ref()));
        self.note_task(key, TaskNote { kind, attempt, started_at: Some(hold.started_at), data });
        self.keep(run, &hold);
        if let Some(how) = settled {
            self.settle(key, how);
        }
        Ok(true)
    }

    /// Appends to the history of the task what belongs there.
    fn keep(&mut self, run: FinishedRun, hold: &Hold) {
        let row = &mut self.state.tasks[run.key];
        let (status, result, error) = match run.outcome {
            RunOutcome::Completed { result } => (TaskStatus::Completed, Some(result), None),
            RunOutcome::Failed { error, result } => (TaskStatus::Failed, result, Some(error)),
            RunOutcome::Retry { error, .. } => (TaskStatus::Failed, None, Some(error)),
            RunOutcome::Delay { .. } => {
                // It was no attempt: the next claim takes the number again.
                row.attempt -= 1;
                row.tries -= 1;
                return;
            }
        };
        row.history.push(Attempt {
            attempt: row.attempt,
            status,
            node: Some(hold.node.clone()),
            started_at: Some(hold.started_at),
            completed_at: self.now,
            result,
            error,
            inputs: run.inputs,
            receipt: run.receipt,
        });
    }

    /// Moves what is due from the delayed to the ready.
    fn wake(&mut self) {
        while let Some(&(due, key)) = self.state.delayed.first()
            && due <= self.now
        {
            self.state.move_to(key, Place::Ready(due));
        }
    }

    /// Claims a task that is on offer, if its gates let it.
    fn claim_one(&mut self, key: TaskKey, node: &NodeId) -> Result<Option<ClaimedRun>> {
        let Some(gates) = gates::pass(self.state, key, self.now) else { return Ok(None) };
        let row = &mut self.state.tasks[key];
        row.change(Change::Start)?;
        row.token.0 += 1;
        row.attempt += 1;
        row.tries += 1;
        let attempt = row.attempt;
        let hold = Hold { node: node.clone(), started_at: self.now, fraction: 0.0, gates };
        self.state.move_to(key, Place::Running(hold));
        let (kind, started_at) = (EventKind::TaskStarted, Some(self.now));
        self.note_task(key, TaskNote { kind, attempt, started_at, data: None });
        Ok(Some(self.claimed(key)))
    }

    fn claimed(&self, key: TaskKey) -> ClaimedRun {
        let row = &self.state.tasks[key];
        let tree = &self.state.trees[row.tree];
        ClaimedRun {
            key,
            tree: row.tree,
            execution: tree.execution,
            id: row.id.clone(),
            tree_id: tree.id.clone(),
            name: row.name.clone(),
            user_id: tree.user_id.clone(),
            priority: row.priority,
            attempt: row.attempt,
            tries: row.tries,
            token: row.token,
            executor: row.executor.clone(),
            inputs: row.inputs.clone(),
            params: row.params.clone(),
            schemas: row.schemas.clone(),
            metadata: row.metadata.clone(),
            retry: row.retry,
            timeout_ms: row.timeout_ms,
            dependencies: row.dependencies.iter().map(|(on, _, kind)| self.offered(*on, *kind)).collect(),
        }
    }

    /// A link gives what its original has, and the result of the attempt that completed it.
    fn offered(&self, key: TaskKey, kind: DependencyKind) -> DependencyResult {
        let row = &self.state.tasks[key];
        let source = match &row.origin {
            Some(origin) if origin.link => &self.state.tasks[origin.original],
            _ => row,
        };
        let counts = |one: &&Attempt| !row.is_link() || one.status == TaskStatus::Completed;
        DependencyResult {
            id: row.id.clone(),
            name: row.name.clone(),
            kind,
            executor: source.executor.clone(),
            schemas: source.schemas.clone(),
            status: row.status,
            result: source.history.iter().rev().find(counts).and_then(|attempt| attempt.result.clone()),
        }
    }
}

/// The data of the event that ends a run.
fn facts(outcome: &RunOutcome, receipt: Option<&Json>) -> Json {
    let why = |error: &TaskError| ("error", Json::from(json!(error)));
    let when = |due: &Timestamp| ("due", Json::from(json!(due)));
    let mut facts = match outcome {
        RunOutcome::Completed { result } => vec![("result", result.clone())],
        RunOutcome::Failed { error, .. } => vec![why(error)],
        RunOutcome::Retry { error, due } => vec![why(error), when(due)],
        RunOutcome::Delay { due } => vec![when(due)],
    };
    facts.extend(receipt.map(|receipt| ("receipt", receipt.clone())));
    let members: Vec<String> = facts.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    Json::trusted(format!("{{{}}}", members.join(",")))
}
