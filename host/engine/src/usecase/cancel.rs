//! Cancelling and deleting.

use std::sync::Arc;

use apflow_core::error::Result;
use apflow_core::id::{TaskId, TaskKey, Token};
use apflow_core::store::{CancelRequest, CancelResult, Deleted, TreeEnd};

use crate::engine::{Engine, Shared};
use crate::hooks;

/// Stops the runs of tasks that the store has taken out of their executions, and tells everyone.
pub(crate) fn withdrawn(shared: &Arc<Shared>, interrupted: Vec<(TaskKey, Token)>, ended: Vec<TreeEnd>) {
    shared.outbox.revoked(&interrupted);
    for (key, token) in interrupted {
        shared.runs.interrupt(key, token);
    }
    if !ended.is_empty() {
        shared.outbox.ended(&ended);
        hooks::trees_ended(shared, &ended);
        shared.schedules.executions_ended();
    }
    shared.events.written(ended);
    shared.work_appeared();
}

/// Cancels the child trees of runs that were stopped, and theirs.
pub(crate) async fn cancel_children(shared: &Arc<Shared>, mut runs: Vec<TaskKey>) -> Result<()> {
    while !runs.is_empty() {
        let tasks = shared.store.running_children(&runs).await?;
        if tasks.is_empty() {
            return Ok(());
        }
        let message = "The task that submitted it was stopped".to_owned();
        let request = CancelRequest { tasks, cascade: true, message, now: shared.now() };
        let done = shared.store.cancel(request).await?;
        runs = done.interrupted.iter().map(|(key, _)| *key).collect();
        withdrawn(shared, done.interrupted, done.ended);
    }
    Ok(())
}

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
        let runs: Vec<TaskKey> = done.interrupted.iter().map(|(key, _)| *key).collect();
        withdrawn(&self.0, done.interrupted, done.ended);
        cancel_children(&self.0, runs).await?;
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
