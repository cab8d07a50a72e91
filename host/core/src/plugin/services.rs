//! What a plugin may ask of the host beside computing: what belongs to the run it is in (progress, checkpoint, child tasks), and
//! what belongs to the plugin (state, secrets). The sandbox checks grants and limits; who implements these does the work.

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, ErrorCode, Result, TaskError};
use crate::id::TaskId;
use crate::json::Json;
use crate::task::TaskStatus;

/// The run that an executor is called for. The engine makes one for each attempt; what it promises holds as long as the attempt
/// has its lease.
#[async_trait]
pub trait RunContext: Send + Sync + 'static {
    /// How far the run has come: `fraction` lies between 0 and 1. Reports may be merged.
    fn report(&self, fraction: f64, message: Option<String>, partial: Option<Json>);

    /// The newest checkpoint of this task in this execution; none before the first one.
    ///
    /// # Errors
    /// The store's.
    async fn load_checkpoint(&self) -> Result<Option<Json>> {
        Err(not_offered("checkpoint"))
    }

    /// Replaces the checkpoint; it is durable when this returns. None removes it.
    ///
    /// # Errors
    /// `LeaseLost` if the attempt is no longer this host's, or the store's.
    async fn save_checkpoint(&self, data: Option<Json>) -> Result<()> {
        let _ = data;
        Err(not_offered("checkpoint"))
    }

    /// Accepts a tree (an array of task objects, or one) as a child of the running task and starts it. The same key in the same
    /// execution of the task gives the same tree.
    ///
    /// # Errors
    /// What is wrong with the tasks, `IdempotencyConflict`, or `LimitExceeded` beyond `limits`.
    async fn submit_child(&self, tree: Json, idempotency_key: &str, limits: ChildLimits) -> Result<TaskId> {
        let _ = (tree, idempotency_key, limits);
        Err(not_offered("tasks"))
    }

    /// Waits for the end of a tree that [`RunContext::submit_child`] gave. The run holds no slot of the host while it waits.
    ///
    /// # Errors
    /// `TaskNotFound` if the running task has no such child.
    async fn await_child(&self, root: &TaskId) -> Result<ChildEnd> {
        let _ = root;
        Err(not_offered("tasks"))
    }
}

/// How many child trees a plugin may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildLimits {
    /// Trees that one execution of a task may submit.
    pub count: u32,
    /// Levels of trees below trees; 1 means that a child has no children.
    pub depth: u32,
}

impl ChildLimits {
    /// Whether a task that has `depth` levels of trees above it and `children` already may have another one.
    ///
    /// # Errors
    /// `LimitExceeded`.
    pub fn check(self, depth: u32, children: u32) -> Result<()> {
        let refuse = |limit: &str, most: u32, what: &str| {
            let text = format!("{what}: at most {most} (plugins.<name>.limits.{limit})");
            Err(Error::new(ErrorCode::LimitExceeded, text).with("limit", limit).with("most", most))
        };
        if depth >= self.depth {
            return refuse("child_depth", self.depth, "Child trees are nested too deeply");
        }
        if children >= self.count {
            return refuse("child_trees", self.count, "The task has submitted too many child trees");
        }
        Ok(())
    }
}

/// How a child tree ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildEnd {
    /// Of the root.
    pub status: TaskStatus,
    /// The root's result.
    pub result: Option<Json>,
    /// The root's error.
    pub error: Option<TaskError>,
}

/// Key-value state of plugins, shared by all instances and hosts and kept over restarts.
#[async_trait]
pub trait PluginState: Send + Sync + fmt::Debug + 'static {
    /// The value of a key; none if it is not set.
    ///
    /// # Errors
    /// The store's.
    async fn get(&self, plugin: &str, key: &str) -> Result<Option<StateEntry>>;

    /// Writes a key, or removes it (`value` is none), if it is as `expected`; gives whether it was. `most_keys` is the number of
    /// keys that the plugin may have.
    ///
    /// # Errors
    /// `LimitExceeded` if it would have too many, or the store's.
    async fn write(
        &self,
        plugin: &str,
        key: &str,
        expected: Expected,
        value: Option<Json>,
        most_keys: u32,
    ) -> Result<bool>;
}

/// A value of [`PluginState`].
#[derive(Debug, Clone, PartialEq)]
pub struct StateEntry {
    /// The value.
    pub value: Json,
    /// Changes with every write, and is never the same again for this key.
    pub version: u64,
}

/// What a write needs to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// That the key is not set.
    Absent,
    /// This version.
    Version(u64),
}

/// Where the values of secrets come from.
#[async_trait]
pub trait SecretSource: Send + Sync + fmt::Debug + 'static {
    /// The value for a reference: `env:NAME`, `file:NAME` or `PROVIDER:…`.
    ///
    /// # Errors
    /// `InvalidParams` where the reference is malformed, or nothing is found; the message does not hold any value.
    async fn secret(&self, reference: &str) -> Result<String>;
}

/// A host without state and secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoServices;

#[async_trait]
impl PluginState for NoServices {
    async fn get(&self, _: &str, _: &str) -> Result<Option<StateEntry>> {
        Err(not_offered("state"))
    }

    async fn write(&self, _: &str, _: &str, _: Expected, _: Option<Json>, _: u32) -> Result<bool> {
        Err(not_offered("state"))
    }
}

#[async_trait]
impl SecretSource for NoServices {
    async fn secret(&self, _: &str) -> Result<String> {
        Err(not_offered("secrets"))
    }
}

fn not_offered(interface: &str) -> Error {
    Error::new(ErrorCode::PluginError, format!("`{interface}` is not offered here"))
        .with("interface", interface)
}
