//! Schedules. What becomes of a due time and of an owner's change is the core's decision; here it is asked inside the
//! transaction that writes the answer. The end of a run is written by a trigger on `trees`, see the migration.

use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{TaskId, TaskKey, TreeKey};
use apflow_core::plan;
use apflow_core::schedule::{
    self, Action, MissedPolicy, OverlapPolicy, Schedule, ScheduleFilter, SchedulePatch, ScheduleRun,
    ScheduleRunStatus, ScheduleType, TreeFacts,
};
use apflow_core::store::{CompleteSchedule, DueSchedules, Fired, Page, ScheduleStore};
use apflow_core::task::{Task, TreeStatus};
use async_trait::async_trait;
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::execute::arm;
use super::query::{KEY_OF, view_statement};
use super::skeleton::{STATUS, TreeRow};
use super::transaction::{Statement, Writing};
use super::view::{TABLES, columns, view};
use crate::error::{corrupt, unreadable};
use crate::rows::{at, from_json, optional_time, status_number, time, to_json};

/// A schedule as one column, so that a task without one costs a lookup and nothing else.
pub(super) const PACKED: &str =
    "(SELECT json_array(c.kind, c.expression, c.zone, c.missed, c.overlap, c.enabled, c.start_at,
    c.end_at, c.max_runs, c.run_count, c.next_run_at, c.last_run_at) FROM schedules c WHERE c.n = t.n)";

/// Due times of a schedule `c`, whose tree is `x`, that wait for the end of an execution: `schedule::decide`, in SQL.
const WAITS: &str =
    "(x.status = 1 AND (c.overlap = 'queue' OR (c.missed = 'all' AND c.next_run_at < x.started_at)))";

#[derive(Deserialize)]
struct Packed(
    String,
    String,
    String,
    String,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<u32>,
    u32,
    Option<i64>,
    Option<i64>,
);

/// The schedule in a [`PACKED`] column; empty if there is none.
pub(super) fn unpack(column: Option<&str>) -> Result<Schedule> {
    let Some(text) = column else { return Ok(Schedule::default()) };
    let Packed(kind, expression, zone, missed, overlap, enabled, start, end, max_runs, run_count, next, last) =
        from_json("schedule", text)?;
    let at = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(Schedule {
        schedule_type: Some(named("schedule type", &kind, ScheduleType::parse)?),
        schedule_expression: Some(expression),
        schedule_enabled: enabled != 0,
        schedule_start_at: at(start),
        schedule_end_at: at(end),
        schedule_timezone: Some(zone),
        schedule_missed: Some(named("schedule policy", &missed, MissedPolicy::parse)?),
        schedule_overlap: Some(named("schedule policy", &overlap, OverlapPolicy::parse)?),
        next_run_at: at(next),
        last_run_at: at(last),
        max_runs,
        run_count,
    })
}

fn named<T>(what: &str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(text).ok_or_else(|| unreadable(what, format!("there is no '{text}'")))
}

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn schedules(&self, filter: ScheduleFilter, page: Page) -> Result<Vec<Task>> {
        list(self, &filter, page).await
    }

    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<DueSchedules> {
        due(self, now, limit).await
    }

    async fn fire_schedule(&self, task: &TaskId, due: Timestamp, now: Timestamp) -> Result<Fired> {
        let mut writing = self.write().await;
        writing.begin().await?;
        let outcome = fire(&mut writing, task, due, now).await;
        writing.end(outcome).await
    }

    async fn complete_schedule(&self, request: CompleteSchedule) -> Result<Task> {
        let mut writing = self.write().await;
        writing.begin().await?;
        let outcome = complete(&mut writing, &request).await;
        writing.end(outcome).await
    }

    async fn schedule_runs(&self, task: &TaskId, page: Page) -> Result<Vec<ScheduleRun>> {
        let text = "
SELECT r.due, r.status, r.due_count, r.execution, r.started_at, r.ended_at, r.error
  FROM tasks t CROSS JOIN schedule_runs r ON r.n = t.n WHERE t.id = $1 ORDER BY r.due DESC LIMIT $2 OFFSET $3";
        let statement = sqlx::query(text)
            .bind(task.as_str().to_owned())
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset));
        self.read(statement, run).await
    }
}

