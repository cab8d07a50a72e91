//! What runs at the moment: simple views over lists and counts.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::id::TaskId;
use apflow_core::store::{Page, TaskFilter};
use apflow_core::task::{Task, TaskStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::params::{Id, IdList, Limit};
use crate::Engine;

/// Whose running tasks, and how many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunningListParams {
    /// Only of this owner.
    user_id: Option<String>,
    /// At most so many; default 100.
    limit: Option<Limit>,
    /// Skip so many; default 0.
    offset: Option<u32>,
}

fn running(user_id: Option<String>) -> TaskFilter {
    TaskFilter { user_id, statuses: vec![TaskStatus::InProgress], root_only: false }
}

pub(super) async fn list(engine: &Engine, params: RunningListParams) -> Result<Vec<Task>> {
    let page = Page { limit: params.limit.unwrap_or_default().0, offset: params.offset.unwrap_or_default() };
    engine.list(running(params.user_id), page).await
}

/// Whose running tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunningCountParams {
    /// Only of this owner.
    user_id: Option<String>,
}

/// How many tasks run.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RunningCount {
    /// Tasks that are `in_progress`.
    count: u64,
    /// The owner that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

pub(super) async fn count(engine: &Engine, params: RunningCountParams) -> Result<RunningCount> {
    let counts = engine.count(running(params.user_id.clone())).await?;
    Ok(RunningCount { count: counts.in_progress, user_id: params.user_id })
}

/// Which tasks to look at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunningStatusParams {
    /// Several tasks. `context_ids` is accepted too.
    #[serde(alias = "context_ids")]
    task_ids: Option<IdList>,
    /// One task, instead of `task_ids`. `id` is accepted too.
    #[serde(alias = "id")]
    task_id: Option<Id>,
}

/// Where one task stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RunningStatus {
    /// The task.
    #[schemars(with = "String")]
    task_id: TaskId,
    /// The same id, as agent clients call it.
    #[schemars(with = "String")]
    context_id: TaskId,
    /// The task's status, or `not_found`.
    status: &'static str,
    /// 0.0 to 1.0.
    progress: f64,
    /// The error message of the newest attempt.
    error: Option<String>,
    /// Whether a node runs it.
    is_running: bool,
    /// When the newest attempt began.
    #[schemars(with = "Option<String>")]
    started_at: Option<Timestamp>,
    /// When anything last changed.
    #[schemars(with = "Option<String>")]
    updated_at: Option<Timestamp>,
}

pub(super) async fn status(engine: &Engine, params: RunningStatusParams) -> Result<Vec<RunningStatus>> {
    let ids = match (params.task_ids, params.task_id) {
        (Some(list), None) => list.0,
        (None, Some(Id(id))) => vec![id],
        (None, None) => {
            return Err(Error::invalid_params("task_ids", "it is missing; name the tasks to look at"));
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid_params("task_id", "give either `task_ids` or `task_id`, not both"));
        }
    };
    let tasks = engine.get_many(&ids).await?;
    Ok(ids.into_iter().zip(tasks).map(|(id, task)| task.map_or_else(|| not_found(id), found)).collect())
}

fn found(task: Task) -> RunningStatus {
    RunningStatus {
        context_id: task.id.clone(),
        task_id: task.id,
        status: task.status.as_str(),
        progress: task.progress,
        error: task.error.map(|error| error.message),
        is_running: task.status == TaskStatus::InProgress,
        started_at: task.started_at,
        updated_at: Some(task.updated_at),
    }
}

fn not_found(id: TaskId) -> RunningStatus {
    RunningStatus {
        context_id: id.clone(),
        error: Some(format!("Task '{id}' not found")),
        task_id: id,
        status: "not_found",
        progress: 0.0,
        is_running: false,
        started_at: None,
        updated_at: None,
    }
}
