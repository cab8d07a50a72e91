//! Following the newest execution of a stored tree until it ends, by reading the event log page by page: the log has
//! every event exactly once, so nothing is missed however the connection fares.

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_core::event::{Event, EventKind};
use apflow_core::task::TaskStatus;
use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::output::{Output, field};
use super::progress::{Progress, Row, TICK};
use super::target::Target;

const PAGE: u32 = 1000;

/// Follows the tree of `tasks`, a flat answer of `tasks.tree`. Ends as `apflow run` would.
pub async fn follow(target: &Target, tasks: &Value, output: Output) -> Result<Exit, Failure> {
    let rows = rows(tasks);
    let first = tasks.get(0).cloned().unwrap_or_default();
    let tree = field(&first, "task_tree_id");
    let mut log = Log { target, tree: tree.clone(), after: None };
    let backlog = log.newest_execution().await?;
    if backlog.is_empty() {
        let id = field(&first, "id");
        let message = format!(
            "The log has no execution of this tree (any more): run `apflow tasks execute {id}`, or see `apflow tasks tree {id}`"
        );
        return Err(Failure::remote("not_executed", message));
    }
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut progress = Progress::new(rows, SystemClock.now());
    let end = show(&mut log, &mut progress, backlog, &ids).await;
    progress.finish(SystemClock.now());
    let status = match end? {
        EventKind::TreeCompleted => "completed",
        EventKind::TreeCancelled => "cancelled",
        _ => "failed",
    };
    let params = json!({ "task_id": first["id"], "format": "flat" });
    let tasks = target.tasks("tasks.tree", params).await?;
    let result = tasks.get(0).and_then(|task| task.get("result")).cloned();
    let document = json!({
        "status": status, "root_task_id": first["id"], "tree_id": tree, "result": result, "tasks": tasks,
    });
    output.show(&document, |_| status.to_owned());
    Ok(if status == "completed" { Exit::Success } else { Exit::Failed })
}

fn rows(tasks: &Value) -> Vec<Row> {
    let row = |task: &Value| Row {
        id: field(task, "id"),
        parent: task.get("parent_id").and_then(Value::as_str).map(Into::into),
        name: field(task, "name"),
        status: TaskStatus::Pending,
    };
    tasks.as_array().into_iter().flatten().map(row).collect()
}

/// Shows events until one ends the execution, and gives that one's kind.
async fn show(
    log: &mut Log<'_>,
    progress: &mut Progress,
    backlog: Vec<Event>,
    ids: &[String],
) -> Result<EventKind, Failure> {
    let execution = backlog.first().map(|event| event.attempt).unwrap_or_default();
    let mut events = backlog;
    let mut ticker = tokio::time::interval(TICK);
    loop {
        for event in events {
            let shown = event.task_id.as_ref().is_none_or(|id| ids.iter().any(|one| one == id.as_str()));
            if shown {
                progress.event(&event);
            }
            if event.kind.ends_tree() && event.attempt == execution {
                return Ok(event.kind);
            }
        }
        ticker.tick().await;
        progress.tick(SystemClock.now());
        events = log.next().await?.0;
    }
}

/// The event log of one tree.
struct Log<'a> {
    target: &'a Target,
    tree: String,
    /// None before the first page, which begins with the oldest event that there is.
    after: Option<i64>,
}

impl Log<'_> {
    /// The next page, and whether there are more.
    async fn next(&mut self) -> Result<(Vec<Event>, bool), Failure> {
        let mut params = json!({ "tree": self.tree, "limit": PAGE });
        if let Some(after) = self.after {
            params["after"] = after.into();
        }
        let mut page = self.target.tasks("events.list", params).await?;
        self.after = page.get("next_after").and_then(Value::as_i64).or(self.after);
        let more = page.get("more") == Some(&Value::Bool(true));
        let events = serde_json::from_value(page["events"].take()).map_err(|error| {
            Failure::missing(
                "not_an_apflow_server",
                format!("The answer of events.list is not as expected: {error}"),
            )
        })?;
        Ok((events, more))
    }

    /// What the log has so far of the newest execution, from its `tree.started`; nothing if there is none.
    async fn newest_execution(&mut self) -> Result<Vec<Event>, Failure> {
        let mut newest: Vec<Event> = Vec::new();
        loop {
            let (events, more) = self.next().await?;
            for event in events {
                if event.kind == EventKind::TreeStarted {
                    newest.clear();
                    newest.push(event);
                } else if !newest.is_empty() {
                    newest.push(event);
                }
            }
            if !more {
                return Ok(newest);
            }
        }
    }
}
