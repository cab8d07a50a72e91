//! Events of an execution in the shapes that clients of streaming `tasks.execute`, and of its webhooks, know: `progress`, `task_start`,
//! `task_completed`, `task_failed`, `task_cancelled`, `final`, `stream_end`.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, TaskError};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::TaskId;
use apflow_core::json::Json;
use apflow_core::task::{TaskStatus, TreeStatus};
use serde::{Deserialize, Serialize};

/// One message of the stream.
#[derive(Debug, Serialize)]
pub struct Wire<'a> {
    r#type: &'static str,
    /// The task; the root for what concerns the whole execution.
    task_id: &'a TaskId,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<Json>,
    /// Present means it is part of the shape, null or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Option<Json>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_info: Option<TaskError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by: Option<String>,
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    last: Option<bool>,
}

/// What the data of events may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    tasks: Option<u64>,
    fraction: Option<f64>,
    message: Option<String>,
    partial: Option<Json>,
    result: Option<Json>,
    error: Option<TaskError>,
    due: Option<String>,
    blocked_by: Option<String>,
}

/// Translates the events of one execution, in their order.
#[derive(Debug)]
pub struct Translator {
    root: TaskId,
    /// Tasks that the execution runs.
    tasks: u64,
    completed: u64,
}

impl Translator {
    /// For the execution of the tree with that root, from its beginning.
    pub fn new(root: TaskId) -> Self {
        Self::resume(root, 0, 0)
    }

    /// For the rest of an execution that runs so many tasks and has completed some.
    pub fn resume(root: TaskId, tasks: u64, completed: u64) -> Self {
        Self { root, tasks, completed }
    }

    /// The message for an event.
    pub fn translate<'a>(&'a mut self, event: &'a Event) -> Wire<'a> {
        let data: Data = event.data.as_ref().and_then(|data| data.read().ok()).unwrap_or_default();
        match event.kind {
            EventKind::TreeStarted => self.tasks = data.tasks.unwrap_or_default(),
            EventKind::TaskCompleted => self.completed += 1,
            _ => {}
        }
        let (kind, status) = kind(event.kind);
        let base = Wire {
            r#type: kind,
            task_id: event.task_id.as_ref().unwrap_or(&self.root),
            status,
            timestamp: event.at,
            attempt: event.task_id.as_ref().map(|_| event.attempt),
            progress: None,
            message: data.message,
            partial: data.partial,
            result: None,
            error: None,
            error_info: None,
            due: data.due,
            blocked_by: data.blocked_by,
            last: event.kind.ends_task().then_some(true),
        };
        match event.kind {
            EventKind::TreeStarted => {
                Wire { progress: Some(0.0), message: Some("Task tree execution started".into()), ..base }
            }
            EventKind::TreeCompleted | EventKind::TreeFailed | EventKind::TreeCancelled => self.end(base),
            EventKind::TaskProgress => Wire { progress: data.fraction, ..base },
            EventKind::TaskCompleted => Wire { result: Some(data.result), ..base },
            EventKind::TaskFailed | EventKind::TaskCancelled | EventKind::TaskRetrying => Wire {
                error: Some(data.error.as_ref().map(|error| error.message.clone())),
                error_info: data.error,
                ..base
            },
            EventKind::TreeCreated
            | EventKind::TreeDeleted
            | EventKind::TaskStarted
            | EventKind::TaskBlocked
            | EventKind::TaskDelayed
            | EventKind::TaskRescued
            | EventKind::TaskUpdated => base,
        }
    }

    fn end<'a>(&self, base: Wire<'a>) -> Wire<'a> {
        let completed = TreeStatus::Completed.as_str();
        let status = base.status.unwrap_or(completed);
        let progress =
            if status == completed { 1.0 } else { self.completed as f64 / self.tasks.max(1) as f64 };
        Wire {
            result: Some(Some(serde_json::json!({ "progress": progress }).into())),
            error: Some((status != completed).then(|| format!("Tree finished with status: {status}"))),
            last: Some(true),
            ..base
        }
    }

    /// The last message of a stream.
    pub fn stream_end(&self) -> String {
        serde_json::json!({ "type": "stream_end", "task_id": self.root }).to_string()
    }

    /// The last message of a stream that breaks off; the execution itself goes on.
    pub fn broken(&self, error: &Error) -> String {
        serde_json::json!({
            "type": "error", "task_id": self.root, "error": error.message, "code": error.code.as_str(),
        })
        .to_string()
    }
}

