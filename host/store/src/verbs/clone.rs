//! `insert_clone` and `archive`.

use std::collections::HashMap;

use apflow_core::clock::Timestamp;
use apflow_core::clone::{NewClone, Origin, check_completed, check_original};
use apflow_core::error::{Error, Result};
use apflow_core::id::{TaskId, TreeKey};
use apflow_core::store::Inserted;
use apflow_core::task::{OriginType, TaskStatus};

use super::insert::{beside, not_written};
use super::skeleton::STATUS;
use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::rows::{at, origin_number, status, to_json};

/// `origins.type` of a link.
pub(crate) const LINK: i64 = origin_number(OriginType::Link);
/// `origins.type` of an archived task that is no clone.
pub(crate) const CREATED: i64 = origin_number(OriginType::Create);
const COPY: i64 = origin_number(OriginType::Copy);

pub(crate) async fn insert(database: &impl Database, clone: &NewClone, now: Timestamp) -> Result<Inserted> {
    replayed(|| insert_once(database, clone, now)).await
}

async fn insert_once<D: Database>(database: &D, clone: &NewClone, now: Timestamp) -> Result<Inserted> {
    let mut work = database.begin().await?;
    let originals = match originals(&mut work, &clone.origins).await {
        Ok(keys) => keys,
        Err(error) => return work.end(Err(error)).await,
    };
    let tree = match work.insert(&clone.tree, false, now).await {
        Ok(tree) => tree,
        Err(failure) => return Err(not_written(database, work, &clone.tree, failure).await),
    };
    let outcome = match beside(&mut work, tree, &clone.tree).await {
        Ok(()) => derive(&mut work, clone, tree, &originals, now).await,
        Err(error) => Err(error),
    };
    work.end(outcome).await?;
    Ok(Inserted { tree, execution: None })
}

/// The keys of the originals, which are checked once more, and stay as they are until the clone is written.
async fn originals(work: &mut impl Work, origins: &[Origin]) -> Result<Vec<i64>> {
    let ids: Vec<TaskId> = origins.iter().map(|origin| origin.original.clone()).collect();
    work.lock_trees(&ids).await?;
    let found = states(work, &ids).await?;
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

async fn states<W: Work>(work: &mut W, ids: &[TaskId]) -> Result<HashMap<TaskId, State>> {
    let text = format!(
        "SELECT t.id, t.n, {STATUS}, o.n IS NOT NULL
           FROM {} {} tasks t ON t.id = j.value
           LEFT JOIN origins o ON o.n = t.n AND o.type = {LINK}",
        W::DIALECT.texts("$1"),
        W::DIALECT.join()
    );
    let rows = work.rows(sql(text), arguments![to_json("list of ids", &ids)?], |row| {
        let state = State { key: at(row, 1)?, status: status(at(row, 2)?)?, is_link: at(row, 3)? };
        Ok((TaskId::from(at::<&str>(row, 0)?), state))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Says of each task of a tree where it comes from, and completes the links.
async fn derive(
    work: &mut impl Work,
    clone: &NewClone,
    tree: TreeKey,
    originals: &[i64],
    now: Timestamp,
) -> Result<()> {
    let number = |origin: &Origin| if origin.link { LINK } else { COPY };
    let rows: Vec<(i64, i64)> = clone.origins.iter().map(number).zip(originals.iter().copied()).collect();
    let is_links_only = clone.origins.iter().all(|origin| origin.link);
    let arguments = arguments![now, tree.0, i64::from(is_links_only), to_json("list of origins", &rows)?];
    work.step(Step::Derive, arguments, |_| Ok(())).await
}

pub(crate) async fn archive(database: &impl Database, ids: &[TaskId], now: Timestamp) -> Result<()> {
    replayed(|| archive_once(database, ids, now)).await
}

async fn archive_once(database: &impl Database, ids: &[TaskId], now: Timestamp) -> Result<()> {
    let mut work = database.begin().await?;
    let outcome = freeze(&mut work, ids, now).await;
    work.end(outcome).await
}

async fn freeze(work: &mut impl Work, ids: &[TaskId], now: Timestamp) -> Result<()> {
    work.lock_trees(ids).await?;
    let found = states(work, ids).await?;
    let mut keys = Vec::with_capacity(ids.len());
    let mut states = Vec::with_capacity(ids.len());
    for id in ids {
        let state = found.get(id).ok_or_else(|| Error::task_not_found(id))?;
        keys.push(state.key);
        states.push((id, state.status));
    }
    check_completed("archive these tasks", states)?;
    keys.sort_unstable();
    keys.dedup();
    work.step(Step::Freeze, arguments![now, to_json("list of tasks", &keys)?], |_| Ok(())).await
}
