//! Executing trees and waiting for them.

use std::time::Duration;

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, TaskId, TreeId, TreeKey};
use apflow_core::plugin::HookPoint;
use apflow_core::store::{EventQuery, ExecuteRequest, Execution, TreeEnd};
use apflow_core::task::TreeStatus;
use serde_json::json;
use tokio::time::sleep;

use crate::engine::Engine;
use crate::hooks;

/// Whoever waits looks again this often: the execution may end on another host of the same database, which nobody here
/// is told of.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An execution that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The tree.
    pub tree: TreeKey,
    /// Its public id.
    pub tree_id: TreeId,
    /// Its root.
    pub root: TaskId,
    /// Number of the execution.
    pub execution: u32,
    /// A position of the log before its first event.
    pub started_seq: Seq,
}

impl Engine {
    /// Starts a tree (by its root) or a task with what it depends on.
    ///
    /// # Errors
    /// `TaskNotFound`.
    pub async fn execute(&self, task: &TaskId, rerun_completed: bool) -> Result<Execution> {
        self.check_running()?;
        let request = ExecuteRequest { task: task.clone(), rerun_completed, now: self.0.now() };
        let execution = self.0.store.execute(request).await?;
        if let Execution::Started { tree_id, .. } = &execution {
            self.0.events.written(Vec::new());
            self.started(tree_id);
        }
        Ok(execution)
    }

    pub(crate) fn started(&self, tree_id: &TreeId) {
        self.0.work_appeared();
        self.0.outbox.work();
        self.0.deadlines.notify_one();
        let event = hooks::tree_event(HookPoint::TreeStarted, self.0.now(), tree_id.clone(), json!({}));
        hooks::tell(&self.0, event);
    }

    /// Waits until that execution of a tree has ended. `root` is any task of the tree.
    ///
    /// # Errors
    /// `TaskNotFound` if the tree is gone, `ShuttingDown` if the engine stops first.
    pub async fn wait(&self, tree: TreeKey, execution: u32, root: &TaskId) -> Result<TreeEnd> {
        let mut stopping = self.0.stopping();
        loop {
            // Registered before looking, so that an end in between is not missed.
            let end = self.0.events.wait(tree, execution);
            let state = self.0.store.tree_state(root).await?.ok_or_else(|| Error::task_not_found(root))?;
            if state.execution > execution {
                return self.logged_end(tree, state.tree_id, execution).await;
            }
            if state.status != TreeStatus::InProgress {
                return Ok(TreeEnd { tree, tree_id: state.tree_id, execution, status: state.status });
            }
            tokio::select! {
                biased;
                end = end => if let Some(end) = end.map_err(|_| stopped())? { return Ok(end) },
                _ = stopping.wait_for(|stop| *stop) => return Err(stopped()),
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// The end of an execution that another one has followed: the tree's own state is of that one.
    async fn logged_end(&self, tree: TreeKey, tree_id: TreeId, execution: u32) -> Result<TreeEnd> {
        let kinds = vec![EventKind::TreeCompleted, EventKind::TreeFailed, EventKind::TreeCancelled];
        let mut query =
            EventQuery { after: Seq(0), tree: Some(tree_id.clone()), user_id: None, kinds, limit: 500 };
        loop {
            let ends = self.0.store.events(query.clone()).await?;
            let Some(last) = ends.last().map(|event| event.seq) else {
                let text = format!("Execution {execution} of tree '{tree_id}' has no end in the log");
                return Err(Error::new(ErrorCode::Internal, text));
            };
            if let Some(status) =
                ends.iter().find(|end| end.attempt == execution).and_then(|end| end.kind.ended())
            {
                return Ok(TreeEnd { tree, tree_id, execution, status });
            }
            query.after = last;
        }
    }
}

fn stopped() -> Error {
    Error::new(
        ErrorCode::ShuttingDown,
        "The host stopped before the execution ended; it goes on when the host is back",
    )
}
