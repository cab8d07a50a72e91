//! Accepting trees.

use apflow_core::clock::Timestamp;
use apflow_core::draft::read_all;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{Seq, TaskId, TreeId, TreeKey};
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, HookPoint};
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::store::Inserted;
use apflow_core::task::Task;
use apflow_core::tree::{NewTask, NewTree, assemble};
use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::hooks;
use crate::usecase::execute::Started;

/// Says which tree a key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipted {
    /// The key.
    pub idempotency_key: String,
    /// The tree.
    pub tree_id: TreeId,
    /// Its root.
    #[serde(rename = "root_task_id")]
    pub root: TaskId,
    /// Whether this request has created it; else it was there.
    pub created: bool,
}

impl Receipted {
    fn of(receipt: &Receipt, created: bool) -> Self {
        let Receipt { key, tree_id, root, .. } = receipt.clone();
        Self { idempotency_key: key, tree_id, root, created }
    }
}

impl Engine {
    /// Writes a tree (an array of task objects, or one) without executing it, and gives its tasks in pre-order.
    ///
    /// # Errors
    /// What is wrong with the tasks; then nothing is written.
    pub async fn create(&self, tasks: Value) -> Result<Vec<Task>> {
        let (tree, _) = self.insert(tasks, false).await?;
        self.0.store.subtree(tree.root()).await
    }

    /// Does the same once for a key of the owner of the tree: whoever sends the same tasks with the same key again gets the
    /// tree that there is.
    ///
    /// # Errors
    /// As [`Engine::create`]; `IdempotencyConflict` if the key was used for other tasks.
    pub async fn create_once(&self, tasks: Value, key: &str) -> Result<(Receipted, Vec<Task>)> {
        let (done, _) = self.insert_once(tasks, key, false).await?;
        let tasks = self.0.store.subtree(&done.root).await?;
        Ok((done, tasks))
    }

    /// Writes a tree and starts it in the same transaction.
    ///
    /// # Errors
    /// What is wrong with the tasks; then nothing is written.
    pub async fn submit(&self, tasks: Value) -> Result<Started> {
        let (tree, inserted) = self.insert(tasks, true).await?;
        let root = tree.root().clone();
        let execution = inserted.execution.unwrap_or(1);
        // A new tree has nothing in the log before this.
        Ok(Started { tree: inserted.tree, tree_id: tree.id, root, execution, started_seq: Seq(0) })
    }

    /// Does the same once for a key of the owner of the tree. The answer is always about the tree's first execution, also
    /// where that has ended.
    ///
    /// # Errors
    /// As [`Engine::submit`]; `IdempotencyConflict` if the key was used for other tasks.
    pub async fn submit_once(&self, tasks: Value, key: &str) -> Result<(Receipted, Started)> {
        let (done, tree) = self.insert_once(tasks, key, true).await?;
        let started = Started {
            tree,
            tree_id: done.tree_id.clone(),
            root: done.root.clone(),
            execution: 1,
            // The log of the tree is read from its beginning, as it may be an old one.
            started_seq: Seq(0),
        };
        Ok((done, started))
    }

    /// Checks a tree as [`Engine::create`] does, and beyond that that every executor is there; writes nothing.
    ///
    /// # Errors
    /// What is wrong with the tasks; `ExecutorNotFound` for the first executor that no plugin provides.
    pub fn check(&self, tasks: Value) -> Result<()> {
        let tree = self.read_tree(tasks, self.0.now())?;
        let catalog = self.catalog();
        for task in &tree.tasks {
            let id = task.executor.as_deref().unwrap_or_default();
            if !catalog.executors.contains_key(id) {
                let known: Vec<&String> = catalog.executors.keys().collect();
                let message = if id.is_empty() {
                    format!(
                        "Task '{}' names no executor: set 'executor'. Known executors: {known:?}",
                        task.name
                    )
                } else {
                    format!(
                        "Task '{}': executor '{id}' not found: no loaded plugin provides it. Known executors: {known:?}",
                        task.name
                    )
                };
                return Err(Error::new(ErrorCode::ExecutorNotFound, message)
                    .with("name", task.name.as_str())
                    .with("executor", id));
            }
        }
        Ok(())
    }