fn run(row: &SqliteRow) -> Result<ScheduleRun> {
    Ok(ScheduleRun {
        due_at: time(row, 0)?,
        status: named("status of a scheduled run", at(row, 1)?, ScheduleRunStatus::parse)?,
        due_count: at(row, 2)?,
        execution: at(row, 3)?,
        started_at: time(row, 4)?,
        ended_at: optional_time(row, 5)?,
        error: at(row, 6)?,
    })
}

async fn list(store: &SqliteStore, filter: &ScheduleFilter, page: Page) -> Result<Vec<Task>> {
    let conditions = [
        (filter.enabled_only || filter.due_by.is_some(), "AND c.enabled = 1".to_owned()),
        (filter.user_id.is_some(), "AND x.user_id = $3".to_owned()),
        (filter.schedule_type.is_some(), "AND c.kind = $4".to_owned()),
        (!filter.statuses.is_empty(), format!("AND {STATUS} IN (SELECT value FROM json_each($5))")),
        (filter.due_by.is_some(), format!("AND c.next_run_at <= $6 AND NOT {WAITS}")),
    ];
    let wanted: Vec<&str> = conditions.iter().filter(|one| one.0).map(|one| one.1.as_str()).collect();
    let wanted = wanted.join(" ");
    let keys = format!(
        "SELECT c.n FROM schedules c CROSS JOIN tasks t ON t.n = c.n CROSS JOIN trees x ON x.n = t.tree
          WHERE true {wanted} ORDER BY c.next_run_at IS NULL, c.next_run_at, c.n LIMIT $1 OFFSET $2"
    );
    let text = format!(
        "SELECT {} FROM ({keys}) AS k {TABLES} CROSS JOIN schedules c ON c.n = k.n
          ORDER BY c.next_run_at IS NULL, c.next_run_at, c.n",
        columns()
    );
    let statuses: Vec<i64> = filter.statuses.iter().map(|one| status_number(*one)).collect();
    let statement = sqlx::query(AssertSqlSafe(text))
        .bind(i64::from(page.limit))
        .bind(i64::from(page.offset))
        .bind(filter.user_id.clone())
        .bind(filter.schedule_type.map(ScheduleType::as_str))
        .bind(to_json("list of statuses", &statuses)?)
        .bind(filter.due_by.map(Timestamp::as_micros));
    store.read(statement, view).await
}

async fn due(store: &SqliteStore, now: Timestamp, limit: u32) -> Result<DueSchedules> {
    // The partial index gives what is due in its order; the rest of it is not looked at.
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let tree = "CROSS JOIN tasks t ON t.n = c.n CROSS JOIN trees x ON x.n = t.tree";
        format!(
            "SELECT 0, t.id, c.next_run_at, c.n FROM schedules c {tree}
              WHERE c.enabled = 1 AND c.next_run_at IS NOT NULL AND c.next_run_at <= $1 AND NOT {WAITS}
             UNION ALL
             SELECT 1, NULL, (SELECT min(next_run_at) FROM schedules
                               WHERE enabled = 1 AND next_run_at IS NOT NULL AND next_run_at > $1), NULL
             UNION ALL
             SELECT 2, NULL, EXISTS (SELECT 1 FROM schedules c {tree}
                 WHERE c.enabled = 1 AND c.next_run_at IS NOT NULL AND c.next_run_at <= $1 AND {WAITS}), NULL
             ORDER BY 1, 3, 4"
        )
    });
    let mut found = DueSchedules::default();
    let row = |row: &SqliteRow| {
        let id = at::<Option<&str>>(row, 1)?.map(TaskId::from);
        Ok((at::<i64>(row, 0)?, id, at::<Option<i64>>(row, 2)?))
    };
    for (kind, task, number) in store.read(sqlx::query(TEXT.as_str()).bind(now.as_micros()), row).await? {
        match (kind, task, number) {
            (0, Some(task), Some(due)) if found.due.len() < limit as usize => {
                found.due.push((task, Timestamp::from_micros(due)));
            }
            (1, _, next) => found.next = next.map(Timestamp::from_micros),
            (2, _, waits) => found.waiting = waits == Some(1),
            _ => {}
        }
    }
    Ok(found)
}

/// A schedule in the transaction that changes it.
struct Scheduled {
    root: TaskKey,
    tree: TreeRow,
    facts: TreeFacts,
    schedule: Schedule,
}

