//! Reading tasks, lists, counts, attempts, queue facts and trees: one statement each, so one snapshot each.

use std::collections::HashMap;

use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, TaskId, TreeId, TreeKey};
use apflow_core::store::{Page, Progress, QueueFacts, QueuePlace, StatusCounts, TaskFilter, TreeState};
use apflow_core::task::{Attempt, Task, TaskStatus};
use sqlx::SqlStr;

use super::gates;
use super::skeleton::{STATUS, below};
use super::view::{COLUMNS, columns, tables, view};
use crate::database::{Argument, Database, Dialect, arguments, sql};
use crate::rows::{
    Cells, at, attempt, from_json, optional_json, optional_time, status, status_number, to_json, tree_status,
};

/// The key of the task with the id `$1`.
pub(super) const KEY_OF: &str = "SELECT n FROM tasks WHERE id = $1";

/// A statement that gives the [`view`]s of the tasks whose keys `keys` selects.
pub(super) fn view_text(dialect: Dialect, keys: &str, order: &str) -> SqlStr {
    sql(format!("SELECT {} FROM ({keys}) AS k {} {order}", columns(dialect), tables(dialect)))
}

pub(crate) async fn get<D: Database>(database: &D, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
    let (listed, join) = (D::DIALECT.texts("$1"), D::DIALECT.join());
    let keys = format!("SELECT t.n FROM {listed} {join} tasks t ON t.id = j.value");
    let arguments = arguments![to_json("list of ids", &ids)?];
    let found = database.read(view_text(D::DIALECT, &keys, ""), arguments, view).await?;
    let mut by_id: HashMap<TaskId, Task> = found.into_iter().map(|task| (task.id.clone(), task)).collect();
    // An id may be asked for twice.
    let last: HashMap<&TaskId, usize> = ids.iter().enumerate().map(|(i, id)| (id, i)).collect();
    let take =
        |(i, id): (usize, &TaskId)| if last[id] == i { by_id.remove(id) } else { by_id.get(id).cloned() };
    Ok(ids.iter().enumerate().map(take).collect())
}

pub(crate) async fn subtree<D: Database>(database: &D, id: &TaskId) -> Result<Vec<Task>> {
    database.read(subtree_text(D::DIALECT), arguments![id.as_str()], view).await
}

pub(crate) async fn each_below<D: Database>(
    database: &D,
    id: &TaskId,
    each: &mut (dyn FnMut(Task) -> Result<()> + Send),
) -> Result<()> {
    // A list of nothings takes no room.
    database.read(subtree_text(D::DIALECT), arguments![id.as_str()], |row| each(view(row)?)).await.map(drop)
}

/// Keys grow in pre-order within a tree.
fn subtree_text(dialect: Dialect) -> SqlStr {
    let keys = format!("{} SELECT n FROM below", below(dialect));
    view_text(dialect, &keys, "ORDER BY k.n")
}

pub(crate) async fn children<D: Database>(database: &D, id: &TaskId) -> Result<Vec<Task>> {
    let keys =
        format!("SELECT c.n FROM tasks a {} tasks c ON c.parent = a.n WHERE a.id = $1", D::DIALECT.join());
    let text = view_text(D::DIALECT, &keys, "ORDER BY t.priority, t.n");
    database.read(text, arguments![id.as_str()], view).await
}

/// What a [`TaskFilter`] asks for, as text: the parts that are there, over tables `x` (trees) and `t` (tasks). Going from
/// tree to tree keeps the order and uses the index on owners; `$1` owner, `$2` statuses.
fn filtered(dialect: Dialect, filter: &TaskFilter) -> String {
    let tasks = if filter.root_only { "t.n = x.root" } else { "t.n BETWEEN x.root AND x.last" };
    let owner = if filter.user_id.is_some() { "x.user_id = $1" } else { "true" };
    let statuses = match filter.statuses.is_empty() {
        true => String::new(),
        false => format!("AND {STATUS} IN {}", dialect.numbers("$2")),
    };
    format!("FROM trees x {} tasks t ON {tasks} WHERE {owner} {statuses}", dialect.join())
}

fn arguments_of(filter: &TaskFilter) -> Result<Vec<Argument>> {
    let statuses: Vec<i64> = filter.statuses.iter().map(|one| status_number(*one)).collect();
    Ok(arguments![filter.user_id.clone(), to_json("list of statuses", &statuses)?])
}

pub(crate) async fn list<D: Database>(database: &D, filter: &TaskFilter, page: Page) -> Result<Vec<Task>> {
    // First the keys of the page, then everything about them: not everything about what is skipped.
    let from = filtered(D::DIALECT, filter);
    let keys = format!("SELECT t.n {from} ORDER BY x.n DESC, t.n DESC LIMIT $3 OFFSET $4");
    let mut arguments = arguments_of(filter)?;
    arguments.extend(arguments![i64::from(page.limit), i64::from(page.offset)]);
    database.read(view_text(D::DIALECT, &keys, "ORDER BY k.n DESC"), arguments, view).await
}

pub(crate) async fn count<D: Database>(database: &D, filter: &TaskFilter) -> Result<StatusCounts> {
    let text = sql(format!("SELECT {STATUS}, count(*) {} GROUP BY 1", filtered(D::DIALECT, filter)));
    let mut counts = StatusCounts::default();
    let read = |row: &D::Row| Ok((status(at(row, 0)?)?, at::<i64>(row, 1)?));
    for (status, count) in database.read(text, arguments_of(filter)?, read).await? {
        *counts.of(status) = count.unsigned_abs();
    }
    Ok(counts)
}

