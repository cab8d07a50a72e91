//! Sessions of nodes, whose lease is the lease of all their runs: open, renew, close, rescue. A run that is taken back
//! stands in the queue where its execution put it; its token grows, so that whoever still works on it is refused, and its attempt
//! does not count as a try.

use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::NodeId;
use apflow_core::lease::Session;
use apflow_core::store::Opened;
use apflow_core::task::TaskStatus;
use apflow_core::transition::{Change, transition};
use sqlx::{Column, Row};

use super::SqliteStore;
use super::transaction::Statement;
use super::turn::lease_lost;
use crate::rows::at;

const TASK_RESCUED: i64 = EventKind::TaskRescued.number();

/// Puts the runs in `finished` back into the queue.
pub(super) static TAKE_BACK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT f.n, f.tree, f.priority, x.started_at, f.attempt, f.base + 1, f.token + 1
  FROM finished f CROSS JOIN trees x ON x.n = f.tree;
DELETE FROM running WHERE n IN (SELECT n FROM finished);
INSERT INTO events (tree, n, attempt, kind, at, started_at)
SELECT tree, n, attempt, {TASK_RESCUED}, NEW.now, started_at FROM finished ORDER BY n;
"
    )
});

/// The end of each text here.
const END: &str = "
INSERT INTO take_back VALUES ($1);
SELECT count(*) AS rescued FROM finished;
INSERT INTO clear_scratch VALUES (0);
COMMIT;
";

/// Fills `finished` with the runs of some sessions; `which` is a condition on a session `s`.
fn take(which: &str) -> String {
    format!(
        "
INSERT INTO finished (n, tree, kind, open, blocked, attempt, base, token, priority, started_at)
SELECT r.n, r.tree, 0, 1, 0, r.attempt, r.base, r.token, r.priority, r.started_at
  FROM running r CROSS JOIN sessions s ON s.n = r.node WHERE {which};
"
    )
}

pub(super) async fn open(
    store: &SqliteStore,
    node: &NodeId,
    until: Timestamp,
    now: Timestamp,
) -> Result<Opened> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "
BEGIN IMMEDIATE;
INSERT INTO sessions (node, epoch, until, ended) VALUES ($2, 1, $3, 0)
    ON CONFLICT (node) DO UPDATE SET epoch = epoch + 1, until = excluded.until, ended = 0 RETURNING epoch;
{}{}",
            take("s.node = $2"),
            END
        )
    });
    let statement = sqlx::query(TEXT.as_str())
        .bind(now.as_micros())
        .bind(node.as_str().to_owned())
        .bind(until.as_micros());
    let (epoch, rescued) = run(store, statement).await?;
    Ok(Opened { session: Session { node: node.clone(), epoch }, rescued })
}

pub(super) async fn renew(store: &SqliteStore, session: &Session, until: Timestamp) -> Result<()> {
    let text = "UPDATE sessions SET until = $3 WHERE node = $1 AND epoch = $2 AND ended = 0 RETURNING n";
    let statement =
        sqlx::query(text).bind(session.node.as_str().to_owned()).bind(session.epoch).bind(until.as_micros());
    let mut renewed = false;
    let each = |_: &sqlx::sqlite::SqliteRow| {
        renewed = true;
        Ok(())
    };
    store.write().await.run(statement, each).await?;
    if renewed { Ok(()) } else { Err(lease_lost(session)) }
}

/// Of a session that is over nothing is left to give back.
pub(super) async fn close(store: &SqliteStore, session: &Session, now: Timestamp) -> Result<()> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let which = "s.node = $2 AND s.epoch = $3 AND s.ended = 0";
        let end = "UPDATE sessions SET ended = 2 WHERE node = $2 AND epoch = $3 AND ended = 0;";
        format!("BEGIN IMMEDIATE; {}{end}{END}", take(which))
    });
    let statement = sqlx::query(TEXT.as_str())
        .bind(now.as_micros())
        .bind(session.node.as_str().to_owned())
        .bind(session.epoch);
    run(store, statement).await.map(|_| ())
}

pub(super) async fn rescue(store: &SqliteStore, now: Timestamp) -> Result<u32> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let which = "s.ended = 0 AND s.until <= $1";
        let end = "UPDATE sessions SET ended = 1 WHERE ended = 0 AND until <= $1;";
        format!("BEGIN IMMEDIATE; {}{end}{END}", take(which))
    });
    // Asked often and answered with nothing nearly always: then the writer is not disturbed.
    let expired = sqlx::query("SELECT EXISTS (SELECT 1 FROM sessions WHERE ended = 0 AND until <= $1)")
        .bind(now.as_micros());
    if store.read(expired, |row| at::<bool>(row, 0)).await? != [true] {
        return Ok(0);
    }
    Ok(run(store, sqlx::query(TEXT.as_str()).bind(now.as_micros())).await?.1)
}

/// Runs one of the texts above; gives the epoch, where one is told, and the number of runs taken back.
async fn run(store: &SqliteStore, statement: Statement) -> Result<(i64, u32)> {
    transition(TaskStatus::InProgress, Change::Retry)?;
    let (mut epoch, mut rescued) = (0, 0);
    let each = |row: &sqlx::sqlite::SqliteRow| {
        match row.column(0).name() {
            "epoch" => epoch = at(row, 0)?,
            _ => rescued = at(row, 0)?,
        }
        Ok(())
    };
    store.write().await.run(statement, each).await?;
    Ok((epoch, rescued))
}