impl Scheduled {
    async fn load(writing: &mut Writing<'_>, task: &TaskId) -> Result<Self> {
        let (root, tree) = writing.tree_of(task).await?;
        let text = "SELECT started_at, ended_at FROM trees WHERE n = $1";
        let times = writing.rows(sqlx::query(text).bind(tree.key.0), |row| {
            Ok((optional_time(row, 0)?, optional_time(row, 1)?))
        });
        let (started, ended) = times.await?.pop().unwrap_or_default();
        let facts = match tree.status {
            TreeStatus::InProgress => TreeFacts::Running { since: started.unwrap_or_default() },
            TreeStatus::Pending | TreeStatus::Completed | TreeStatus::Failed | TreeStatus::Cancelled => {
                TreeFacts::Free { since: ended }
            }
        };
        let schedule = current(writing, root).await?;
        Ok(Self { root, tree, facts, schedule })
    }
}

/// The schedule of a task; empty if there is none.
async fn current(writing: &mut Writing<'_>, task: TaskKey) -> Result<Schedule> {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("SELECT {PACKED} FROM tasks t WHERE t.n = $1"));
    let rows = writing.rows(sqlx::query(TEXT.as_str()).bind(task.0), |row| unpack(at(row, 0)?));
    Ok(rows.await?.pop().unwrap_or_default())
}

async fn fire(writing: &mut Writing<'_>, task: &TaskId, due: Timestamp, now: Timestamp) -> Result<Fired> {
    let one = match Scheduled::load(writing, task).await {
        Ok(one) => one,
        Err(error) if error.code == ErrorCode::TaskNotFound => return Ok(Fired::Stale),
        Err(error) => return Err(error),
    };
    if one.schedule.next_run_at != Some(due) || !one.schedule.schedule_enabled || now < due {
        return Ok(Fired::Stale);
    }
    let decision = schedule::decide(&one.schedule, due, one.facts, now)?;
    if decision.action == Action::Wait {
        return Ok(Fired::Waiting);
    }
    let handled = is_handled(writing, one.root, due).await?;
    let runs = decision.action == Action::Run && !handled;
    go_on(writing, one.root, decision.next, runs).await?;
    let mut entry = ScheduleRun {
        due_at: due,
        status: if decision.action == Action::Skip {
            ScheduleRunStatus::Skipped
        } else {
            ScheduleRunStatus::Missed
        },
        due_count: decision.due_count,
        execution: None,
        started_at: now,
        ended_at: Some(now),
        error: None,
    };
    if handled {
        return Ok(Fired::Passed);
    }
    if !runs {
        note(writing, one.root, &entry).await?;
        return Ok(Fired::Passed);
    }
    let execution = one.tree.execution + 1;
    (entry.status, entry.execution, entry.ended_at) = (ScheduleRunStatus::Running, Some(execution), None);
    note(writing, one.root, &entry).await?;
    let plan = plan::renewal(&writing.skeleton(one.tree.keys).await?);
    arm(writing, &one.tree, &plan, now).await?;
    Ok(Fired::Started { tree: one.tree.key, tree_id: one.tree.id, root: one.tree.root, execution })
}

async fn is_handled(writing: &mut Writing<'_>, root: TaskKey, due: Timestamp) -> Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM schedule_runs WHERE n = $1 AND due = $2)";
    let statement = sqlx::query(text).bind(root.0).bind(due.as_micros());
    Ok(writing.rows(statement, |row| at::<bool>(row, 0)).await? == [true])
}

/// Sets the next due time. Where there is none, the schedule is over when nothing of it runs any more.
async fn go_on(writing: &mut Writing<'_>, root: TaskKey, next: Option<Timestamp>, runs: bool) -> Result<()> {
    let text =
        "UPDATE schedules SET next_run_at = $2, enabled = enabled AND ($2 IS NOT NULL OR $3) WHERE n = $1";
    let statement = sqlx::query(text).bind(root.0).bind(next.map(Timestamp::as_micros)).bind(runs);
    Ok(writing.step(statement, |_| Ok(())).await?)
}

