//! Schedules. What becomes of a due time and of an owner's change is the core's decision; here it is asked inside the
//! transaction that writes the answer. The end of a run is written by a trigger on `trees`, see the migration.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{TaskId, TaskKey, TreeKey};
use apflow_core::plan;
use apflow_core::schedule::{
    self, Action, MissedPolicy, OverlapPolicy, Schedule, ScheduleFilter, SchedulePatch, ScheduleRun,
    ScheduleRunStatus, ScheduleType, TreeFacts,
};
use apflow_core::store::{CompleteSchedule, DueSchedules, Fired, Page};
use apflow_core::task::{Task, TreeStatus};
use serde::Deserialize;

use super::execute::arm;
use super::query::{KEY_OF, view_text};
use super::skeleton::{STATUS, TreeRow, skeleton, tree_of};
use super::view::{columns, tables, view};
use crate::database::{Argument, Database, Dialect, Work, arguments, replayed, sql};
use crate::error::{corrupt, unreadable};
use crate::rows::{Cells, at, from_json, optional_time, status_number, time, to_json};

/// A schedule as one column, so that a task without one costs a lookup and nothing else.
pub(super) fn packed(dialect: Dialect) -> String {
    let list = dialect.list(
        "c.kind, c.expression, c.zone, c.missed, c.overlap, c.enabled, c.start_at, c.end_at, c.max_runs, c.run_count,
         c.next_run_at, c.last_run_at",
    );
    format!("(SELECT {list} FROM schedules c WHERE c.n = t.n)")
}

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

/// The schedule in a [`packed`] column; empty if there is none.
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

pub(crate) async fn list<D: Database>(
    database: &D,
    filter: &ScheduleFilter,
    page: Page,
) -> Result<Vec<Task>> {
    let dialect = D::DIALECT;
    let conditions = [
        (filter.enabled_only || filter.due_by.is_some(), "AND c.enabled = 1".to_owned()),
        (filter.user_id.is_some(), "AND x.user_id = $3".to_owned()),
        (filter.schedule_type.is_some(), "AND c.kind = $4".to_owned()),
        (!filter.statuses.is_empty(), format!("AND {STATUS} IN {}", dialect.numbers("$5"))),
        (filter.due_by.is_some(), format!("AND c.next_run_at <= $6 AND NOT {WAITS}")),
    ];
    let wanted: Vec<&str> = conditions.iter().filter(|one| one.0).map(|one| one.1.as_str()).collect();
    let (wanted, join) = (wanted.join(" "), dialect.join());
    let keys = format!(
        "SELECT c.n FROM schedules c {join} tasks t ON t.n = c.n {join} trees x ON x.n = t.tree
          WHERE true {wanted} ORDER BY c.next_run_at IS NULL, c.next_run_at, c.n LIMIT $1 OFFSET $2"
    );
    let text = format!(
        "SELECT {} FROM ({keys}) AS k {} {join} schedules c ON c.n = k.n
          ORDER BY c.next_run_at IS NULL, c.next_run_at, c.n",
        columns(dialect),
        tables(dialect)
    );
    let statuses: Vec<i64> = filter.statuses.iter().map(|one| status_number(*one)).collect();
    let arguments = arguments![
        i64::from(page.limit),
        i64::from(page.offset),
        filter.user_id.clone(),
        filter.schedule_type.map(|kind| kind.as_str().to_owned()),
        to_json("list of statuses", &statuses)?,
        filter.due_by.map(Timestamp::as_micros),
    ];
    database.read(sql(text), arguments, view).await
}

pub(crate) async fn runs(database: &impl Database, task: &TaskId, page: Page) -> Result<Vec<ScheduleRun>> {
    let text = "
SELECT r.due, r.status, r.due_count, r.execution, r.started_at, r.ended_at, r.error
  FROM tasks t JOIN schedule_runs r ON r.n = t.n WHERE t.id = $1 ORDER BY r.due DESC LIMIT $2 OFFSET $3";
    let arguments = arguments![task.as_str(), i64::from(page.limit), i64::from(page.offset)];
    database.read(sql(text), arguments, run).await
}

