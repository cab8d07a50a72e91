//! `turn`: the hot path, one text for one hop, whose work is done by a few procedures. Those that a turn does not need (no
//! progress, nothing finished, nothing failed) are not called; each of the few combinations is a text that the connection
//! prepares once.
//!
//! Parameters: `$1` time, `$2` node, `$3` epoch, `$4` finished runs, `$5` progress, `$6` claim at most, `$7` number of
//! finished runs. Rows that come back are told apart by the name of their first column.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, TaskId, TaskKey, Token, TreeId, TreeKey};
use apflow_core::json::Json;
use apflow_core::lease::Session;
use apflow_core::store::{
    ClaimedRun, DependencyResult, FinishedRun, ProgressReport, RunOutcome, TreeEnd, Turn, TurnOutcome,
};
use apflow_core::task::TaskStatus;
use apflow_core::transition::{Change, transition};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row};

use super::SqliteStore;
use super::events;
use super::settle::{COMPLETED, DELAY, ENDED, FAILED, RETRY};
use super::transaction::{Failure, Statement};
use crate::error::{corrupt, is_missing};
use crate::rows::{More, at, json, kind, optional_json, status, status_number, to_json, tree_status};

const TASK_STARTED: i64 = EventKind::TaskStarted.number();
const TASK_PROGRESS: i64 = EventKind::TaskProgress.number();
const TASK_COMPLETED: i64 = EventKind::TaskCompleted.number();
const TASK_FAILED: i64 = EventKind::TaskFailed.number();
const TASK_RETRYING: i64 = EventKind::TaskRetrying.number();
const TASK_DELAYED: i64 = EventKind::TaskDelayed.number();

pub(super) async fn turn(store: &SqliteStore, turn: Turn) -> Result<TurnOutcome> {
    let mut reader = Reader::default();
    let statement = statement(&turn)?;
    let mut writing = store.write().await;
    match writing.run(statement, |row| reader.take(row)).await {
        Ok(()) => Ok(reader.outcome),
        Err(failure) => Err(refused(failure, &turn.session)),
    }
}

fn refused(failure: Failure, session: &Session) -> Error {
    match failure {
        Failure::Statement(error) if is_missing(&error, "guard.session") => lease_lost(session),
        failure => failure.into(),
    }
}

/// The session is over.
pub(super) fn lease_lost(session: &Session) -> Error {
    let Session { node, epoch } = session;
    Error::new(
        ErrorCode::LeaseLost,
        format!(
            "Session {epoch} of node '{node}' is over: its lease has expired, it was closed or a newer session was opened. \
             Stop its runs and open a session"
        ),
    )
    .with("node", node.as_str())
    .with("epoch", *epoch)
}

fn statement(turn: &Turn) -> Result<Statement> {
    let finished = turn.finished.iter().map(pack).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        progress: !turn.progress.is_empty(),
        finished: !finished.is_empty(),
        failed: finished.iter().any(|run| run.2 == FAILED),
    };
    Ok(sqlx::query(parts.text())
        .bind(turn.now.as_micros())
        .bind(turn.session.node.as_str().to_owned())
        .bind(turn.session.epoch)
        .bind(to_json("list of finished runs", &finished)?)
        .bind(to_json("list of progress reports", &reports(&turn.progress))?)
        .bind(i64::from(turn.claim))
        .bind(finished.len() as i64))
}

/// A finished run as the text takes it: task, token, kind, due time, the event's own data, result, error, inputs, receipt.
/// Documents go in as strings of JSON text, so that they come out as they were, whatever their depth.
type Finished<'t> = (
    TaskKey,
    Token,
    i64,
    Option<i64>,
    Option<String>,
    Option<&'t str>,
    Option<String>,
    Option<&'t str>,
    Option<&'t str>,
);

