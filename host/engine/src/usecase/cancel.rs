//! Cancelling and deleting.

use apflow_core::error::Result;
use apflow_core::id::TaskId;
use apflow_core::store::{CancelRequest, CancelResult, Deleted};

use crate::engine::Engine;
use crate::hooks;

impl Engine {
    /// Cancels tasks and, with `cascade`, what is below them and what requires them. Running components are interrupted;
    /// what is cancelled stays cancelled. One entry for each id.
    ///
    /// # Errors
    /// The store's.
    pub async fn cancel(
        &self,
        ids: Vec<TaskId>,
        cascade: bool,
        message: Option<String>,
    ) -> Result<Vec<(TaskId, CancelResult)>> {
        let message = message.unwrap_or_else(|| "Cancelled by user".into());
        let request = CancelRequest { tasks: ids, cascade, message, now: self.0.now() };
        let done = self.0.store.cancel(request).await?;
        for (key, token) in done.interrupted {
            self.0.runs.interrupt(key, token);
        }
        if !done.ended.is_empty() {
            hooks::trees_ended(&self.0, &done.ended);
            self.0.schedules.executions_ended();
        }
        self.0.events.written(done.ended);
        self.0.work_appeared();
        Ok(done.results)
    }

    /// Deletes a pending task with everything below it.
    ///
    /// # Errors
    /// `TaskNotFound`; `CannotDelete` with all reasons.
    pub async fn delete(&self, id: &TaskId) -> Result<Deleted> {
        let deleted = self.0.store.delete(id, self.0.now()).await?;
        self.0.events.written(Vec::new());
        Ok(deleted)
    }
}
