//! Reading.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::Event;
use apflow_core::gate::Gate;
use apflow_core::id::{NodeId, Seq, TaskId, TreeId};
use apflow_core::plugin::Plugins;
use apflow_core::store::{EventQuery, Page, Progress, StatusCounts, TaskFilter, TreeState};
use apflow_core::task::{Attempt, Task};
use futures::Stream;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::engine::Engine;

/// The longest that one collector is waited for by whoever pulls.
const RENDER: Duration = Duration::from_secs(3);

/// How the host is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// `healthy`, or `degraded` while the store does not answer.
    pub status: &'static str,
    /// A sentence.
    pub message: String,
    /// Version of the host.
    pub version: String,
    /// When this was asked.
    pub timestamp: Timestamp,
    /// Runs on this node.
    pub running_tasks_count: u32,
    /// Name of this node.
    pub node_id: NodeId,
    /// Loaded plugins.
    pub plugins: usize,
}

impl Engine {
    /// One task, or none.
    ///
    /// # Errors
    /// The store's, as for every reader here.
    pub async fn get(&self, id: &TaskId) -> Result<Option<Task>> {
        Ok(self.get_many(std::slice::from_ref(id)).await?.pop().flatten())
    }

    /// Tasks in the order of `ids`.
    ///
    /// # Errors
    /// The store's.
    pub async fn get_many(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        self.0.store.get(ids).await
    }

    /// A task and everything below it in pre-order, links read through to their originals; empty if there is no such
    /// task.
    ///
    /// # Errors
    /// The store's.
    pub async fn subtree(&self, id: &TaskId) -> Result<Vec<Task>> {
        self.resolve(self.0.store.subtree(id).await?).await
    }

    /// Hands over a task and everything below it in pre-order, task by task, links as they are stored; none if there is no
    /// such task.
    ///
    /// # Errors
    /// The store's, or the first that `each` gives.
    pub(crate) async fn each_below(
        &self,
        id: &TaskId,
        each: &mut (dyn FnMut(Task) -> Result<()> + Send),
    ) -> Result<()> {
        self.0.store.each_below(id, each).await
    }

    /// How far a task and everything below it have come.
    ///
    /// # Errors
    /// `TaskNotFound`.
    pub async fn progress(&self, id: &TaskId) -> Result<Progress> {
        self.0.store.progress(id).await?.ok_or_else(|| Error::task_not_found(id))
    }

    /// The children of a task by priority.
    ///
    /// # Errors
    /// The store's.
    pub async fn children(&self, id: &TaskId) -> Result<Vec<Task>> {
        self.0.store.children(id).await
    }

    /// Tasks, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, filter: TaskFilter, page: Page) -> Result<Vec<Task>> {
        self.0.store.list(filter, page).await
    }

    /// Tasks by status.
    ///
    /// # Errors
    /// The store's.
    pub async fn count(&self, filter: TaskFilter) -> Result<StatusCounts> {
        self.0.store.count(filter).await
    }

    /// The attempts at a task, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn attempts(&self, id: &TaskId) -> Result<Vec<Attempt>> {
        self.0.store.attempts(id).await
    }

    /// The state of the tree that a task is in.
    ///
    /// # Errors
    /// The store's.
    pub async fn tree_state(&self, id: &TaskId) -> Result<Option<TreeState>> {
        self.0.store.tree_state(id).await
    }

    /// The newest position of the log.
    ///
    /// # Errors
    /// The store's.
    pub async fn last_seq(&self) -> Result<Seq> {
        self.0.store.last_seq().await
    }

    /// The position up to which the log has been removed.
    ///
    /// # Errors
    /// The store's.
    pub async fn log_start(&self) -> Result<Seq> {
        self.0.store.log_start().await
    }

    /// A part of the log.
    ///
    /// # Errors
    /// `EventsExpired` if events after that position have been removed; the store's.
    pub async fn read_events(&self, query: EventQuery) -> Result<Vec<Event>> {
        self.0.store.events(query).await
    }

    /// The log after a position, of one tree or of all, live and without end. `EventsExpired` ends it, if what comes next has
    /// been removed.
    pub fn events(
        &self,
        tree: Option<TreeId>,
        after: Seq,
    ) -> impl Stream<Item = Result<Event>> + Send + 'static {
        self.0.events.stream(Arc::clone(&self.0.store), tree, after)
    }

    /// Looks at the plugin folders again.
    ///
    /// # Errors
    /// `PluginError` where the folders cannot be read; single broken plugins are listed in the answer.
    pub async fn reload_plugins(&self) -> Result<Map<String, Value>> {
        self.0.plugins.reload().await.map_err(|error| Error::new(ErrorCode::PluginError, error.message))
    }

    /// Where plugins come from.
    pub(crate) fn plugins(&self) -> &dyn Plugins {
        &*self.0.plugins
    }

    /// The text of all collectors, one after another. One that is busy with its backend does not hold up the rest: a
    /// comment says that it was left out.
    ///
    /// # Errors
    /// `PluginError` naming the collector that failed.
    pub async fn render_metrics(&self) -> Result<String> {
        let catalog = self.catalog();
        let parts = catalog.collectors.iter().map(|one| timeout(RENDER, one.render()));
        let parts = futures::future::join_all(parts).await;
        let mut text = String::new();
        for (collector, part) in catalog.collectors.iter().zip(parts) {
            let name = collector.name();
            let part = part.unwrap_or_else(|_| Ok(format!("# {name} is busy and left out\n")));
            let part = part.map_err(|error| {
                Error::new(ErrorCode::PluginError, format!("Collector '{name}': {}", error.message))
            })?;
            text.push_str(&part);
            if !part.is_empty() && !part.ends_with('\n') {
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// The limits of executors and concurrency keys, by scope and name.
    ///
    /// # Errors
    /// The store's.
    pub async fn gates(&self) -> Result<Vec<Gate>> {
        self.0.store.gates().await
    }

    /// How the host is; asks the store.
    pub async fn health(&self) -> Health {
        let (status, message) = match self.0.store.last_seq().await {
            Ok(_) => ("healthy", "apflow is running".to_owned()),
            Err(error) => ("degraded", error.message),
        };
        Health {
            status,
            message,
            version: self.0.options.version.clone(),
            timestamp: self.0.now(),
            running_tasks_count: self.0.runs.active(),
            node_id: self.0.options.node.clone(),
            plugins: self.catalog().plugins.len(),
        }
    }
}
