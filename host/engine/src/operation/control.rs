//! Stopping, changing and deleting tasks.

use std::collections::HashSet;

use apflow_core::clone::check_mutable;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::TaskId;
use apflow_core::store::CancelResult;
use apflow_core::task::{OriginType, Task, TaskStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::params::{Id, IdList, TaskRef};
use super::shape::TaskChanges;
use crate::Engine;

/// Which tasks to cancel, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelParams {
    /// Several tasks. `context_ids` is accepted too.
    #[serde(alias = "context_ids")]
    task_ids: Option<IdList>,
    /// One task, instead of `task_ids`. `id` is accepted too.
    #[serde(alias = "id")]
    task_id: Option<Id>,
    /// True (default): what is below these tasks and what requires them is cancelled too.
    cascade: Option<bool>,
    /// Changes the message only: running tasks are interrupted in any case. Default false.
    force: Option<bool>,
    /// Becomes the error message of what is cancelled. `message` is accepted too.
    #[serde(alias = "message")]
    error_message: Option<String>,
}

/// What became of one task.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CancelEntry {
    /// The task.
    #[schemars(with = "String")]
    task_id: TaskId,
    /// `cancelled` or `failed`.
    status: &'static str,
    /// The same for people.
    message: String,
    /// As in the request.
    force: bool,
    /// The status of a task that could not be cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_status: Option<&'static str>,
    /// Why it could not be cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The stable code of that: `invalid_transition`, `task_immutable` or `task_not_found`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

pub(super) async fn cancel(engine: &Engine, params: CancelParams) -> Result<Vec<CancelEntry>> {
    let mut ids = match (params.task_ids, params.task_id) {
        (Some(list), None) => list.0,
        (None, Some(Id(id))) => vec![id],
        (None, None) => {
            return Err(Error::invalid_params("task_ids", "it is missing; name the tasks to cancel"));
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid_params("task_id", "give either `task_ids` or `task_id`, not both"));
        }
    };
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let force = params.force.unwrap_or(false);
    let message = params.error_message.or_else(|| force.then(|| "Force cancelled by user".into()));
    let results = engine.cancel(ids, params.cascade.unwrap_or(true), message).await?;
    let archived = archived(engine, &results).await?;
    Ok(results
        .into_iter()
        .map(|(id, result)| {
            let is_archived = archived.contains(&id);
            entry(id, &result, is_archived, force)
        })
        .collect())
}

/// Which of the finished tasks are archived: there is more to say about them.
async fn archived(engine: &Engine, results: &[(TaskId, CancelResult)]) -> Result<HashSet<TaskId>> {
    let finished = results.iter().filter(|(_, result)| matches!(result, CancelResult::Finished(_)));
    let ids: Vec<TaskId> = finished.map(|(id, _)| id.clone()).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let tasks = engine.get_many(&ids).await?.into_iter().flatten();
    Ok(tasks.filter(|task| task.origin_type == OriginType::Archive).map(|task| task.id).collect())
}

fn entry(task_id: TaskId, result: &CancelResult, is_archived: bool, force: bool) -> CancelEntry {
    let (error, current_status) = match result {
        CancelResult::Cancelled => {
            let message = format!("Task '{task_id}' is cancelled");
            return CancelEntry {
                task_id,
                status: TaskStatus::Cancelled.as_str(),
                message,
                force,
                current_status: None,
                error: None,
                code: None,
            };
        }
        CancelResult::Finished(status) => {
            let text = format!("Task '{task_id}' is already {status}, cannot cancel");
            let finished = Error::new(ErrorCode::InvalidTransition, text);
            let frozen = if is_archived { OriginType::Archive } else { OriginType::Create };
            (check_mutable(&task_id, frozen, "cancelled").err().unwrap_or(finished), Some(status.as_str()))
        }
        CancelResult::NotFound => (Error::task_not_found(&task_id), None),
    };
    CancelEntry {
        task_id,
        status: TaskStatus::Failed.as_str(),
        error: Some(error.message.clone()),
        message: error.message,
        code: Some(error.code.as_str()),
        force,
        current_status,
    }
}

/// Which task, and what is new.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct UpdateParams {
    /// Id of the task. `id` is accepted too.
    #[serde(alias = "id")]
    task_id: Id,
    #[serde(flatten)]
    #[schemars(with = "TaskChanges")]
    changes: Map<String, Value>,
}

pub(super) async fn update(engine: &Engine, params: UpdateParams) -> Result<Task> {
    engine.update(&params.task_id.0, params.changes).await
}

/// What was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DeletedTasks {
    /// Always true; anything else is an error.
    success: bool,
    /// The task.
    #[schemars(with = "String")]
    task_id: TaskId,
    /// Tasks that are gone, the named one included.
    deleted_count: u32,
    /// Tasks below it that are gone.
    children_deleted: u32,
}

pub(super) async fn delete(engine: &Engine, params: TaskRef) -> Result<DeletedTasks> {
    let task_id = params.task_id.0;
    let deleted = engine.delete(&task_id).await?.deleted;
    Ok(DeletedTasks {
        success: true,
        task_id,
        deleted_count: deleted,
        children_deleted: deleted.saturating_sub(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_why_not() {
        let entry = |result| serde_json::to_value(entry(TaskId::from("t"), &result, false, true)).unwrap();
        assert_eq!(entry(CancelResult::Cancelled)["status"], "cancelled");
        let finished = entry(CancelResult::Finished(TaskStatus::Completed));
        assert_eq!(finished["message"], "Task 't' is already completed, cannot cancel");
        assert_eq!(
            (&finished["status"], &finished["current_status"]),
            (&"failed".into(), &"completed".into())
        );
        assert_eq!(finished["code"], "invalid_transition");
        let archived = super::entry("t".into(), &CancelResult::Finished(TaskStatus::Completed), true, false);
        assert_eq!((archived.code, archived.current_status), (Some("task_immutable"), Some("completed")));
        let unknown = entry(CancelResult::NotFound);
        assert_eq!((&unknown["error"], unknown.get("current_status")), (&"Task 't' not found".into(), None));
    }
}
