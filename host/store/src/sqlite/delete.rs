//! `delete`: a task and everything below it, if the core finds no reason against it.

use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::clone::check_not_archived;
use apflow_core::deletion::{Doomed, check_deletable};
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TaskKey};
use apflow_core::store::Deleted;
use apflow_core::task::OriginType;
use sqlx::AssertSqlSafe;

use super::SqliteStore;
use super::clone::LINK;
use super::events;
use super::skeleton::{ARMED, ORIGIN, STATUS};
use super::transaction::Writing;
use crate::rows::{at, origin, status, to_json};

const TREE_DELETED: i64 = EventKind::TreeDeleted.number();

pub(super) async fn delete(store: &SqliteStore, id: &TaskId, now: Timestamp) -> Result<Deleted> {
    let mut writing = store.write().await;
    writing.begin().await?;
    let outcome = apply(&mut writing, id, now).await;
    writing.end(outcome).await
}

async fn apply(writing: &mut Writing<'_>, id: &TaskId, now: Timestamp) -> Result<Deleted> {
    let (_, tree) = writing.tree_of(id).await?;
    let all = load(writing, id).await?;
    let keys: Vec<TaskKey> = all.iter().map(|(key, _, _)| *key).collect();
    let keys = to_json("list of tasks", &keys)?;
    if let Some((_, _, origin)) = all.first() {
        check_not_archived(id, *origin, "deleted")?;
    }
    let doomed: Vec<Doomed> = all.iter().map(|(_, task, _)| task.clone()).collect();
    let (needed, links) = (is_needed(writing, &keys).await?, links(writing, &keys).await?);
    check_deletable(&doomed, needed, &links)?;
    events::keep(writing, tree.key.0, &keys).await?;
    let statement =
        sqlx::query(REMOVE.as_str()).bind(now.as_micros()).bind(tree.key.0).bind(all.len() as i64).bind(keys);
    writing.step(statement, |_| Ok(())).await?;
    Ok(Deleted { deleted: all.len() as u32 })
}

/// The task, then everything below it, in pre-order.
async fn load(writing: &mut Writing<'_>, id: &TaskId) -> Result<Vec<(TaskKey, Doomed, OriginType)>> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "WITH RECURSIVE below (n) AS (
                SELECT n FROM tasks WHERE id = $1
                UNION ALL
                SELECT c.n FROM below b CROSS JOIN tasks c ON c.parent = b.n
            )
            SELECT t.n, t.id, {STATUS}, {ARMED}, {ORIGIN} FROM below b CROSS JOIN tasks t ON t.n = b.n ORDER BY t.n"
        )
    });
    let statement = sqlx::query(TEXT.as_str()).bind(id.as_str().to_owned());
    writing
        .rows(statement, |row| {
            let origin = origin(at(row, 4)?)?;
            let task = Doomed {
                id: TaskId::from(at::<&str>(row, 1)?),
                status: status(at(row, 2)?)?,
                armed: at(row, 3)?,
                link: origin == OriginType::Link,
            };
            Ok((TaskKey(at(row, 0)?), task, origin))
        })
        .await
}

/// Whether a task outside depends on one inside.
async fn is_needed(writing: &mut Writing<'_>, keys: &str) -> Result<bool> {
    let text = "
SELECT EXISTS (SELECT 1 FROM json_each($1) AS j CROSS JOIN edges e ON e.dep = j.value
                WHERE e.task NOT IN (SELECT value FROM json_each($1)))";
    Ok(writing.rows(sqlx::query(text).bind(keys.to_owned()), |row| at::<bool>(row, 0)).await? == [true])
}

/// The links outside to tasks inside.
async fn links(writing: &mut Writing<'_>, keys: &str) -> Result<Vec<TaskId>> {
    let text = format!(
        "
SELECT t.id FROM json_each($1) AS j CROSS JOIN origins o ON o.original = j.value AND o.type = {LINK} CROSS JOIN tasks t ON t.n = o.n
 WHERE o.n NOT IN (SELECT value FROM json_each($1)) ORDER BY o.n"
    );
    let statement = sqlx::query(AssertSqlSafe(text)).bind(keys.to_owned());
    writing.rows(statement, |row| at::<&str>(row, 0).map(TaskId::from)).await
}

/// `$2` tree, `$3` number of tasks, `$4` their keys.
static REMOVE: LazyLock<String> = LazyLock::new(|| {
    let doomed = "(SELECT value FROM json_each($4))";
    format!(
        "
-- Blocked ones, and whoever is blocked by one of them.
DELETE FROM waiting
 WHERE n BETWEEN (SELECT root FROM trees WHERE n = $2) AND (SELECT last FROM trees WHERE n = $2)
   AND (n IN {doomed} OR blocked_by IN {doomed});
INSERT INTO events (tree, attempt, kind, at, data)
SELECT n, execution, {TREE_DELETED}, $1, json_object('tasks', $3) FROM trees WHERE n = $2;
INSERT INTO removed_trees (n, id)
SELECT n, id FROM trees WHERE n = $2 AND root IN {doomed};
INSERT INTO removed_tasks (n, id, executor) SELECT n, id, executor FROM tasks WHERE n IN {doomed};
DELETE FROM receipts WHERE tree = $2 AND EXISTS (SELECT 1 FROM trees WHERE n = $2 AND root IN {doomed});
DELETE FROM trees WHERE n = $2 AND root IN {doomed};
DELETE FROM tasks WHERE n IN {doomed};
DELETE FROM edges WHERE task IN {doomed};
DELETE FROM done WHERE n IN {doomed};
DELETE FROM reopened WHERE n IN {doomed};
DELETE FROM origins WHERE n IN {doomed};
"
    )
});
