//! Schedules of trees: what is planned, what has been, and what outside schedulers report. They are set by creating and
//! updating tasks.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::id::TaskId;
use apflow_core::schedule::ical::{CalendarInfo, Entry, document};
use apflow_core::schedule::{ScheduleFilter, SchedulePatch, ScheduleRun, no_schedule};
use apflow_core::store::{CompleteSchedule, Page, TaskPatch};
use apflow_core::task::Task;

use crate::engine::Engine;

impl Engine {
    /// Roots with a schedule, by next due time.
    ///
    /// # Errors
    /// The store's.
    pub async fn schedules(&self, filter: ScheduleFilter, page: Page) -> Result<Vec<Task>> {
        self.0.store.schedules(filter, page).await
    }

    /// What was due by then, or is now.
    ///
    /// # Errors
    /// The store's.
    pub async fn due_schedules(
        &self,
        before: Option<Timestamp>,
        user_id: Option<String>,
        limit: u32,
    ) -> Result<Vec<Task>> {
        let due_by = Some(before.unwrap_or_else(|| self.0.now()));
        let filter = ScheduleFilter { due_by, user_id, ..ScheduleFilter::default() };
        self.0.store.schedules(filter, Page { limit, offset: 0 }).await
    }

    /// Computes the next due time of a schedule anew, as of a point in time or of now.
    ///
    /// # Errors
    /// `TaskNotFound`; `ScheduleInvalid` if the task has no schedule.
    pub async fn begin_schedule(&self, task: &TaskId, from: Option<Timestamp>) -> Result<Task> {
        let now = self.0.now();
        let change = SchedulePatch { begin_at: Some(from.unwrap_or(now)), ..SchedulePatch::default() };
        let patch = TaskPatch { schedule: Some(change), ..TaskPatch::default() };
        let task = self.0.store.update(task, patch, now).await?;
        self.0.events.written(Vec::new());
        self.0.schedules.ring();
        Ok(task)
    }

    /// Counts a run that was made outside of this host.
    ///
    /// # Errors
    /// `TaskNotFound`; `ScheduleInvalid` if the task has no schedule; `AlreadyExecuting` while this host runs the tree
    /// for its schedule.
    pub async fn complete_schedule(
        &self,
        task: &TaskId,
        failure: Option<String>,
        advance: bool,
    ) -> Result<Task> {
        let request = CompleteSchedule { task: task.clone(), failure, advance, now: self.0.now() };
        let task = self.0.store.complete_schedule(request).await?;
        self.0.schedules.ring();
        Ok(task)
    }

    /// What became of the due times of a schedule, the newest first.
    ///
    /// # Errors
    /// `TaskNotFound`; `ScheduleInvalid` if the task has no schedule and never had one.
    pub async fn schedule_runs(&self, task: &TaskId, page: Page) -> Result<Vec<ScheduleRun>> {
        let runs = self.0.store.schedule_runs(task, page).await?;
        if runs.is_empty() {
            let found = self.get(task).await?.ok_or_else(|| Error::task_not_found(task))?;
            if !found.schedule.is_set() {
                return Err(no_schedule(task));
            }
        }
        Ok(runs)
    }

    /// Schedules as an iCalendar document, with the number of events in it.
    ///
    /// # Errors
    /// The store's.
    pub async fn export_schedules(
        &self,
        filter: ScheduleFilter,
        page: Page,
        calendar_name: String,
        base_url: Option<String>,
    ) -> Result<(String, usize)> {
        let tasks = self.0.store.schedules(filter, page).await?;
        let entries: Vec<Entry<'_>> = tasks
            .iter()
            .map(|task| Entry {
                id: task.id.as_str(),
                name: &task.name,
                description: task.description.as_deref(),
                schedule: &task.schedule,
            })
            .collect();
        document(&CalendarInfo { name: calendar_name, base_url, now: self.0.now() }, &entries)
    }
}