/// Type and status of a message.
fn kind(kind: EventKind) -> (&'static str, Option<&'static str>) {
    let (name, status) = match kind {
        EventKind::TreeStarted | EventKind::TaskProgress => ("progress", TaskStatus::InProgress),
        EventKind::TaskStarted => ("task_start", TaskStatus::InProgress),
        EventKind::TaskCompleted => ("task_completed", TaskStatus::Completed),
        EventKind::TaskFailed => ("task_failed", TaskStatus::Failed),
        EventKind::TaskCancelled => ("task_cancelled", TaskStatus::Cancelled),
        EventKind::TreeCompleted => ("final", TaskStatus::Completed),
        EventKind::TreeFailed => ("final", TaskStatus::Failed),
        EventKind::TreeCancelled => ("final", TaskStatus::Cancelled),
        EventKind::TaskRetrying => ("task_retrying", TaskStatus::Pending),
        EventKind::TaskBlocked => ("task_blocked", TaskStatus::Pending),
        EventKind::TaskDelayed => ("task_delayed", TaskStatus::Pending),
        EventKind::TaskRescued => ("task_rescued", TaskStatus::Pending),
        EventKind::TaskUpdated => return ("task_updated", None),
        EventKind::TreeCreated => return ("tree_created", None),
        EventKind::TreeDeleted => return ("tree_deleted", None),
    };
    (name, Some(status.as_str()))
}

#[cfg(test)]
mod tests {
    use apflow_core::error::FailureKind;
    use apflow_core::id::{Seq, TreeId};
    use serde_json::{Value, json};

    use super::*;

    fn event(kind: EventKind, task: Option<&str>, data: Value) -> Event {
        Event {
            seq: Seq(1),
            tree_id: TreeId::from("tree"),
            task_id: task.map(TaskId::from),
            executor: None,
            attempt: 1,
            kind,
            at: Timestamp::from_micros(0),
            started_at: None,
            data: Some(data.into()),
        }
    }

    #[test]
    fn shapes_are_those_that_clients_know() {
        let mut translator = Translator::new(TaskId::from("root"));
        let mut wire = |kind, task, data| {
            let mut value = serde_json::to_value(translator.translate(&event(kind, task, data))).unwrap();
            let fields = value.as_object_mut().unwrap();
            assert_eq!(fields.remove("timestamp").unwrap(), "1970-01-01T00:00:00Z");
            fields.remove("attempt");
            value
        };
        assert_eq!(
            wire(EventKind::TreeStarted, None, json!({"tasks": 2})),
            json!({"type": "progress", "task_id": "root", "status": "in_progress", "progress": 0.0,
                "message": "Task tree execution started"})
        );
        assert_eq!(
            wire(EventKind::TaskStarted, Some("a"), Value::Null),
            json!({"type": "task_start", "task_id": "a", "status": "in_progress"})
        );
        assert_eq!(
            wire(EventKind::TaskProgress, Some("a"), json!({"fraction": 0.5, "message": "half"})),
            json!({"type": "progress", "task_id": "a", "status": "in_progress", "progress": 0.5, "message": "half"})
        );
        assert_eq!(
            wire(EventKind::TaskCompleted, Some("a"), json!({"result": null, "receipt": {}})),
            json!({"type": "task_completed", "task_id": "a", "status": "completed", "result": null, "final": true})
        );
        let error = TaskError::new(FailureKind::Permanent, "no", "It cannot");
        let failed = wire(EventKind::TaskFailed, Some("root"), json!({ "error": error }));
        assert_eq!((&failed["error"], &failed["final"]), (&json!("It cannot"), &json!(true)));
        assert_eq!(failed["error_info"]["code"], "no");
        assert_eq!(
            wire(EventKind::TreeFailed, None, Value::Null),
            json!({"type": "final", "task_id": "root", "status": "failed", "result": {"progress": 0.5},
                "error": "Tree finished with status: failed", "final": true})
        );
        assert_eq!(translator.stream_end(), r#"{"task_id":"root","type":"stream_end"}"#);
    }

    #[test]
    fn a_completed_tree_has_no_error() {
        let mut translator = Translator::new(TaskId::from("root"));
        let end = event(EventKind::TreeCompleted, None, Value::Null);
        let wire = serde_json::to_value(translator.translate(&end)).unwrap();
        assert_eq!((&wire["result"]["progress"], &wire["error"]), (&json!(1.0), &Value::Null));
    }
}