fn run(row: &impl Cells) -> Result<ScheduleRun> {
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

pub(crate) async fn due<D: Database>(database: &D, now: Timestamp, limit: u32) -> Result<DueSchedules> {
    // The partial index gives what is due in its order; the rest of it is not looked at.
    let join = D::DIALECT.join();
    let tree = format!("{join} tasks t ON t.n = c.n {join} trees x ON x.n = t.tree");
    let text = format!(
        "SELECT 0, t.id, c.next_run_at, c.n FROM schedules c {tree}
          WHERE c.enabled = 1 AND c.next_run_at IS NOT NULL AND c.next_run_at <= $1 AND NOT {WAITS}
         UNION ALL
         SELECT 1, NULL, (SELECT min(next_run_at) FROM schedules
                           WHERE enabled = 1 AND next_run_at IS NOT NULL AND next_run_at > $1), NULL
         UNION ALL
         SELECT 2, NULL, CASE WHEN EXISTS (SELECT 1 FROM schedules c {tree}
             WHERE c.enabled = 1 AND c.next_run_at IS NOT NULL AND c.next_run_at <= $1 AND {WAITS}) THEN 1 ELSE 0 END, NULL
         ORDER BY 1, 3, 4"
    );
    let mut found = DueSchedules::default();
    let row = |row: &D::Row| {
        let id = at::<Option<&str>>(row, 1)?.map(TaskId::from);
        Ok((at::<i64>(row, 0)?, id, at::<Option<i64>>(row, 2)?))
    };
    for (kind, task, number) in database.read(sql(text), arguments![now], row).await? {
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
    async fn load(work: &mut impl Work, task: &TaskId) -> Result<Self> {
        work.lock_trees(std::slice::from_ref(task)).await?;
        let (root, tree) = tree_of(work, task).await?;
        let text = "SELECT started_at, ended_at FROM trees WHERE n = $1";
        let times = work.rows(sql(text), arguments![tree.key.0], |row| {
            Ok((optional_time(row, 0)?, optional_time(row, 1)?))
        });
        let (started, ended) = times.await?.pop().unwrap_or_default();
        let facts = match tree.status {
            TreeStatus::InProgress => TreeFacts::Running { since: started.unwrap_or_default() },
            TreeStatus::Pending | TreeStatus::Completed | TreeStatus::Failed | TreeStatus::Cancelled => {
                TreeFacts::Free { since: ended }
            }
        };
        let schedule = current(work, root).await?;
        Ok(Self { root, tree, facts, schedule })
    }
}

/// The schedule of a task; empty if there is none.
async fn current<W: Work>(work: &mut W, task: TaskKey) -> Result<Schedule> {
    let text = format!("SELECT {} FROM tasks t WHERE t.n = $1", packed(W::DIALECT));
    let rows = work.rows(sql(text), arguments![task.0], |row| unpack(at(row, 0)?));
    Ok(rows.await?.pop().unwrap_or_default())
}

pub(crate) async fn fire(
    database: &impl Database,
    task: &TaskId,
    due: Timestamp,
    now: Timestamp,
) -> Result<Fired> {
    let once = || async {
        let mut work = database.begin().await?;
        let outcome = handle(&mut work, task, due, now).await;
        work.end(outcome).await
    };
    replayed(once).await
}

async fn handle(work: &mut impl Work, task: &TaskId, due: Timestamp, now: Timestamp) -> Result<Fired> {
    let one = match Scheduled::load(work, task).await {
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
    let handled = is_handled(work, one.root, due).await?;
    let runs = decision.action == Action::Run && !handled;
    go_on(work, one.root, decision.next, runs).await?;
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
        note(work, one.root, &entry).await?;
        return Ok(Fired::Passed);
    }
    let execution = one.tree.execution + 1;
    (entry.status, entry.execution, entry.ended_at) = (ScheduleRunStatus::Running, Some(execution), None);
    note(work, one.root, &entry).await?;
    let plan = plan::renewal(&skeleton(work, one.tree.keys).await?);
    arm(work, &one.tree, &plan, now).await?;
    Ok(Fired::Started { tree: one.tree.key, tree_id: one.tree.id, root: one.tree.root, execution })
}

async fn is_handled(work: &mut impl Work, root: TaskKey, due: Timestamp) -> Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM schedule_runs WHERE n = $1 AND due = $2)";
    Ok(work.rows(sql(text), arguments![root.0, due], |row| at::<bool>(row, 0)).await? == [true])
}

/// Sets the next due time. Where there is none, the schedule is over when nothing of it runs any more.
async fn go_on(work: &mut impl Work, root: TaskKey, next: Option<Timestamp>, runs: bool) -> Result<()> {
    let text = "UPDATE schedules SET next_run_at = $2, enabled = CASE WHEN $2 IS NOT NULL OR $3 = 1 THEN enabled ELSE 0 END
 WHERE n = $1";
    write(work, text, arguments![root.0, next.map(Timestamp::as_micros), i64::from(runs)]).await
}

