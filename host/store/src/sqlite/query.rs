//! Reading tasks, lists, counts, attempts, queue facts and trees: one statement each, so one snapshot each.

use std::collections::HashMap;
use std::sync::OnceLock;

use apflow_core::error::Result;
use apflow_core::id::{Seq, TaskId, TreeId, TreeKey};
use apflow_core::store::{Page, Progress, QueueFacts, QueuePlace, StatusCounts, TaskFilter, TreeState};
use apflow_core::task::{Attempt, Task, TaskStatus};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::skeleton::STATUS;
use super::transaction::Statement;
use super::view::{COLUMNS, TABLES, columns, view};
use crate::rows::{at, attempt, from_json, optional_time, status, status_number, to_json, tree_status};

/// The key of the task with the id `$1`.
pub(super) const KEY_OF: &str = "SELECT n FROM tasks WHERE id = $1";

/// A statement that gives the [`view`]s of the tasks whose keys `keys` selects.
pub(super) fn view_statement(keys: &'static str, order: &'static str) -> Statement {
    sqlx::query(AssertSqlSafe(format!("SELECT {} FROM ({keys}) AS k {TABLES} {order}", columns())))
}

pub(super) async fn get(store: &SqliteStore, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
    let keys = "SELECT t.n FROM json_each($1) AS j CROSS JOIN tasks t ON t.id = j.value";
    let statement = view_statement(keys, "").bind(to_json("list of ids", &ids)?);
    let found = store.read(statement, view).await?;
    let mut by_id: HashMap<TaskId, Task> = found.into_iter().map(|task| (task.id.clone(), task)).collect();
    // An id may be asked for twice.
    let last: HashMap<&TaskId, usize> = ids.iter().enumerate().map(|(i, id)| (id, i)).collect();
    let take =
        |(i, id): (usize, &TaskId)| if last[id] == i { by_id.remove(id) } else { by_id.get(id).cloned() };
    Ok(ids.iter().enumerate().map(take).collect())
}

/// Keys grow in pre-order within a tree.
pub(super) async fn subtree(store: &SqliteStore, id: &TaskId) -> Result<Vec<Task>> {
    let keys = "WITH RECURSIVE below (n) AS (
        SELECT n FROM tasks WHERE id = $1
        UNION ALL
        SELECT c.n FROM below b CROSS JOIN tasks c ON c.parent = b.n
    ) SELECT n FROM below";
    store.read(view_statement(keys, "ORDER BY k.n").bind(id.as_str().to_owned()), view).await
}

pub(super) async fn children(store: &SqliteStore, id: &TaskId) -> Result<Vec<Task>> {
    let keys = "SELECT c.n FROM tasks a CROSS JOIN tasks c ON c.parent = a.n WHERE a.id = $1";
    let statement = view_statement(keys, "ORDER BY t.priority, t.n").bind(id.as_str().to_owned());
    store.read(statement, view).await
}

/// What a [`TaskFilter`] asks for, as text: the parts that are there, over tables `x` (trees) and `t` (tasks). Going from
/// tree to tree keeps the order and uses the index on owners; `$1` owner, `$2` statuses.
fn filtered(filter: &TaskFilter) -> String {
    let tasks = if filter.root_only { "t.n = x.root" } else { "t.n BETWEEN x.root AND x.last" };
    let owner = if filter.user_id.is_some() { "x.user_id = $1" } else { "true" };
    let statuses = match filter.statuses.is_empty() {
        true => String::new(),
        false => format!("AND {STATUS} IN (SELECT value FROM json_each($2))"),
    };
    format!("FROM trees x CROSS JOIN tasks t ON {tasks} WHERE {owner} {statuses}")
}

fn bind_filter(statement: Statement, filter: &TaskFilter) -> Result<Statement> {
    let statuses: Vec<i64> = filter.statuses.iter().map(|one| status_number(*one)).collect();
    Ok(statement.bind(filter.user_id.clone()).bind(to_json("list of statuses", &statuses)?))
}

pub(super) async fn list(store: &SqliteStore, filter: &TaskFilter, page: Page) -> Result<Vec<Task>> {
    // First the keys of the page, then everything about them: not everything about what is skipped.
    let keys = format!("SELECT t.n {} ORDER BY x.n DESC, t.n DESC LIMIT $3 OFFSET $4", filtered(filter));
    let text = format!("SELECT {} FROM ({keys}) AS k {TABLES} ORDER BY k.n DESC", columns());
    let statement = bind_filter(sqlx::query(AssertSqlSafe(text)), filter)?
        .bind(i64::from(page.limit))
        .bind(i64::from(page.offset));
    store.read(statement, view).await
}

pub(super) async fn count(store: &SqliteStore, filter: &TaskFilter) -> Result<StatusCounts> {
    let text = format!("SELECT {STATUS}, count(*) {} GROUP BY 1", filtered(filter));
    let statement = bind_filter(sqlx::query(AssertSqlSafe(text)), filter)?;
    let mut counts = StatusCounts::default();
    let rows = store.read(statement, |row| Ok((status(at(row, 0)?)?, at::<i64>(row, 1)?))).await?;
    for (status, count) in rows {
        *counts.of(status) = count.unsigned_abs();
    }
    Ok(counts)
}

