//! What the store keeps for plugins: key-value state, checkpoints of tasks, and which trees are children of which tasks.

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, ErrorCode, Result};
use crate::id::{TaskId, TaskKey, Token, TreeKey};
use crate::json::Json;
use crate::plugin::services::{Expected, StateEntry};

/// A run, as its holder knows it. Verbs that take one refuse it with `LeaseLost` if the task is not running with that token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunRef {
    /// The task.
    pub key: TaskKey,
    /// The fencing token of the claim.
    pub token: Token,
}

impl RunRef {
    /// The refusal of what a run that is no longer held asks for.
    pub fn lost(self) -> Error {
        let text = "The run is no longer this host's: its lease was lost or its task cancelled";
        Error::new(ErrorCode::LeaseLost, text).with("token", self.token.0)
    }
}

/// A write of state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateWrite {
    /// Whose state.
    pub plugin: String,
    /// The key.
    pub key: String,
    /// What must be there.
    pub expected: Expected,
    /// The new value; none removes the key.
    pub value: Option<Json>,
    /// The new version: a number that was never used for this key.
    pub version: u64,
    /// Keys that the plugin may have.
    pub most_keys: u32,
}

/// What became of a [`StateWrite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateWritten {
    /// It is written.
    Done,
    /// Something else was there than was expected; nothing is written.
    Unexpected,
    /// The plugin has as many keys as it may have; nothing is written.
    Full,
}

/// Where a running task stands among tasks and their child trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildFacts {
    /// Levels of trees above the task's own; 0 if its tree is nobody's child.
    pub depth: u32,
    /// Child trees of the task's present execution.
    pub children: u32,
    /// The number of that execution.
    pub execution: u32,
}

/// What plugins and their runs keep.
#[async_trait]
pub trait PluginStore: Send + Sync + fmt::Debug + 'static {
    /// A value of a plugin's state.
    async fn plugin_state(&self, plugin: &str, key: &str) -> Result<Option<StateEntry>>;

    /// Writes state. Hosts that write new keys at the same moment may each write one more than the plugin may have.
    async fn write_state(&self, write: &StateWrite) -> Result<StateWritten>;

    /// The newest checkpoint of the run's task in its present execution.
    async fn checkpoint(&self, run: RunRef) -> Result<Option<Json>>;

    /// Replaces the checkpoint, or removes it.
    ///
    /// # Errors
    /// `LeaseLost`.
    async fn save_checkpoint(&self, run: RunRef, data: Option<Json>) -> Result<()>;

    /// Where the run's task stands.
    ///
    /// # Errors
    /// `LeaseLost`.
    async fn child_facts(&self, run: RunRef) -> Result<ChildFacts>;

    /// Makes a tree the child of the run's task; nothing happens if it is somebody's child.
    ///
    /// # Errors
    /// `LeaseLost`.
    async fn adopt(&self, run: RunRef, tree: TreeKey) -> Result<()>;

    /// Whether the tree with that root is a child of the task.
    async fn is_child(&self, task: TaskKey, root: &TaskId) -> Result<bool>;

    /// The roots of those children of these tasks whose executions have not ended.
    async fn running_children(&self, tasks: &[TaskKey]) -> Result<Vec<TaskId>>;

    /// The run goes on without its places at gates, which others may have.
    async fn free_places(&self, run: RunRef) -> Result<()>;
}
