//! `insert_clone` and `archive`.

use std::collections::HashMap;
use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::clone::{NewClone, Origin, check_completed, check_original};
use apflow_core::error::{Error, Result};
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TreeKey};
use apflow_core::store::Inserted;
use apflow_core::task::{OriginType, TaskStatus};

use super::SqliteStore;
use super::insert::{self, Frame};
use super::skeleton::{NEWEST, STATUS};
use super::transaction::Writing;
use crate::rows::{at, origin_number, status, status_number, to_json};

/// `origins.type` of a link.
pub(super) const LINK: i64 = origin_number(OriginType::Link);
const COPY: i64 = origin_number(OriginType::Copy);
const CREATED: i64 = origin_number(OriginType::Create);
const COMPLETED: i64 = status_number(TaskStatus::Completed);
const TASK_UPDATED: i64 = EventKind::TaskUpdated.number();

pub(super) async fn insert(store: &SqliteStore, clone: &NewClone, now: Timestamp) -> Result<Inserted> {
    let mut writing = store.write().await;
    writing.begin().await?;
    let originals = match originals(&mut writing, &clone.origins).await {
        Ok(keys) => keys,
        Err(error) => return writing.end(Err(error)).await,
    };
    let tree = match insert::write(&mut writing, &clone.tree, false, now, Frame::Part).await {
        Ok(tree) => tree,
        Err(failure) => {
            drop(writing);
            return Err(insert::refused(store, &clone.tree, failure).await);
        }
    };
    let outcome = note_origins(&mut writing, clone, tree, &originals, now).await;
    writing.end(outcome).await?;
    Ok(Inserted { tree, execution: None })
}

/// The keys of the originals, which are checked once more.
async fn originals(writing: &mut Writing<'_>, origins: &[Origin]) -> Result<Vec<i64>> {
    let ids: Vec<&TaskId> = origins.iter().map(|origin| &origin.original).collect();
    let found = states(writing, &ids).await?;
    origins
        .iter()
        .map(|origin| {
            let one = found.get(&origin.original);
            check_original(origin, one.map(|one| (one.status, one.is_link)))?;
            one.map(|one| one.key).ok_or_else(|| Error::task_not_found(&origin.original))
        })
        .collect()
}

/// A task that a clone is made of.
struct State {
    key: i64,
    status: TaskStatus,
    is_link: bool,
}

async fn states(writing: &mut Writing<'_>, ids: &[&TaskId]) -> Result<HashMap<TaskId, State>> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT t.id, t.n, {STATUS}, o.n IS NOT NULL
               FROM json_each($1) AS j CROSS JOIN tasks t ON t.id = j.value
               LEFT JOIN origins o ON o.n = t.n AND o.type = {LINK}"
        )
    });
    let statement = sqlx::query(TEXT.as_str()).bind(to_json("list of ids", &ids)?);
    let rows = writing.rows(statement, |row| {
        let state = State { key: at(row, 1)?, status: status(at(row, 2)?)?, is_link: at(row, 3)? };
        Ok((TaskId::from(at::<&str>(row, 0)?), state))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Says of each task of a tree where it comes from, and completes the links.
async fn note_origins(
    writing: &mut Writing<'_>,
    clone: &NewClone,
    tree: TreeKey,
    originals: &[i64],
    now: Timestamp,
) -> Result<()> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "
INSERT INTO origins (n, type, original)
SELECT x.root + j.key, j.value->>0, j.value->>1 FROM jsonb_each($2) AS j CROSS JOIN trees x ON x.n = $3;
INSERT INTO done (n, attempt, status, ended_at, token)
SELECT o.n, 0, {COMPLETED}, $1, 0
  FROM trees x CROSS JOIN origins o ON o.n BETWEEN x.root AND x.last WHERE x.n = $3 AND o.type = {LINK};
UPDATE trees SET status = {COMPLETED}, ended_at = $1 WHERE n = $3 AND $4;
"
        )
    });
    let number = |origin: &Origin| if origin.link { LINK } else { COPY };
    let rows: Vec<(i64, i64)> = clone.origins.iter().map(number).zip(originals.iter().copied()).collect();
    let statement = sqlx::query(TEXT.as_str())
        .bind(now.as_micros())
        .bind(to_json("list of origins", &rows)?)
        .bind(tree.0)
        .bind(clone.origins.iter().all(|origin| origin.link));
    Ok(writing.step(statement, |_| Ok(())).await?)
}

pub(super) async fn archive(store: &SqliteStore, ids: &[TaskId], now: Timestamp) -> Result<()> {
    let mut writing = store.write().await;
    writing.begin().await?;
    let outcome = freeze(&mut writing, ids, now).await;
    writing.end(outcome).await
}

async fn freeze(writing: &mut Writing<'_>, ids: &[TaskId], now: Timestamp) -> Result<()> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "
INSERT INTO events (tree, n, attempt, kind, at)
SELECT t.tree, t.n, {NEWEST}, {TASK_UPDATED}, $1
  FROM (SELECT DISTINCT value AS n FROM json_each($2)) AS j CROSS JOIN tasks t ON t.n = j.n
 WHERE NOT EXISTS (SELECT 1 FROM origins o WHERE o.n = t.n AND o.archived_at IS NOT NULL)
 ORDER BY t.n;
INSERT INTO origins (n, type, archived_at) SELECT value, {CREATED}, $1 FROM json_each($2) WHERE true
ON CONFLICT DO UPDATE SET archived_at = coalesce(archived_at, excluded.archived_at);
"
        )
    });
    let named: Vec<&TaskId> = ids.iter().collect();
    let found = states(writing, &named).await?;
    let mut keys = Vec::with_capacity(ids.len());
    let mut states = Vec::with_capacity(ids.len());
    for id in ids {
        let state = found.get(id).ok_or_else(|| Error::task_not_found(id))?;
        keys.push(state.key);
        states.push((id, state.status));
    }
    check_completed("archive these tasks", states)?;
    let statement = sqlx::query(TEXT.as_str()).bind(now.as_micros()).bind(to_json("list of tasks", &keys)?);
    Ok(writing.step(statement, |_| Ok(())).await?)
}