/// Asks the state machine for the change and packs the run.
fn pack(run: &FinishedRun) -> Result<Finished<'_>> {
    let error_text = |error| to_json("task error", error).map(Some);
    let (change, again, result, error) = match &run.outcome {
        RunOutcome::Completed { result } => (Change::Complete, None, Some(result), None),
        RunOutcome::Failed { error, result } => (Change::Fail, None, result.as_ref(), error_text(error)?),
        RunOutcome::Retry { error, due } => (Change::Retry, Some((RETRY, *due)), None, error_text(error)?),
        RunOutcome::Delay { due } => (Change::Retry, Some((DELAY, *due)), None, None),
    };
    let status = transition(TaskStatus::InProgress, change)?;
    let receipt = run.receipt.as_ref().map(Json::as_str);
    let (kind, until, data) = match again {
        None => (status_number(status), None, None),
        Some((DELAY, due)) => (DELAY, Some(due.as_micros()), Some(events::delayed(due, receipt))),
        Some((kind, due)) => (kind, Some(due.as_micros()), Some(events::due(due))),
    };
    let inputs = run.inputs.as_ref().map(Json::as_str);
    Ok((run.key, run.token, kind, until, data, result.map(Json::as_str), error, inputs, receipt))
}

/// A report: task, token, fraction, data, whether it is the last one of its run.
type Report<'t> = (TaskKey, Token, f64, &'t str, bool);

fn reports(progress: &[ProgressReport]) -> Vec<Report<'_>> {
    let run = |report: &ProgressReport| (report.key, report.token);
    let last: HashMap<_, usize> = progress.iter().enumerate().map(|(i, report)| (run(report), i)).collect();
    let mut packed = Vec::with_capacity(progress.len());
    for (i, report) in progress.iter().enumerate() {
        let is_last = last.get(&run(report)) == Some(&i);
        packed.push((report.key, report.token, report.fraction, report.data.as_str(), is_last));
    }
    packed
}

/// Which calls a turn needs.
#[derive(Debug, Clone, Copy)]
struct Parts {
    progress: bool,
    finished: bool,
    failed: bool,
}

impl Parts {
    fn text(self) -> &'static str {
        static TEXTS: [OnceLock<String>; 8] = [const { OnceLock::new() }; 8];
        let bits = [self.progress, self.finished, self.failed];
        let index = bits.iter().fold(0, |index, bit| 2 * index + usize::from(*bit));
        TEXTS[index].get_or_init(|| self.build())
    }

    fn build(self) -> String {
        let pieces = [
            (true, BEGIN),
            (self.progress, "INSERT INTO note_progress VALUES ($1, $5);"),
            (self.finished, "INSERT INTO record_runs VALUES ($1, $4);"),
            (self.failed, "INSERT INTO block_dependents VALUES ($1);"),
            (self.finished, "INSERT INTO settle VALUES ($1);"),
            (true, "INSERT INTO claim_ready VALUES ($1, $6);"),
            (true, TOUCHED),
            (true, CLAIMED),
            (self.finished, LOST),
            (self.finished, ENDED),
            (true, SUMMARY),
            (true, "INSERT INTO clear_scratch VALUES (0); COMMIT;"),
        ];
        pieces.into_iter().filter(|(wanted, _)| *wanted).map(|(_, piece)| piece).collect()
    }
}

/// The text of a turn that needs everything, for the test that looks at plans.
#[cfg(test)]
pub(super) fn whole_text() -> &'static str {
    Parts { progress: true, finished: true, failed: true }.text()
}

const BEGIN: &str = "
BEGIN IMMEDIATE;
-- Fails if the session is over, and with it the turn.
INSERT INTO guard (session, seq)
SELECT (SELECT n FROM sessions WHERE node = $2 AND epoch = $3 AND ended = 0), coalesce((SELECT max(seq) FROM events), 0);
";

/// `jsonb_each` hands the elements on in parsed form, where `json_each` would write each one out and have it parsed again.
pub(super) static NOTE_PROGRESS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
UPDATE running SET progress = p.fraction
  FROM (SELECT value->>0 AS n, value->>1 AS token, value->>2 AS fraction FROM jsonb_each(NEW.reports) WHERE value->>4) AS p
 WHERE running.n = p.n AND running.token = p.token;
INSERT INTO events (tree, n, attempt, kind, at, started_at, data)
SELECT r.tree, r.n, r.attempt, {TASK_PROGRESS}, NEW.now, r.started_at, j.value->>3
  FROM jsonb_each(NEW.reports) AS j CROSS JOIN running r ON r.n = j.value->>0 AND r.token = j.value->>1;
"
    )
});

