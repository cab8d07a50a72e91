//! `cancel`: asks the core which tasks a cancellation takes, and takes them, armed or not.

use std::collections::{BTreeMap, HashMap};

use apflow_core::error::{FailureKind, Result, TaskError};
use apflow_core::id::{TaskId, TaskKey, Token, TreeKey};
use apflow_core::plan;
use apflow_core::store::{CancelRequest, CancelResult, Cancellation};
use apflow_core::task::TaskStatus;
use apflow_core::transition::{Change, transition};

use super::answer::ended;
use super::finished::CANCELLED;
use super::skeleton::{STATUS, skeleton};
use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::rows::{Cells as _, at, status, to_json};

/// The number of the entry of a queued task `q` that is cancelled: 0 if it has none yet, also not of a cancellation that a
/// schedule has undone since, else one more than the newest.
pub(crate) const NEXT_ENTRY: &str =
    "CASE WHEN q.attempt > 0 OR EXISTS (SELECT 1 FROM done e WHERE e.n = q.n) THEN q.attempt + 1 ELSE 0 END";

pub(crate) async fn cancel(database: &impl Database, request: &CancelRequest) -> Result<Cancellation> {
    replayed(|| once(database, request)).await
}

async fn once(database: &impl Database, request: &CancelRequest) -> Result<Cancellation> {
    let mut work = database.begin().await?;
    let outcome = decide(&mut work, request).await;
    work.end(outcome).await
}

async fn decide<W: Work>(work: &mut W, request: &CancelRequest) -> Result<Cancellation> {
    work.lock_trees(&request.tasks).await?;
    let named = named(work, &request.tasks).await?;
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
        let keys = plan::cancellation(&skeleton(work, *range).await?, targets, request.cascade);
        if !keys.is_empty() {
            take(work, &keys, request, &mut cancellation).await?;
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

async fn named<W: Work>(work: &mut W, ids: &[TaskId]) -> Result<HashMap<TaskId, Named>> {
    let (ids, join) = (to_json("list of ids", &ids)?, W::DIALECT.join());
    let text = format!(
        "SELECT t.id, t.n, x.n, x.root, x.last, {STATUS}
           FROM {} {join} tasks t ON t.id = j.value {join} trees x ON x.n = t.tree",
        W::DIALECT.texts("$1")
    );
    let rows = work.rows(sql(text), arguments![ids], |row| {
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
    work: &mut impl Work,
    keys: &[TaskKey],
    request: &CancelRequest,
    cancellation: &mut Cancellation,
) -> Result<()> {
    let error = TaskError::new(FailureKind::Cancelled, "cancelled", &*request.message);
    let error = to_json("task error", &error)?;
    let arguments = arguments![request.now, to_json("list of tasks", &keys)?, error, CANCELLED];
    work.step(Step::Withdraw, arguments, |row| {
        match row.what()? {
            "interrupted" => cancellation.interrupted.push((TaskKey(at(row, 0)?), Token(at(row, 1)?))),
            "ended" => cancellation.ended.push(ended(row)?),
            _ => cancellation.touched.push(TreeKey(at(row, 0)?)),
        }
        Ok(())
    })
    .await
}
