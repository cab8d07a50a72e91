//! `cancel`: asks the core which tasks a cancellation takes, and takes them, armed or not.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use apflow_core::error::{FailureKind, Result, TaskError};
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TaskKey, Token, TreeKey};
use apflow_core::plan;
use apflow_core::store::{CancelRequest, CancelResult, Cancellation};
use apflow_core::task::TaskStatus;
use apflow_core::transition::{Change, transition};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row};

use super::SqliteStore;
use super::settle::{CANCELLED, ENDED};
use super::skeleton::STATUS;
use super::transaction::Writing;
use super::turn::ended;
use crate::rows::{at, status, to_json};

const TASK_CANCELLED: i64 = EventKind::TaskCancelled.number();

pub(super) async fn cancel(store: &SqliteStore, request: &CancelRequest) -> Result<Cancellation> {
    let mut writing = store.write().await;
    writing.begin().await?;
    let outcome = decide(&mut writing, request).await;
    writing.end(outcome).await
}

async fn decide(writing: &mut Writing<'_>, request: &CancelRequest) -> Result<Cancellation> {
    let named = named(writing, &request.tasks).await?;
    let mut trees: BTreeMap<TreeKey, (Vec<TaskKey>, (i64, i64))> = BTreeMap::new();
    for task in named.values() {
        trees.entry(task.tree).or_insert_with(|| (Vec::new(), task.keys)).0.push(task.key);
    }
    let verdict = |id: &TaskId| match named.get(id) {
        None => CancelResult::NotFound,
        Some(task) if transition(task.status, Change::Cancel).is_err() => CancelResult::Finished(task.status),
        Some(_) => CancelResult::Cancelled,
    };
    let mut cancellation = Cancellation {
        results: request.tasks.iter().map(|id| (id.clone(), verdict(id))).collect(),
        ..Cancellation::default()
    };
    for (targets, range) in trees.values() {
        let keys = plan::cancellation(&writing.skeleton(*range).await?, targets, request.cascade);
        if !keys.is_empty() {
            take(writing, &keys, request, &mut cancellation).await?;
        }
    }
    Ok(cancellation)
}

/// A task of the request.
struct Named {
    key: TaskKey,
    tree: TreeKey,
    /// First and last key of its tree.
    keys: (i64, i64),
    status: TaskStatus,
}

async fn named(writing: &mut Writing<'_>, ids: &[TaskId]) -> Result<HashMap<TaskId, Named>> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT t.id, t.n, x.n, x.root, x.last, {STATUS}
               FROM json_each($1) AS j CROSS JOIN tasks t ON t.id = j.value CROSS JOIN trees x ON x.n = t.tree"
        )
    });
    let statement = sqlx::query(TEXT.as_str()).bind(to_json("list of ids", &ids)?);
    let rows = writing.rows(statement, |row| {
        let task = Named {
            key: TaskKey(at(row, 1)?),
            tree: TreeKey(at(row, 2)?),
            keys: (at(row, 3)?, at(row, 4)?),
            status: status(at(row, 5)?)?,
        };
        Ok((TaskId::from(at::<&str>(row, 0)?), task))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Cancels tasks of one tree, none of which has finished.
async fn take(
    writing: &mut Writing<'_>,
    keys: &[TaskKey],
    request: &CancelRequest,
    cancellation: &mut Cancellation,
) -> Result<()> {
    let error = TaskError::new(FailureKind::Cancelled, "cancelled", &*request.message);
    let statement = sqlx::query(TAKE.as_str())
        .bind(request.now.as_micros())
        .bind(to_json("list of tasks", &keys)?)
        .bind(to_json("task error", &error)?);
    let each = |row: &SqliteRow| {
        match row.column(0).name() {
            "interrupted" => cancellation.interrupted.push((TaskKey(at(row, 0)?), Token(at(row, 1)?))),
            "ended" => cancellation.ended.push(ended(row)?),
            _ => cancellation.touched.push(TreeKey(at(row, 0)?)),
        }
        Ok(())
    };
    Ok(writing.step(statement, each).await?)
}

/// `$2` keys, `$3` error.
static TAKE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO withdraw VALUES ($1, $2, $3);
INSERT INTO block_dependents VALUES ($1);
INSERT INTO settle VALUES ($1);
SELECT n AS interrupted, token FROM finished WHERE node IS NOT NULL ORDER BY n;
{ENDED}
SELECT tree AS touched FROM finished LIMIT 1;
INSERT INTO clear_scratch VALUES (0);
"
    )
});

/// Takes tasks out of whatever queue they are in. The attempt of a run is the run's; another entry needs a number of its
/// own, which is 0 for a task that never ran.
pub(super) static WITHDRAW: LazyLock<String> = LazyLock::new(|| {
    let queued = |queue: &str, open: &str| {
        format!(
            "
INSERT INTO finished (n, tree, kind, open, blocked, attempt, token, error)
SELECT q.n, q.tree, {CANCELLED}, {open}, 1 - {open}, q.attempt + (q.attempt > 0), q.token, NEW.error
  FROM json_each(NEW.tasks) AS j CROSS JOIN {queue} q ON q.n = j.value;"
        )
    };
    format!(
        "
INSERT INTO finished (n, tree, kind, open, blocked, attempt, token, node, started_at, error)
SELECT r.n, r.tree, {CANCELLED}, 1, 0, r.attempt, r.token, r.node, r.started_at, NEW.error
  FROM json_each(NEW.tasks) AS j CROSS JOIN running r ON r.n = j.value;
{}{}{}
INSERT INTO finished (n, tree, kind, open, blocked, attempt, token, error)
SELECT t.n, t.tree, {CANCELLED}, 0, 0, coalesce(max(d.attempt) + 1, 0), coalesce(max(d.token), 0), NEW.error
  FROM json_each(NEW.tasks) AS j CROSS JOIN tasks t ON t.n = j.value LEFT JOIN done d ON d.n = t.n
 WHERE NOT EXISTS (SELECT 1 FROM finished f WHERE f.n = t.n)
 GROUP BY t.n;

INSERT INTO done (n, attempt, status, node, started_at, ended_at, token, error)
SELECT n, attempt, {CANCELLED}, node, started_at, NEW.now, token, error FROM finished;
DELETE FROM running WHERE n IN (SELECT n FROM finished);
DELETE FROM ready WHERE n IN (SELECT n FROM finished);
DELETE FROM delayed WHERE n IN (SELECT n FROM finished);
DELETE FROM waiting WHERE n IN (SELECT n FROM finished);
INSERT INTO events (tree, n, attempt, kind, at, started_at)
SELECT tree, n, attempt, {TASK_CANCELLED}, NEW.now, started_at FROM finished ORDER BY n;
",
        queued("ready", "1"),
        queued("delayed", "1"),
        queued("waiting", "(q.blocked_by IS NULL)"),
    )
});