/// The token is the fence: a run that does not hold the current one finds no row, and is reported as lost.
pub(super) static RECORD_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT OR IGNORE INTO finished (pos, n, tree, kind, open, blocked, attempt, base, token, priority, node, started_at, until,
                                data, result, error, inputs, receipt)
SELECT j.key, r.n, r.tree, j.value->>2, 1, 0, r.attempt, r.base, r.token, r.priority, r.node, r.started_at, j.value->>3,
       j.value->>4, j.value->>5, j.value->>6, j.value->>7, j.value->>8
  FROM jsonb_each(NEW.runs) AS j CROSS JOIN running r ON r.n = j.value->>0 AND r.token = j.value->>1;

INSERT INTO done (n, attempt, status, node, started_at, ended_at, token, result, error, inputs, receipt)
SELECT n, attempt, CASE kind WHEN {RETRY} THEN {FAILED} ELSE kind END, node, started_at, NEW.now, token, result, error,
       inputs, receipt
  FROM finished WHERE kind <> {DELAY};

DELETE FROM running WHERE n IN (SELECT n FROM finished);

-- A run that was put off was no attempt: its number is used again.
INSERT INTO delayed (n, tree, priority, due, attempt, base, token)
SELECT n, tree, priority, until, attempt - (kind = {DELAY}), base, token FROM finished WHERE kind IN ({RETRY}, {DELAY});

INSERT INTO events (tree, n, attempt, kind, at, started_at, data)
SELECT tree, n, attempt,
       CASE kind WHEN {COMPLETED} THEN {TASK_COMPLETED} WHEN {FAILED} THEN {TASK_FAILED}
                 WHEN {RETRY} THEN {TASK_RETRYING} ELSE {TASK_DELAYED} END,
       NEW.now, started_at, data
  FROM finished ORDER BY pos;
"
    )
});

/// Moves what is due to ready, then takes the head of the queue.
pub(super) static CLAIM_READY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT n, tree, priority, due, attempt, base, token FROM delayed WHERE due <= NEW.now;
DELETE FROM delayed WHERE due <= NEW.now;

INSERT INTO claimed (n, tree, attempt, base, token, priority)
SELECT n, tree, attempt + 1, base, token + 1, priority FROM ready ORDER BY priority, due, n LIMIT NEW.most;
DELETE FROM ready WHERE n IN (SELECT n FROM claimed);
INSERT INTO running (n, tree, attempt, base, token, priority, node, started_at)
SELECT n, tree, attempt, base, token, priority, (SELECT session FROM guard), NEW.now FROM claimed;
INSERT INTO events (tree, n, attempt, kind, at)
SELECT tree, n, attempt, {TASK_STARTED}, NEW.now FROM claimed ORDER BY pos;
"
    )
});

/// The trees in whose log this wrote; those of the claims are among them.
const TOUCHED: &str = "
SELECT n AS touched, id, execution, user_id FROM trees
 WHERE n IN (SELECT tree FROM events WHERE seq > (SELECT seq FROM guard))
 ORDER BY n;
";

const CLAIMED: &str = "
SELECT c.n AS claimed, c.tree, c.attempt, c.attempt - c.base, c.token, c.priority,
       t.id, t.name, t.executor, t.inputs, t.params, t.more
  FROM claimed c CROSS JOIN tasks t ON t.n = c.n
 ORDER BY c.pos;
-- A dependency of a claimed task is in no queue, so its status is what its newest attempt came to. A link (type 2) is
-- completed, and gives what its original has and the result of the attempt that completed that.
SELECT c.n AS dependent, t.id, t.name, e.kind, s.executor, s.more,
       CASE WHEN l.n IS NOT NULL THEN 2 WHEN d.n IS NULL OR o.n IS NOT NULL THEN 0 ELSE d.status END, d.result
  FROM claimed c CROSS JOIN edges e ON e.task = c.n CROSS JOIN tasks t ON t.n = e.dep
  LEFT JOIN origins l ON l.n = e.dep AND l.type = 2
  LEFT JOIN tasks s ON s.n = coalesce(l.original, e.dep)
  LEFT JOIN done d ON d.n = s.n AND d.attempt = (
       SELECT max(attempt) FROM done WHERE n = s.n AND (l.n IS NULL OR status = 2))
  LEFT JOIN reopened o ON o.n = e.dep AND o.attempt = d.attempt
 ORDER BY c.pos, e.pos;