/// Writes an entry of the history; a due time that has one keeps it.
async fn note(work: &mut impl Work, root: TaskKey, entry: &ScheduleRun) -> Result<()> {
    let text = "
INSERT INTO schedule_runs (n, due, status, due_count, execution, started_at, ended_at, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (n, due) DO NOTHING";
    let arguments = arguments![
        root.0,
        entry.due_at,
        entry.status.as_str(),
        i64::from(entry.due_count),
        entry.execution.map(i64::from),
        entry.started_at,
        entry.ended_at.map(Timestamp::as_micros),
        entry.error.clone(),
    ];
    write(work, text, arguments).await
}

/// A statement that gives no rows.
async fn write(work: &mut impl Work, text: &'static str, arguments: Vec<Argument>) -> Result<()> {
    work.rows(sql(text), arguments, |_| Ok(())).await.map(|_| ())
}

pub(crate) async fn complete(database: &impl Database, request: &CompleteSchedule) -> Result<Task> {
    let once = || async {
        let mut work = database.begin().await?;
        let outcome = count(&mut work, request).await;
        work.end(outcome).await
    };
    replayed(once).await
}

async fn count<W: Work>(work: &mut W, request: &CompleteSchedule) -> Result<Task> {
    let Scheduled { root, mut schedule, .. } = Scheduled::load(work, &request.task).await?;
    schedule::check_report(&schedule, &request.task, is_open(work, root).await?)?;
    let due = schedule::complete(&mut schedule, request.advance, request.now)?;
    set(work, root, &schedule).await?;
    note(work, root, &schedule::reported(due, request.failure.clone(), request.now)).await?;
    let text = view_text(W::DIALECT, KEY_OF, "");
    let mut tasks = work.rows(text, arguments![request.task.as_str()], view).await?;
    tasks.pop().ok_or_else(|| Error::task_not_found(&request.task))
}

/// Whether an execution for the schedule is under way.
async fn is_open(work: &mut impl Work, root: TaskKey) -> Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM schedule_runs WHERE n = $1 AND status = 'running')";
    Ok(work.rows(sql(text), arguments![root.0], |row| at::<bool>(row, 0)).await? == [true])
}

/// An owner's edit of the schedule of a task, which must be a root to have one.
pub(super) async fn edit(
    work: &mut impl Work,
    task: TaskKey,
    name: &str,
    is_root: bool,
    patch: &SchedulePatch,
    now: Timestamp,
) -> Result<()> {
    let edited = schedule::edit(&current(work, task).await?, patch, now)?;
    match edited.schedule_type {
        Some(kind) if !is_root => Err(schedule::not_a_root(kind, name)),
        Some(_) => set(work, task, &edited).await,
        None => write(work, "DELETE FROM schedules WHERE n = $1", arguments![task.0]).await,
    }
}

const SET: &str = "
INSERT INTO schedules (n, kind, expression, zone, missed, overlap, enabled, start_at, end_at, max_runs, run_count,
                       next_run_at, last_run_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (n) DO UPDATE
   SET kind = excluded.kind, expression = excluded.expression, zone = excluded.zone, missed = excluded.missed,
       overlap = excluded.overlap, enabled = excluded.enabled, start_at = excluded.start_at, end_at = excluded.end_at,
       max_runs = excluded.max_runs, run_count = excluded.run_count, next_run_at = excluded.next_run_at,
       last_run_at = excluded.last_run_at";

async fn set(work: &mut impl Work, root: TaskKey, one: &Schedule) -> Result<()> {
    let kind = one.schedule_type.ok_or_else(|| corrupt("A schedule without a type was to be written"))?;
    let micros = |time: Option<Timestamp>| time.map(Timestamp::as_micros);
    let arguments = arguments![
        root.0,
        kind.as_str(),
        one.schedule_expression.clone().unwrap_or_default(),
        one.schedule_timezone.clone().unwrap_or_else(|| schedule::DEFAULT_ZONE.to_owned()),
        one.missed().as_str(),
        one.overlap().as_str(),
        i64::from(one.schedule_enabled),
        micros(one.schedule_start_at),
        micros(one.schedule_end_at),
        one.max_runs.map(i64::from),
        i64::from(one.run_count),
        micros(one.next_run_at),
        micros(one.last_run_at),
    ];
    write(work, SET, arguments).await
}

/// Writes the schedule of a tree that is being inserted.
pub(super) async fn plant(work: &mut impl Work, tree: TreeKey, schedule: &Schedule) -> Result<()> {
    let text = "SELECT root FROM trees WHERE n = $1";
    let rows = work.rows(sql(text), arguments![tree.0], |row| at(row, 0).map(TaskKey));
    let root = rows.await?.pop().ok_or_else(|| corrupt("A tree that was just written is not there"))?;
    set(work, root, schedule).await
}
