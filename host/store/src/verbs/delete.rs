//! `delete`: a task and everything below it, if the core finds no reason against it.

use apflow_core::clock::Timestamp;
use apflow_core::clone::check_not_archived;
use apflow_core::deletion::{Doomed, check_deletable};
use apflow_core::error::Result;
use apflow_core::id::{TaskId, TaskKey};
use apflow_core::store::Deleted;
use apflow_core::task::OriginType;

use super::clone::LINK;
use super::events;
use super::skeleton::{ARMED, ORIGIN, STATUS, below, tree_of};
use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::rows::{at, origin, status, to_json};

pub(crate) async fn delete(database: &impl Database, id: &TaskId, now: Timestamp) -> Result<Deleted> {
    replayed(|| once(database, id, now)).await
}

async fn once(database: &impl Database, id: &TaskId, now: Timestamp) -> Result<Deleted> {
    let mut work = database.begin().await?;
    let outcome = apply(&mut work, id, now).await;
    work.end(outcome).await
}

async fn apply(work: &mut impl Work, id: &TaskId, now: Timestamp) -> Result<Deleted> {
    work.lock_trees(std::slice::from_ref(id)).await?;
    let (_, tree) = tree_of(work, id).await?;
    let all = load(work, id).await?;
    let keys: Vec<TaskKey> = all.iter().map(|(key, _, _)| *key).collect();
    let keys = to_json("list of tasks", &keys)?;
    if let Some((_, _, origin)) = all.first() {
        check_not_archived(id, *origin, "deleted")?;
    }
    let doomed: Vec<Doomed> = all.into_iter().map(|(_, task, _)| task).collect();
    let (needed, links) = (is_needed(work, &keys).await?, links(work, &keys).await?);
    check_deletable(&doomed, needed, &links)?;
    events::keep(work, tree.key.0, &keys).await?;
    work.step(Step::Remove, arguments![now, tree.key.0, doomed.len() as i64, keys], |_| Ok(())).await?;
    Ok(Deleted { deleted: doomed.len() as u32 })
}

/// The task, then everything below it, in pre-order.
async fn load<W: Work>(work: &mut W, id: &TaskId) -> Result<Vec<(TaskKey, Doomed, OriginType)>> {
    let text = format!(
        "{} SELECT t.n, t.id, {STATUS}, {ARMED}, {ORIGIN} FROM below b {} tasks t ON t.n = b.n ORDER BY t.n",
        below(W::DIALECT),
        W::DIALECT.join()
    );
    let rows = work.rows(sql(text), arguments![id.as_str()], |row| {
        let origin = origin(at(row, 4)?)?;
        let task = Doomed {
            id: TaskId::from(at::<&str>(row, 1)?),
            status: status(at(row, 2)?)?,
            armed: at(row, 3)?,
            link: origin == OriginType::Link,
        };
        Ok((TaskKey(at(row, 0)?), task, origin))
    });
    rows.await
}

/// Whether a task outside depends on one inside.
async fn is_needed<W: Work>(work: &mut W, keys: &str) -> Result<bool> {
    let (join, keys_of) = (W::DIALECT.join(), W::DIALECT.numbers("$1"));
    let text = format!(
        "SELECT EXISTS (SELECT 1 FROM {keys_of} AS k {join} edges e ON e.dep = k.value
                         WHERE e.task NOT IN {keys_of})"
    );
    Ok(work.rows(sql(text), arguments![keys], |row| at::<bool>(row, 0)).await? == [true])
}

/// The links outside to tasks inside.
async fn links<W: Work>(work: &mut W, keys: &str) -> Result<Vec<TaskId>> {
    let (join, keys_of) = (W::DIALECT.join(), W::DIALECT.numbers("$1"));
    let text = format!(
        "SELECT t.id FROM {keys_of} AS k {join} origins o ON o.original = k.value AND o.type = {LINK}
           {join} tasks t ON t.n = o.n
          WHERE o.n NOT IN {keys_of} ORDER BY o.n"
    );
    work.rows(sql(text), arguments![keys], |row| at::<&str>(row, 0).map(TaskId::from)).await
}