";

/// Looks at the list again only if some run of it found no row.
const LOST: &str = "
SELECT j.value->>0 AS lost, j.value->>1
  FROM (SELECT 1 WHERE (SELECT count(*) FROM finished) < $7) CROSS JOIN jsonb_each($4) AS j
 WHERE NOT EXISTS (SELECT 1 FROM finished f WHERE f.pos = j.key);
";

const SUMMARY: &str = "
SELECT EXISTS (SELECT 1 FROM ready) AS summary, (SELECT min(due) FROM delayed), coalesce((SELECT max(seq) FROM events), 0);
";

/// Puts the rows of a turn together.
#[derive(Default)]
struct Reader {
    outcome: TurnOutcome,
    trees: HashMap<TreeKey, (TreeId, u32, Option<String>)>,
    /// Position of the claimed run that the last dependency belonged to: both come in the same order.
    dependent: usize,
}

impl Reader {
    fn take(&mut self, row: &SqliteRow) -> Result<()> {
        let outcome = &mut self.outcome;
        match row.column(0).name() {
            "touched" => {
                let tree = TreeKey(at(row, 0)?);
                outcome.touched.push(tree);
                self.trees.insert(tree, (at::<String>(row, 1)?.into(), at(row, 2)?, at(row, 3)?));
            }
            "claimed" => {
                let run = self.claimed(row)?;
                self.outcome.claimed.push(run);
            }
            "dependent" => {
                let key = TaskKey(at(row, 0)?);
                let later = outcome.claimed[self.dependent..].iter().position(|run| run.key == key);
                self.dependent += later.unwrap_or_default();
                if let Some(run) = outcome.claimed.get_mut(self.dependent) {
                    run.dependencies.push(dependency(row)?);
                }
            }
            "lost" => outcome.lost.push((TaskKey(at(row, 0)?), Token(at(row, 1)?))),
            "ended" => outcome.ended.push(ended(row)?),
            _ => {
                outcome.more = at(row, 0)?;
                outcome.next_due = crate::rows::optional_time(row, 1)?;
                outcome.last_seq = Seq(at(row, 2)?);
            }
        }
        Ok(())
    }

    fn claimed(&self, row: &SqliteRow) -> Result<ClaimedRun> {
        let tree = TreeKey(at(row, 1)?);
        let (tree_id, execution, user_id) = self
            .trees
            .get(&tree)
            .cloned()
            .ok_or_else(|| corrupt(format!("A task names tree {}, which is not there", tree.0)))?;
        let mut more = More::read(at(row, 11)?)?;
        Ok(ClaimedRun {
            key: TaskKey(at(row, 0)?),
            tree,
            execution,
            id: TaskId::from(at::<&str>(row, 6)?),
            tree_id,
            name: at(row, 7)?,
            user_id,
            priority: at(row, 5)?,
            attempt: at(row, 2)?,
            tries: at(row, 3)?,
            token: Token(at(row, 4)?),
            executor: at(row, 8)?,
            inputs: json(row, 9)?,
            params: json(row, 10)?,
            schemas: more.schemas(),
            metadata: more.metadata,
            retry: more.retry,
            timeout_ms: more.timeout_ms,
            dependencies: Vec::new(),
        })
    }
}

fn dependency(row: &SqliteRow) -> Result<DependencyResult> {
    Ok(DependencyResult {
        id: TaskId::from(at::<&str>(row, 1)?),
        name: at(row, 2)?,
        kind: kind(at(row, 3)?),
        executor: at(row, 4)?,
        schemas: More::read(at(row, 5)?)?.schemas(),
        status: status(at(row, 6)?)?,
        result: optional_json(row, 7)?,
    })
}

/// A row of [`ENDED`].
pub(super) fn ended(row: &SqliteRow) -> Result<TreeEnd> {
    Ok(TreeEnd {
        tree: TreeKey(at(row, 0)?),
        tree_id: TreeId::from(at::<&str>(row, 1)?),
        execution: at(row, 2)?,
        status: tree_status(at(row, 3)?)?,
    })
}