pub(crate) async fn progress<D: Database>(database: &D, id: &TaskId) -> Result<Option<Progress>> {
    let text = format!(
        "{} SELECT {STATUS}, count(*), coalesce(sum(r.progress), 0.0)
              FROM below t LEFT JOIN running r ON r.n = t.n GROUP BY 1",
        below(D::DIALECT)
    );
    let read =
        |row: &D::Row| Ok((status(at(row, 0)?)?, at::<i64>(row, 1)?.unsigned_abs(), at::<f64>(row, 2)?));
    let rows = database.read(sql(text), arguments![id.as_str()], read).await?;
    let mut progress = Progress::default();
    for (status, count, reported) in &rows {
        *progress.counts.of(*status) = *count;
        progress.done += if *status == TaskStatus::Completed { *count as f64 } else { *reported };
    }
    Ok((!rows.is_empty()).then_some(progress))
}

pub(crate) async fn attempts(database: &impl Database, id: &TaskId) -> Result<Vec<Attempt>> {
    let text = "
SELECT d.attempt, d.status, s.node, d.started_at, d.ended_at, d.result, d.error, d.inputs, d.receipt
  FROM tasks t JOIN done d ON d.n = t.n LEFT JOIN sessions s ON s.n = d.node
 WHERE t.id = $1 ORDER BY d.attempt";
    database.read(sql(text), arguments![id.as_str()], attempt).await
}

pub(crate) async fn queue_facts<D: Database>(database: &D, id: &TaskId) -> Result<Option<QueueFacts>> {
    let (dialect, join) = (D::DIALECT, D::DIALECT.join());
    let status_of = STATUS.replace("t.n", "dt.n");
    let stands = "CASE WHEN wd.blocked_by IS NULL THEN 0 ELSE 1 END";
    let dependencies = dialect.list_of(&format!("dt.id, {status_of}, e.required, {stands}"), "e.pos");
    let text = format!(
        "SELECT {}, r.n IS NOT NULL, w.waiting_on, w.blocked_by IS NOT NULL, CASE WHEN y.gate IS NULL THEN y.due END,
    CASE WHEN q.n IS NOT NULL THEN
        (SELECT count(*) FROM ready a WHERE (a.priority, a.due, a.n) < (q.priority, q.due, q.n)) END,
    (SELECT {dependencies}
       FROM edges e {join} tasks dt ON dt.n = e.dep LEFT JOIN waiting wd ON wd.n = e.dep WHERE e.task = t.n),
    CASE WHEN y.gate IS NOT NULL THEN
        (SELECT count(*) FROM delayed a
          WHERE a.gate = y.gate AND (a.priority, a.due, a.n) < (y.priority, y.due, y.n)) END,
    {},
    CASE WHEN y.n IS NOT NULL AND y.gate IS NULL THEN
        (SELECT CASE e.kind WHEN {delayed} THEN e.data END FROM events e
          WHERE e.tree = t.tree AND e.n = t.n AND e.kind IN ({retrying}, {delayed}) ORDER BY e.seq DESC LIMIT 1) END
  FROM ({KEY_OF}) AS k {} LEFT JOIN gates ga ON ga.n = y.gate",
        columns(dialect),
        gates::COLUMNS,
        tables(dialect),
        retrying = EventKind::TaskRetrying.number(),
        delayed = EventKind::TaskDelayed.number(),
    );
    let facts = |row: &D::Row| {
        let task = view(row)?;
        let unmet =
            if task.status == TaskStatus::Pending { unmet(at(row, COLUMNS + 5)?)? } else { Vec::new() };
        Ok(QueueFacts { task, place: place(row)?, unmet, put_off: optional_json(row, COLUMNS + 15)? })
    };
    Ok(database.read(sql(text), arguments![id.as_str()], facts).await?.pop())
}

fn place(row: &impl Cells) -> Result<QueuePlace> {
    if at(row, COLUMNS)? {
        return Ok(QueuePlace::Running);
    }
    if at(row, COLUMNS + 2)? {
        return Ok(QueuePlace::Blocked);
    }
    let waiting_on: Option<u32> = at(row, COLUMNS + 1)?;
    let before: Option<i64> = at(row, COLUMNS + 4)?;
    if let Some(before) = at::<Option<i64>>(row, COLUMNS + 6)? {
        return Ok(QueuePlace::Parked(gates::gate(row, COLUMNS + 7)?, before.unsigned_abs()));
    }
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

pub(crate) async fn tree_state<D: Database>(database: &D, task: &TaskId) -> Result<Option<TreeState>> {
    let text = "
SELECT x.n, x.id, r.id, x.status, x.execution, x.started_seq, x.started_at, x.ended_at
  FROM tasks t JOIN trees x ON x.n = t.tree JOIN tasks r ON r.n = x.root WHERE t.id = $1";
    let state = |row: &D::Row| {
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
    Ok(database.read(sql(text), arguments![task.as_str()], state).await?.pop())
}

/// The cursor of that name.
pub(crate) async fn cursor(database: &impl Database, name: &str) -> Result<Option<Seq>> {
    let text = sql("SELECT seq FROM cursors WHERE name = $1");
    Ok(database.read(text, arguments![name], |row| at(row, 0).map(Seq)).await?.pop())
}
