//! Reading: one task, its tree, lists, counts, and why a task is not running.

use apflow_core::error::{Error, Result};
use apflow_core::id::TaskId;
use apflow_core::store::{Page, StatusCounts, TaskFilter};
use apflow_core::task::{Attempt, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reply;
use super::nested::{TreeFormat, TreeText};
use super::params::{Id, Limit, StatusList, TaskRef};
use crate::usecase::clone::through;
use crate::{Engine, Explanation};

pub(super) async fn get(engine: &Engine, params: TaskRef) -> Result<Option<Task>> {
    engine.get(&params.task_id.0).await
}

/// Which tree, and how to write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeParams {
    /// Any task: what is below it belongs to the answer. `root_id` and `id` are accepted too.
    #[serde(alias = "root_id", alias = "id")]
    task_id: Id,
    /// `nested` (default) or `flat`.
    #[serde(default)]
    format: TreeFormat,
}

pub(super) async fn tree(engine: &Engine, params: TreeParams) -> Result<Reply> {
    let id = params.task_id.0;
    let mut text = TreeText::new(params.format);
    engine.each_below(&id, &mut |task| text.add(task)).await?;
    if text.is_empty() {
        return Err(Error::task_not_found(&id));
    }
    let originals = engine.originals(text.links()).await?;
    text.finish(|link| through(link, &originals)).map(Reply::Parts)
}

/// How far a task and everything below it have come.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProgressOf {
    /// The task.
    #[schemars(with = "String")]
    task_id: TaskId,
    /// 0.0 to 1.0: the mean of all tasks, where a completed one counts 1 and a running one what it has reported.
    progress: f64,
    #[serde(flatten)]
    #[schemars(with = "CountedStatuses")]
    counts: StatusCounts,
    /// All of these.
    total: u64,
}

pub(super) async fn progress(engine: &Engine, params: TaskRef) -> Result<ProgressOf> {
    let task_id = params.task_id.0;
    let progress = engine.progress(&task_id).await?;
    let (fraction, counts) = (progress.fraction(), progress.counts);
    Ok(ProgressOf { task_id, progress: fraction, total: counts.total(), counts })
}

/// Whose children.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChildrenParams {
    /// The parent. `task_id` and `id` are accepted too.
    #[serde(alias = "task_id", alias = "id")]
    parent_id: Id,
}

pub(super) async fn children(engine: &Engine, params: ChildrenParams) -> Result<Vec<Task>> {
    let id = params.parent_id.0;
    let children = engine.children(&id).await?;
    if children.is_empty() {
        must_exist(engine, &id).await?;
    }
    Ok(children)
}

pub(super) async fn attempts(engine: &Engine, params: TaskRef) -> Result<Vec<Attempt>> {
    let id = params.task_id.0;
    let attempts = engine.attempts(&id).await?;
    if attempts.is_empty() {
        must_exist(engine, &id).await?;
    }
    Ok(attempts)
}

async fn must_exist(engine: &Engine, id: &TaskId) -> Result<()> {
    engine.get(id).await?.map(drop).ok_or_else(|| Error::task_not_found(id))
}

pub(super) async fn explain(engine: &Engine, params: TaskRef) -> Result<Explanation> {
    engine.explain(&params.task_id.0).await
}

/// Which tasks, and how many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only of this owner.
    user_id: Option<String>,
    /// Only with this status, or one of these. `statuses` is accepted too.
    #[serde(alias = "statuses", default)]
    status: StatusList,
    /// True (default): only roots. False: all tasks.
    root_only: Option<bool>,
    /// At most so many; default 100.
    limit: Option<Limit>,
    /// Skip so many; default 0.
    offset: Option<u32>,
}

pub(super) async fn list(engine: &Engine, params: ListParams) -> Result<Vec<Task>> {
    let filter = TaskFilter {
        user_id: params.user_id,
        statuses: params.status.0,
        root_only: params.root_only.unwrap_or(true),
    };
    let page = Page { limit: params.limit.unwrap_or_default().0, offset: params.offset.unwrap_or_default() };
    engine.list(filter, page).await
}

/// Which tasks to count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CountParams {
    /// Only of this owner.
    user_id: Option<String>,
    /// True: only roots. Default false: all tasks.
    root_only: Option<bool>,
    /// Only with one of these statuses. `status` is accepted too.
    #[serde(alias = "status", default)]
    statuses: StatusList,
}

/// Tasks by status.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Counted {
    #[serde(flatten)]
    #[schemars(with = "CountedStatuses")]
    counts: StatusCounts,
    /// All of these.
    total: u64,
    /// The owner that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// True if only roots were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    root_only: Option<bool>,
}

/// One number for each status.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct CountedStatuses {
    pending: u64,
    in_progress: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
}

pub(super) async fn count(engine: &Engine, params: CountParams) -> Result<Counted> {
    let root_only = params.root_only.unwrap_or(false);
    let filter = TaskFilter { user_id: params.user_id.clone(), statuses: params.statuses.0, root_only };
    let counts = engine.count(filter).await?;
    Ok(Counted {
        total: counts.total(),
        counts,
        user_id: params.user_id,
        root_only: root_only.then_some(true),
    })
}