/// Writes an entry of the history; a due time that has one keeps it.
async fn note(writing: &mut Writing<'_>, root: TaskKey, entry: &ScheduleRun) -> Result<()> {
    let text = "
INSERT INTO schedule_runs (n, due, status, due_count, execution, started_at, ended_at, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (n, due) DO NOTHING";
    let statement = sqlx::query(text)
        .bind(root.0)
        .bind(entry.due_at.as_micros())
        .bind(entry.status.as_str())
        .bind(entry.due_count)
        .bind(entry.execution)
        .bind(entry.started_at.as_micros())
        .bind(entry.ended_at.map(Timestamp::as_micros))
        .bind(entry.error.clone());
    Ok(writing.step(statement, |_| Ok(())).await?)
}

async fn complete(writing: &mut Writing<'_>, request: &CompleteSchedule) -> Result<Task> {
    let Scheduled { root, mut schedule, .. } = Scheduled::load(writing, &request.task).await?;
    schedule::check_report(&schedule, &request.task, is_open(writing, root).await?)?;
    let due = schedule::complete(&mut schedule, request.advance, request.now)?;
    set(writing, root, &schedule).await?;
    note(writing, root, &schedule::reported(due, request.failure.clone(), request.now)).await?;
    let mut tasks =
        writing.rows(view_statement(KEY_OF, "").bind(request.task.as_str().to_owned()), view).await?;
    tasks.pop().ok_or_else(|| Error::task_not_found(&request.task))
}

/// Whether an execution for the schedule is under way.
async fn is_open(writing: &mut Writing<'_>, root: TaskKey) -> Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM schedule_runs WHERE n = $1 AND status = 'running')";
    Ok(writing.rows(sqlx::query(text).bind(root.0), |row| at::<bool>(row, 0)).await? == [true])
}

/// An owner's edit of the schedule of a task, which must be a root to have one.
pub(super) async fn edit(
    writing: &mut Writing<'_>,
    task: TaskKey,
    name: &str,
    is_root: bool,
    patch: &SchedulePatch,
    now: Timestamp,
) -> Result<()> {
    let edited = schedule::edit(&current(writing, task).await?, patch, now)?;
    match edited.schedule_type {
        Some(kind) if !is_root => Err(schedule::not_a_root(kind, name)),
        Some(_) => set(writing, task, &edited).await,
        None => {
            let statement = sqlx::query("DELETE FROM schedules WHERE n = $1").bind(task.0);
            Ok(writing.step(statement, |_| Ok(())).await?)
        }
    }
}

const SET: &str = "
INSERT OR REPLACE INTO schedules (n, kind, expression, zone, missed, overlap, enabled, start_at, end_at, max_runs, run_count,
                                  next_run_at, last_run_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

async fn set(writing: &mut Writing<'_>, root: TaskKey, schedule: &Schedule) -> Result<()> {
    Ok(writing.step(bind(sqlx::query(SET), root, schedule)?, |_| Ok(())).await?)
}

/// Writes the schedule of a tree that is being inserted.
pub(super) async fn plant(writing: &mut Writing<'_>, tree: TreeKey, schedule: &Schedule) -> Result<()> {
    let rows = writing
        .rows(sqlx::query("SELECT root FROM trees WHERE n = $1").bind(tree.0), |row| at(row, 0).map(TaskKey));
    let root = rows.await?.pop().ok_or_else(|| corrupt("A tree that was just written is not there"))?;
    set(writing, root, schedule).await
}

fn bind(statement: Statement, root: TaskKey, one: &Schedule) -> Result<Statement> {
    let kind = one.schedule_type.ok_or_else(|| corrupt("A schedule without a type was to be written"))?;
    Ok(statement
        .bind(root.0)
        .bind(kind.as_str())
        .bind(one.schedule_expression.clone().unwrap_or_default())
        .bind(one.schedule_timezone.clone().unwrap_or_else(|| schedule::DEFAULT_ZONE.to_owned()))
        .bind(one.missed().as_str())
        .bind(one.overlap().as_str())
        .bind(one.schedule_enabled)
        .bind(one.schedule_start_at.map(Timestamp::as_micros))
        .bind(one.schedule_end_at.map(Timestamp::as_micros))
        .bind(one.max_runs)
        .bind(one.run_count)
        .bind(one.next_run_at.map(Timestamp::as_micros))
        .bind(one.last_run_at.map(Timestamp::as_micros)))
}
