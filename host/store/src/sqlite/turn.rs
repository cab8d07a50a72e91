//! `turn`: the hot path, one text for one hop, whose work is done by a few procedures. Those that a turn does not need (no
//! progress, nothing finished, nothing failed) are not called; each of the few combinations is a text that the connection
//! prepares once.
//!
//! Parameters: `$1` time, `$2` node, `$3` epoch, `$4` finished runs, `$5` progress, `$6` claim at most, `$7` number of
//! finished runs. The rows that come back are told apart by the name of their first column; see verbs/answer.rs.

use std::sync::{LazyLock, OnceLock};

use apflow_core::error::{Error, Result};
use apflow_core::event::EventKind;
use apflow_core::lease::Session;
use apflow_core::store::{Turn, TurnOutcome};

use super::SqliteStore;
use super::gates::{START, WAKE};
use super::settle::ENDED;
use super::transaction::Statement;
use crate::database::Failure;
use crate::error::is_missing;
use crate::rows::to_json;
use crate::verbs::answer::Reader;
use crate::verbs::clone::LINK;
use crate::verbs::finished::{COMPLETED, DELAY, FAILED, Finished, RETRY, reports};
use crate::verbs::gates::AWAITED;
use crate::verbs::session::lease_lost;

const TASK_PROGRESS: i64 = EventKind::TaskProgress.number();
const TASK_COMPLETED: i64 = EventKind::TaskCompleted.number();
const TASK_FAILED: i64 = EventKind::TaskFailed.number();
const TASK_RETRYING: i64 = EventKind::TaskRetrying.number();
const TASK_DELAYED: i64 = EventKind::TaskDelayed.number();

/// Later than any time.
const NEVER: i64 = i64::MAX;

pub(super) async fn turn(store: &SqliteStore, turn: &Turn) -> Result<TurnOutcome> {
    let mut reader = Reader::default();
    let statement = statement(turn)?;
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

fn statement(turn: &Turn) -> Result<Statement> {
    let finished = turn.finished.iter().map(Finished::pack).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        progress: !turn.progress.is_empty(),
        finished: !finished.is_empty(),
        failed: finished.iter().any(|run| run.kind == FAILED),
        started_first: turn.started_first,
    };
    // Documents go in as strings of JSON text, so that they come out as they were, whatever their depth.
    let rows: Vec<_> = finished
        .iter()
        .map(|run| {
            let Finished { key, token, kind, until, data, result, error, inputs, receipt } = run;
            (key, token, kind, until, data, result, error, inputs, receipt)
        })
        .collect();
    Ok(sqlx::query(parts.text())
        .bind(turn.now.as_micros())
        .bind(turn.session.node.as_str().to_owned())
        .bind(turn.session.epoch)
        .bind(to_json("list of finished runs", &rows)?)
        .bind(to_json("list of progress reports", &reports(&turn.progress))?)
        .bind(i64::from(turn.claim))
        .bind(rows.len() as i64))
}

/// Which calls a turn needs.
#[derive(Debug, Clone, Copy)]
struct Parts {
    progress: bool,
    finished: bool,
    failed: bool,
    started_first: bool,
}

impl Parts {
    fn text(self) -> &'static str {
        static TEXTS: [OnceLock<String>; 16] = [const { OnceLock::new() }; 16];
        let bits = [self.progress, self.finished, self.failed, self.started_first];
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
            (true, CLAIM),
            (self.started_first, "INSERT INTO promote VALUES ($1);"),
            (true, TOUCHED),
            (true, &CLAIMED),
            (self.finished, LOST),
            (self.finished, ENDED),
            (true, &SUMMARY),
            (true, "INSERT INTO clear_scratch VALUES (0); COMMIT;"),
        ];
        pieces.into_iter().filter(|(wanted, _)| *wanted).map(|(_, piece)| piece).collect()
    }
}

/// The text of a turn that needs everything, for the test that looks at plans.
#[cfg(test)]
pub(super) fn whole_text() -> &'static str {
    Parts { progress: true, finished: true, failed: true, started_first: true }.text()
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

/// Another process may have made the first gate a moment ago.
const CLAIM: &str = "
INSERT INTO claim_ready SELECT $1, $6 WHERE NOT EXISTS (SELECT 1 FROM gates);
INSERT INTO claim_gated SELECT $1, $6 WHERE EXISTS (SELECT 1 FROM gates);
";

/// Moves what is due to ready, then takes the head of the queue.
pub(super) static CLAIM_READY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
{WAKE}
INSERT INTO claimed (n, tree, attempt, base, token, priority)
SELECT n, tree, attempt + 1, base, token + 1, priority FROM ready ORDER BY priority, due, n LIMIT NEW.most;
DELETE FROM ready WHERE n IN (SELECT n FROM claimed);
{}
",
        *START
    )
});

/// The trees in whose log this wrote; those of the claims are among them.
const TOUCHED: &str = "
SELECT n AS touched, execution, NULL, id, user_id FROM trees
 WHERE n IN (SELECT tree FROM events WHERE seq > (SELECT seq FROM guard))
 ORDER BY n;
";

static CLAIMED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
SELECT c.n AS claimed, c.tree, c.attempt, t.id, t.name, t.executor, t.inputs, t.params, t.more,
       c.attempt - c.base, c.token, c.priority & 3
  FROM claimed c CROSS JOIN tasks t ON t.n = c.n
 ORDER BY c.pos;
-- A dependency of a claimed task is in no queue, so its status is what its newest attempt came to. A link is completed,
-- and gives what its original has and the result of the newest attempt that completed that.
SELECT c.n AS dependent, e.kind,
       CASE WHEN l.n IS NOT NULL THEN {COMPLETED} WHEN d.n IS NULL OR o.n IS NOT NULL THEN 0 ELSE d.status END,
       t.id, t.name, CASE WHEN l.n IS NULL THEN t.executor ELSE s.executor END,
       CASE WHEN l.n IS NULL THEN t.more ELSE s.more END, d.result
  FROM claimed c CROSS JOIN edges e ON e.task = c.n CROSS JOIN tasks t ON t.n = e.dep
  LEFT JOIN origins l ON l.n = e.dep AND l.type = {LINK}
  LEFT JOIN tasks s ON s.n = l.original
  LEFT JOIN done d ON d.n = coalesce(l.original, e.dep) AND d.attempt = (
       SELECT max(attempt) FROM done
        WHERE n = coalesce(l.original, e.dep) AND (l.n IS NULL OR status = {COMPLETED}))
  LEFT JOIN reopened o ON o.n = e.dep AND o.attempt = d.attempt
 ORDER BY c.pos, e.pos;
"
    )
});

/// Looks at the list again only if some run of it found no row.
const LOST: &str = "
SELECT j.value->>0 AS lost, j.value->>1
  FROM (SELECT 1 WHERE (SELECT count(*) FROM finished) < $7) CROSS JOIN jsonb_each($4) AS j
 WHERE NOT EXISTS (SELECT 1 FROM finished f WHERE f.pos = j.key);
";

static SUMMARY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
SELECT EXISTS (SELECT 1 FROM ready) OR EXISTS (SELECT 1 FROM gates WHERE {AWAITED} AND opens_at <= $1) AS summary,
       nullif(min(coalesce((SELECT min(due) FROM delayed WHERE gate IS NULL), {NEVER}),
                  coalesce((SELECT min(opens_at) FROM gates WHERE {AWAITED} AND opens_at > $1), {NEVER})), {NEVER}),
       coalesce((SELECT max(seq) FROM events), 0);
"
    )
});
