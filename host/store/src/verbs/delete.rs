//! `delete`: a task and everything below it, if all of it is pending, not armed, and needed by nobody else.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{TaskId, TaskKey};
use apflow_core::store::Deleted;
use apflow_core::task::TaskStatus;

use super::events;
use super::skeleton::{ARMED, STATUS, tree_of};
use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::rows::{at, status, to_json};

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
    let keys: Vec<TaskKey> = all.iter().map(|task| task.key).collect();
    let keys = to_json("list of tasks", &keys)?;
    check(work, id, &all, &keys).await?;
    events::keep(work, tree.key.0, &keys).await?;
    work.step(Step::Remove, arguments![now, tree.key.0, all.len() as i64, keys], |_| Ok(())).await?;
    Ok(Deleted { deleted: all.len() as u32 })
}

struct Doomed {
    key: TaskKey,
    id: String,
    status: TaskStatus,
    armed: bool,
}

/// The task, then everything below it, in pre-order.
async fn load<W: Work>(work: &mut W, id: &TaskId) -> Result<Vec<Doomed>> {
    let join = W::DIALECT.join();
    let text = format!(
        "WITH RECURSIVE below (n) AS (
            SELECT n FROM tasks WHERE id = $1
            UNION ALL
            SELECT c.n FROM below b {join} tasks c ON c.parent = b.n
        )
        SELECT t.n, t.id, {STATUS}, {ARMED} FROM below b {join} tasks t ON t.n = b.n ORDER BY t.n"
    );
    let rows = work.rows(sql(text), arguments![id.as_str()], |row| {
        Ok(Doomed {
            key: TaskKey(at(row, 0)?),
            id: at(row, 1)?,
            status: status(at(row, 2)?)?,
            armed: at(row, 3)?,
        })
    });
    rows.await
}

async fn check<W: Work>(work: &mut W, id: &TaskId, all: &[Doomed], keys: &str) -> Result<()> {
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
    if is_needed(work, keys).await? {
        reasons.push("task has dependent tasks and cannot be deleted".to_owned());
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let text = format!("Cannot delete task: {}", reasons.join("; "));
    Err(Error::new(ErrorCode::CannotDelete, text).with("task_id", id.as_str()))
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
