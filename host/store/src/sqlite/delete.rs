//! `delete`: a task and everything below it, if all of it is pending, not armed, and needed by nobody else.

use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TaskKey};
use apflow_core::store::Deleted;
use apflow_core::task::TaskStatus;

use super::SqliteStore;
use super::events;
use super::skeleton::{ARMED, STATUS};
use super::transaction::Writing;
use crate::rows::{at, status, to_json};

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
    let keys: Vec<TaskKey> = all.iter().map(|task| task.key).collect();
    let keys = to_json("list of tasks", &keys)?;
    check(writing, id, &all, &keys).await?;
    events::keep(writing, tree.key.0, &keys).await?;
    let statement =
        sqlx::query(REMOVE.as_str()).bind(now.as_micros()).bind(tree.key.0).bind(all.len() as i64).bind(keys);
    writing.step(statement, |_| Ok(())).await?;
    Ok(Deleted { deleted: all.len() as u32 })
}

struct Doomed {
    key: TaskKey,
    id: String,
    status: TaskStatus,
    armed: bool,
}

/// The task, then everything below it, in pre-order.
async fn load(writing: &mut Writing<'_>, id: &TaskId) -> Result<Vec<Doomed>> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "WITH RECURSIVE below (n) AS (
                SELECT n FROM tasks WHERE id = $1
                UNION ALL
                SELECT c.n FROM below b CROSS JOIN tasks c ON c.parent = b.n
            )
            SELECT t.n, t.id, {STATUS}, {ARMED} FROM below b CROSS JOIN tasks t ON t.n = b.n ORDER BY t.n"
        )
    });
    let statement = sqlx::query(TEXT.as_str()).bind(id.as_str().to_owned());
    writing
        .rows(statement, |row| {
            Ok(Doomed {
                key: TaskKey(at(row, 0)?),
                id: at(row, 1)?,
                status: status(at(row, 2)?)?,
                armed: at(row, 3)?,
            })
        })
        .await
}

async fn check(writing: &mut Writing<'_>, id: &TaskId, all: &[Doomed], keys: &str) -> Result<()> {
    let mut reasons = Vec::new();
    let busy: Vec<String> = all
        .iter()
        .skip(1)
        .filter(|task| task.status != TaskStatus::Pending)
        .map(|task| format!("{}: {}", task.id, task.status))
        .collect();
    if !busy.is_empty() {
        reasons.push(format!("task has {} non-pending children: [{}]", busy.len(), busy.join(", ")));
    }
    if let Some(task) = all.first().filter(|task| task.status != TaskStatus::Pending) {
        reasons.push(format!("task status is '{}' (must be 'pending')", task.status));
    }
    let queued = all.iter().filter(|task| task.armed && task.status == TaskStatus::Pending).count();
    if queued > 0 {
        reasons.push(format!("{queued} of its tasks are queued by a running execution (cancel it first)"));
    }
    if is_needed(writing, keys).await? {
        reasons.push("task has dependent tasks and cannot be deleted".to_owned());
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let text = format!("Cannot delete task: {}", reasons.join("; "));
    Err(Error::new(ErrorCode::CannotDelete, text).with("task_id", id.as_str()))
}

/// Whether a task outside depends on one inside.
async fn is_needed(writing: &mut Writing<'_>, keys: &str) -> Result<bool> {
    let text = "
SELECT EXISTS (SELECT 1 FROM json_each($1) AS j CROSS JOIN edges e ON e.dep = j.value
                WHERE e.task NOT IN (SELECT value FROM json_each($1)))";
    Ok(writing.rows(sqlx::query(text).bind(keys.to_owned()), |row| at::<bool>(row, 0)).await? == [true])
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
DELETE FROM trees WHERE n = $2 AND root IN {doomed};
DELETE FROM tasks WHERE n IN {doomed};
DELETE FROM edges WHERE task IN {doomed};
DELETE FROM done WHERE n IN {doomed};
DELETE FROM reopened WHERE n IN {doomed};
DELETE FROM schedules WHERE n IN {doomed};
DELETE FROM schedule_runs WHERE n IN {doomed};
"
    )
});
