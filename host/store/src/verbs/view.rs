//! A task as everyone sees it: the columns that it is made of, and how. One statement reads everything about a task,
//! dependencies included, so that it is of one moment.

use apflow_core::clock::Timestamp;
use apflow_core::clone::blank;
use apflow_core::error::{Result, TaskError};
use apflow_core::id::{NodeId, TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::task::{Dependency, OriginType, Task, TaskStatus};

use super::schedules::{packed, unpack};
use super::skeleton::STATUS;
use crate::database::Dialect;
use crate::rows::{
    Cells, More, at, from_json, json, kind, optional_error, optional_json, optional_time, origin, status,
    time,
};

/// The columns that [`view`] reads.
pub(super) fn columns(dialect: Dialect) -> String {
    let dependencies = dialect.list_of("dt.id, e.required, e.kind", "e.pos");
    format!(
        "t.id, p.id, x.id, x.user_id, t.name, {STATUS}, t.priority,
    (SELECT {dependencies} FROM edges e {} tasks dt ON dt.n = e.dep WHERE e.task = t.n),
    t.inputs, t.params, t.more, t.executor, t.updated_at, x.created_at,
    EXISTS (SELECT 1 FROM tasks c WHERE c.parent = t.n),
    r.token, r.started_at, r.progress, rs.node, rs.until,
    coalesce(r.attempt, q.attempt, y.attempt, w.attempt, d.attempt, 0), b.id,
    d.started_at, d.ended_at, d.inputs, d.result, d.error, ds.node,
    g.type, coalesce(gt.id, (SELECT id FROM removed_tasks WHERE n = g.original)), g.archived_at,
    EXISTS (SELECT 1 FROM origins c WHERE c.original = t.n),
    CASE WHEN t.n = x.root THEN (SELECT key FROM receipts WHERE tree = x.n) END, {},
    CASE WHEN t.n = x.root THEN x.deadline_ms END",
        dialect.join(),
        packed(dialect)
    )
}

/// Number of these columns.
pub(super) const COLUMNS: usize = 35;

/// The tables behind them. `k` has the keys (`n`) of the tasks to read.
pub(super) fn tables(dialect: Dialect) -> String {
    let join = dialect.join();
    format!(
        "
  {join} tasks t ON t.n = k.n
  {join} trees x ON x.n = t.tree
  LEFT JOIN tasks p ON p.n = t.parent
  LEFT JOIN running r ON r.n = t.n
  LEFT JOIN sessions rs ON rs.n = r.node
  LEFT JOIN ready q ON q.n = t.n
  LEFT JOIN delayed y ON y.n = t.n
  LEFT JOIN waiting w ON w.n = t.n
  LEFT JOIN tasks b ON b.n = w.blocked_by
  LEFT JOIN done d ON d.n = t.n AND d.attempt = (SELECT max(attempt) FROM done WHERE n = t.n)
  LEFT JOIN sessions ds ON ds.n = d.node
  LEFT JOIN origins g ON g.n = t.n
  LEFT JOIN tasks gt ON gt.n = g.original
"
    )
}

/// Makes the task of a row.
pub(super) fn view(row: &impl Cells) -> Result<Task> {
    let run = Run::of(row)?;
    let newest = Newest::of(row, run.is_some())?;
    let (status, created_at, edited_at) = (status(at(row, 5)?)?, time(row, 13)?, optional_time(row, 12)?);
    let started_at = run.as_ref().map_or(newest.started_at, |run| Some(run.started_at));
    // What the newest attempt ran with, unless the owner has written a newer definition.
    let is_of_definition =
        edited_at.is_none_or(|edited| newest.started_at.is_some_and(|began| edited <= began));
    let mut more = More::read(at(row, 10)?)?;
    let (kind, archived_at) =
        (origin(at::<Option<i64>>(row, 28)?.unwrap_or_default())?, optional_time(row, 30)?);
    let run_with = newest.inputs.filter(|_| is_of_definition);
    let defined_inputs = run_with.is_some().then(|| json(row, 8)).transpose()?;
    let mut task = Task {
        id: TaskId::from(at::<&str>(row, 0)?),
        parent_id: at::<Option<&str>>(row, 1)?.map(TaskId::from),
        tree_id: TreeId::from(at::<&str>(row, 2)?),
        user_id: at(row, 3)?,
        name: at(row, 4)?,
        status,
        priority: at(row, 6)?,
        dependencies: dependencies(at(row, 7)?)?,
        inputs: run_with.map_or_else(|| json(row, 8), Ok)?,
        params: json(row, 9)?,
        schemas: more.schemas(),
        result: newest.result,
        error: newest.error.clone(),
        error_info: newest.error,
        progress: match (&run, status) {
            (Some(run), _) => run.progress,
            (None, TaskStatus::Completed) => 1.0,
            (None, _) => 0.0,
        },
        created_at,
        started_at,
        updated_at: [edited_at, started_at, newest.ended_at, archived_at]
            .into_iter()
            .flatten()
            .fold(created_at, Ord::max),
        completed_at: newest.ended_at.filter(|_| status.is_terminal()),
        has_children: at(row, 14)?,
        original_task_id: at::<Option<&str>>(row, 29)?.map(TaskId::from),
        origin_type: if archived_at.is_some() { OriginType::Archive } else { kind },
        has_references: at(row, 31)?,
        schedule: unpack(at(row, 33)?)?,
        lease_id: run.as_ref().map(|run| run.token.to_string()),
        lease_expires_at: run.as_ref().map(|run| run.until),
        placement_constraints: None,
        attempt: at(row, 20)?,
        idempotency_key: at(row, 32)?,
        last_assigned_node: run.map_or(newest.node, |run| Some(run.node)),
        description: more.description,
        executor: at(row, 11)?,
        metadata: more.metadata,
        retry: more.retry,
        timeout_ms: more.timeout_ms,
        deadline_ms: at(row, 34)?,
        concurrency_key: more.concurrency_key,
        blocked_by: at::<Option<&str>>(row, 21)?.map(TaskId::from),
        is_link: kind == OriginType::Link,
        defined_inputs,
    };
    if task.is_link {
        blank(&mut task);
    }
    Ok(task)
}

fn dependencies(text: &str) -> Result<Vec<Dependency>> {
    let rows: Vec<(TaskId, i64, i64)> = from_json("list of dependencies", text)?;
    let dependency = |(id, required, number)| Dependency { id, required: required != 0, kind: kind(number) };
    Ok(rows.into_iter().map(dependency).collect())
}

/// The run that holds the task.
struct Run {
    token: i64,
    started_at: Timestamp,
    progress: f64,
    node: NodeId,
    until: Timestamp,
}

impl Run {
    fn of(row: &impl Cells) -> Result<Option<Self>> {
        let Some(token) = at(row, 15)? else { return Ok(None) };
        Ok(Some(Self {
            token,
            started_at: time(row, 16)?,
            progress: at::<Option<f64>>(row, 17)?.unwrap_or_default(),
            node: NodeId::from(at::<&str>(row, 18)?),
            until: time(row, 19)?,
        }))
    }
}

/// What is recorded of the newest attempt.
#[derive(Default)]
struct Newest {
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    inputs: Option<Json>,
    result: Option<Json>,
    error: Option<TaskError>,
    node: Option<NodeId>,
}

impl Newest {
    /// While a run holds the task, that is the newest attempt, of which nothing is known yet but its beginning.
    fn of(row: &impl Cells, runs: bool) -> Result<Self> {
        if runs {
            return Ok(Self::default());
        }
        Ok(Self {
            started_at: optional_time(row, 22)?,
            ended_at: optional_time(row, 23)?,
            inputs: optional_json(row, 24)?,
            result: optional_json(row, 25)?,
            error: optional_error(row, 26)?,
            node: at::<Option<&str>>(row, 27)?.map(NodeId::from),
        })
    }
}