    async fn insert(&self, tasks: Value, execute: bool) -> Result<(NewTree, Inserted)> {
        self.check_running()?;
        let now = self.0.now();
        let tree = self.read_tree(tasks, now)?;
        self.ask_hooks(&tree).await?;
        let inserted = self.0.store.insert_tree(&tree, execute, now).await?;
        self.inserted(&tree, execute);
        Ok((tree, inserted))
    }

    async fn insert_once(&self, tasks: Value, key: &str, execute: bool) -> Result<(Receipted, TreeKey)> {
        self.check_running()?;
        let now = self.0.now();
        let operation = if execute { "tasks.execute" } else { "tasks.create" };
        let request = NewReceipt::new(key, operation, &tasks)?;
        let tree = self.read_tree(tasks, now)?;
        // Looked for first, so that hooks are asked once about a tree; the insert looks again.
        if let Some(known) = self.0.store.receipt(tree.user_id.as_deref(), key).await? {
            known.check(&request)?;
            return Ok((Receipted::of(&known, false), known.tree));
        }
        self.ask_hooks(&tree).await?;
        let done = self.0.store.insert_once(&tree, &request, execute, now).await?;
        if done.inserted.is_some() {
            self.inserted(&tree, execute);
        }
        Ok((Receipted::of(&done.receipt, done.inserted.is_some()), done.receipt.tree))
    }

    fn read_tree(&self, tasks: Value, now: Timestamp) -> Result<NewTree> {
        let limits = self.0.options.limits;
        let tree = assemble(read_all(tasks, limits)?, now)?;
        tree.check_size(limits)?;
        self.check_inputs(&self.catalog(), &tree)?;
        Ok(tree)
    }

    /// Asks the hooks whether a tree may be created.
    pub(super) async fn ask_hooks(&self, tree: &NewTree) -> Result<()> {
        let catalog = self.catalog();
        if !catalog.listens(HookPoint::TreeCreated, None) {
            return Ok(());
        }
        let root = &tree.tasks[0];
        let subject = json!({
            "name": root.name, "user_id": tree.user_id, "priority": root.priority, "tasks": tree.tasks.len(),
            "params": root.params.value(), "metadata": root.metadata.as_ref().map(Json::value),
        });
        let event = hooks::tree_event(HookPoint::TreeCreated, self.0.now(), tree.id.clone(), subject);
        hooks::tree_created(&catalog, event).await
    }

    fn inserted(&self, tree: &NewTree, execute: bool) {
        self.0.events.written(Vec::new());
        if tree.schedule.is_some() {
            self.0.schedules.ring();
        }
        if execute {
            self.started(&tree.id);
        }
    }

    /// Inputs that are already complete must fit the executor's schema. What depends on other tasks is checked before
    /// it runs, and so is what names an executor that is not loaded here.
    pub(super) fn check_inputs(&self, catalog: &Catalog, tree: &NewTree) -> Result<()> {
        for task in tree.tasks.iter().filter(|task| task.dependencies.is_empty()) {
            let Some(executor) = task.executor.as_ref().and_then(|id| catalog.executors.get(id)) else {
                continue;
            };
            self.0.schemas.check(executor, &task.inputs).map_err(|error| invalid_inputs(task, &error))?;
        }
        Ok(())
    }
}

fn invalid_inputs(task: &NewTask, error: &apflow_core::error::TaskError) -> Error {
    Error::new(ErrorCode::InvalidTask, format!("Task '{}': {}", task.name, error.message))
        .with("name", task.name.as_str())
        .with("field", "inputs")
        .with("pointer", error.pointer.clone())
}
