//! `tasks.scheduled.*`: what is planned, what is due, what has been, and calendars.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::schedule::{ScheduleFilter, ScheduleRun, ScheduleType};
use apflow_core::store::Page;
use apflow_core::task::Task;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::params::{Id, Limit, StatusList};
use crate::Engine;

/// A point in time, in the schema a string.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Time(#[schemars(with = "String")] Timestamp);

/// The type of a schedule, in the schema a string.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(with = "String")]
pub(super) struct Kind(ScheduleType);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ScheduleType::parse(&text).map(Self).ok_or_else(|| {
            let known: Vec<&str> = ScheduleType::ALL.iter().map(|kind| kind.as_str()).collect();
            D::Error::custom(format!("`{text}` is not a type of schedule; types are {}", known.join(", ")))
        })
    }
}

/// Which schedules, and how many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledListParams {
    /// True (default): only schedules in force.
    enabled_only: Option<bool>,
    /// Only of this owner.
    user_id: Option<String>,
    /// Only of this type: `once`, `interval`, `cron`, `daily`, `weekly` or `monthly`.
    schedule_type: Option<Kind>,
    /// Only where the root has this status, or one of these. `statuses` is accepted too.
    #[serde(alias = "statuses", default)]
    status: StatusList,
    /// At most so many; default 100.
    limit: Option<Limit>,
    /// Skip so many; default 0.
    offset: Option<u32>,
}

pub(super) async fn list(engine: &Engine, params: ScheduledListParams) -> Result<Vec<Task>> {
    let filter = ScheduleFilter {
        enabled_only: params.enabled_only.unwrap_or(true),
        user_id: params.user_id,
        schedule_type: params.schedule_type.map(|kind| kind.0),
        statuses: params.status.0,
        due_by: None,
    };
    engine.schedules(filter, page(params.limit, params.offset)).await
}

fn page(limit: Option<Limit>, offset: Option<u32>) -> Page {
    Page { limit: limit.unwrap_or_default().0, offset: offset.unwrap_or_default() }
}

/// By when, whose, and how many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledDueParams {
    /// Due by then (RFC 3339); default now.
    before: Option<Time>,
    /// Only of this owner.
    user_id: Option<String>,
    /// At most so many; default 100.
    limit: Option<Limit>,
}

pub(super) async fn due(engine: &Engine, params: ScheduledDueParams) -> Result<Vec<Task>> {
    let limit = params.limit.unwrap_or_default().0;
    engine.due_schedules(params.before.map(|time| time.0), params.user_id, limit).await
}

/// Which schedule, and from when on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledInitParams {
    /// The root. `id` is accepted too.
    #[serde(alias = "id")]
    task_id: Id,
    /// As of then (RFC 3339); default now.
    from_time: Option<Time>,
}

pub(super) async fn init(engine: &Engine, params: ScheduledInitParams) -> Result<Task> {
    engine.begin_schedule(&params.task_id.0, params.from_time.map(|time| time.0)).await
}

/// Which run, and how it ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledCompleteParams {
    /// The root. `id` is accepted too.
    #[serde(alias = "id")]
    task_id: Id,
    /// True (default): the run succeeded.
    success: Option<bool>,
    /// Why it did not.
    error: Option<String>,
    /// True (default): the schedule goes on to its next due time.
    calculate_next_run: Option<bool>,
}

pub(super) async fn complete(engine: &Engine, params: ScheduledCompleteParams) -> Result<Task> {
    let success = params.success.unwrap_or(true);
    if success && params.error.is_some() {
        return Err(Error::invalid_params("error", "a run that succeeded has none; set `success` to false"));
    }
    let failure = (!success).then(|| params.error.unwrap_or_else(|| "The run failed".into()));
    engine.complete_schedule(&params.task_id.0, failure, params.calculate_next_run.unwrap_or(true)).await
}

/// Whose history, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledHistoryParams {
    /// The root. `id` is accepted too.
    #[serde(alias = "id")]
    task_id: Id,
    /// At most so many; default 100.
    limit: Option<Limit>,
    /// Skip so many; default 0.
    offset: Option<u32>,
}

pub(super) async fn history(engine: &Engine, params: ScheduledHistoryParams) -> Result<Vec<ScheduleRun>> {
    engine.schedule_runs(&params.task_id.0, page(params.limit, params.offset)).await
}

/// Which schedules, and what the calendar says of itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportParams {
    /// Only of this owner.
    user_id: Option<String>,
    /// Only of this type.
    schedule_type: Option<Kind>,
    /// True (default): only schedules in force.
    enabled_only: Option<bool>,
    /// At most so many; default 100.
    limit: Option<Limit>,
    /// Name of the calendar; default `APFlow Tasks`.
    calendar_name: Option<String>,
    /// Where tasks are shown: events link to `<base_url>/tasks/<id>`.
    base_url: Option<String>,
}

/// A calendar.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Exported {
    /// The iCalendar document (RFC 5545).
    ical_content: String,
    /// Events in it: schedules that have a next due time.
    task_count: usize,
}

pub(super) async fn export_ical(engine: &Engine, params: ExportParams) -> Result<Exported> {
    let filter = ScheduleFilter {
        enabled_only: params.enabled_only.unwrap_or(true),
        user_id: params.user_id,
        schedule_type: params.schedule_type.map(|kind| kind.0),
        ..ScheduleFilter::default()
    };
    let name = params.calendar_name.unwrap_or_else(|| "APFlow Tasks".into());
    let page = page(params.limit, None);
    let (ical_content, task_count) = engine.export_schedules(filter, page, name, params.base_url).await?;
    Ok(Exported { ical_content, task_count })
}