pub(super) async fn progress(store: &SqliteStore, id: &TaskId) -> Result<Option<Progress>> {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        format!(
            "WITH RECURSIVE below (n) AS (
                SELECT n FROM tasks WHERE id = $1
                UNION ALL
                SELECT c.n FROM below b CROSS JOIN tasks c ON c.parent = b.n
            )
            SELECT {STATUS}, count(*), total(r.progress)
              FROM below t LEFT JOIN running r ON r.n = t.n GROUP BY 1"
        )
    });
    let statement = sqlx::query(text.as_str()).bind(id.as_str().to_owned());
    let rows = store
        .read(statement, |row| {
            Ok((status(at(row, 0)?)?, at::<i64>(row, 1)?.unsigned_abs(), at::<f64>(row, 2)?))
        })
        .await?;
    let mut progress = Progress::default();
    for (status, count, reported) in &rows {
        *progress.counts.of(*status) = *count;
        progress.done += if *status == TaskStatus::Completed { *count as f64 } else { *reported };
    }
    Ok((!rows.is_empty()).then_some(progress))
}

pub(super) async fn attempts(store: &SqliteStore, id: &TaskId) -> Result<Vec<Attempt>> {
    let text = "
SELECT d.attempt, d.status, s.node, d.started_at, d.ended_at, d.result, d.error, d.inputs, d.receipt
  FROM tasks t CROSS JOIN done d ON d.n = t.n LEFT JOIN sessions s ON s.n = d.node
 WHERE t.id = $1 ORDER BY d.attempt";
    store.read(sqlx::query(text).bind(id.as_str().to_owned()), attempt).await
}

pub(super) async fn queue_facts(store: &SqliteStore, id: &TaskId) -> Result<Option<QueueFacts>> {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let task = STATUS.replace("t.n", "dt.n");
        format!(
            "SELECT {}, r.n IS NOT NULL, w.waiting_on, w.blocked_by IS NOT NULL, y.due,
    CASE WHEN q.n IS NOT NULL THEN
        (SELECT count(*) FROM ready a WHERE (a.priority, a.due, a.n) < (q.priority, q.due, q.n)) END,
    (SELECT json_group_array(json_array(dt.id, {task}, e.required, wd.blocked_by IS NOT NULL) ORDER BY e.pos)
       FROM edges e CROSS JOIN tasks dt ON dt.n = e.dep LEFT JOIN waiting wd ON wd.n = e.dep WHERE e.task = t.n)
  FROM ({KEY_OF}) AS k {TABLES}",
            columns()
        )
    });
    let statement = sqlx::query(text.as_str()).bind(id.as_str().to_owned());
    let facts = |row: &SqliteRow| {
        let task = view(row)?;
        let unmet =
            if task.status == TaskStatus::Pending { unmet(at(row, COLUMNS + 5)?)? } else { Vec::new() };
        Ok(QueueFacts { task, place: place(row)?, unmet })
    };
    Ok(store.read(statement, facts).await?.pop())
}

fn place(row: &SqliteRow) -> Result<QueuePlace> {
    if at(row, COLUMNS)? {
        return Ok(QueuePlace::Running);
    }
    if at(row, COLUMNS + 2)? {
        return Ok(QueuePlace::Blocked);
    }
    let waiting_on: Option<u32> = at(row, COLUMNS + 1)?;
    let before: Option<i64> = at(row, COLUMNS + 4)?;
    Ok(match (waiting_on, optional_time(row, COLUMNS + 3)?, before) {
        (Some(count), _, _) => QueuePlace::Waiting(count),
        (None, Some(due), _) => QueuePlace::Delayed(due),
        (None, None, Some(before)) => QueuePlace::Ready(before.unsigned_abs()),
        (None, None, None) => QueuePlace::NotArmed,
    })
}

/// The dependencies that do not hold: a required one until it is completed, another one as long as it may still run.
fn unmet(text: &str) -> Result<Vec<(TaskId, TaskStatus, bool)>> {
    let all: Vec<(TaskId, i64, i64, i64)> = from_json("list of dependencies", text)?;
    let mut unmet = Vec::new();
    for (id, number, required, blocked) in all {
        let (status, required) = (status(number)?, required != 0);
        let holds = match required {
            true => status == TaskStatus::Completed,
            false => status.is_terminal() || blocked != 0,
        };
        if !holds {
            unmet.push((id, status, required));
        }
    }
    Ok(unmet)
}

pub(super) async fn tree_state(store: &SqliteStore, task: &TaskId) -> Result<Option<TreeState>> {
    let text = "
SELECT x.n, x.id, r.id, x.status, x.execution, x.started_seq, x.started_at, x.ended_at
  FROM tasks t CROSS JOIN trees x ON x.n = t.tree CROSS JOIN tasks r ON r.n = x.root WHERE t.id = $1";
    let state = |row: &SqliteRow| {
        Ok(TreeState {
            key: TreeKey(at(row, 0)?),
            tree_id: TreeId::from(at::<&str>(row, 1)?),
            root: TaskId::from(at::<&str>(row, 2)?),
            status: tree_status(at(row, 3)?)?,
            execution: at(row, 4)?,
            started_seq: Seq(at(row, 5)?),
            started_at: optional_time(row, 6)?,
            ended_at: optional_time(row, 7)?,
        })
    };
    Ok(store.read(sqlx::query(text).bind(task.as_str().to_owned()), state).await?.pop())
}
