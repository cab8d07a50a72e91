//! Accepting trees.

use apflow_core::draft::read_all;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, HookPoint};
use apflow_core::store::Inserted;
use apflow_core::task::Task;
use apflow_core::tree::{NewTask, NewTree, assemble};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::hooks;
use crate::usecase::execute::Started;

impl Engine {
    /// Writes a tree (an array of task objects, or one) without executing it, and gives its tasks in pre-order.
    ///
    /// # Errors
    /// What is wrong with the tasks; then nothing is written.
    pub async fn create(&self, tasks: Value) -> Result<Vec<Task>> {
        let (tree, _) = self.insert(tasks, false).await?;
        self.0.store.subtree(tree.root()).await
    }

    /// Writes a tree and starts it in the same transaction.
    ///
    /// # Errors
    /// What is wrong with the tasks; then nothing is written.
    pub async fn submit(&self, tasks: Value) -> Result<Started> {
        let before = self.0.store.last_seq().await?;
        let (tree, inserted) = self.insert(tasks, true).await?;
        let root = tree.root().clone();
        let execution = inserted.execution.unwrap_or(1);
        Ok(Started { tree: inserted.tree, tree_id: tree.id, root, execution, started_seq: before })
    }

    /// Checks a tree as [`Engine::create`] does, and beyond that that every executor is there; writes nothing.
    ///
    /// # Errors
    /// What is wrong with the tasks; `ExecutorNotFound` for the first executor that no plugin provides.
    pub fn check(&self, tasks: Value) -> Result<()> {
        let tree = assemble(read_all(tasks, self.0.options.limits)?, self.0.now())?;
        let catalog = self.catalog();
        self.check_inputs(&catalog, &tree)?;
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
        let shared = &self.0;
        let now = shared.now();
        let tree = assemble(read_all(tasks, shared.options.limits)?, now)?;
        let catalog = self.catalog();
        self.check_inputs(&catalog, &tree)?;
        if catalog.listens(HookPoint::TreeCreated) {
            let root = &tree.tasks[0];
            let subject = json!({
                "name": root.name, "user_id": tree.user_id, "priority": root.priority, "tasks": tree.tasks.len(),
                "params": root.params.value(), "metadata": root.metadata.as_ref().map(Json::value),
            });
            let event = hooks::tree_event(HookPoint::TreeCreated, now, tree.id.clone(), subject);
            hooks::tree_created(&catalog, event).await?;
        }
        let inserted = shared.store.insert_tree(&tree, execute, now).await?;
        shared.events.written(Vec::new());
        if tree.schedule.is_some() {
            shared.schedules.ring();
        }
        if execute {
            self.started(&tree.id);
        }
        Ok((tree, inserted))
    }

    /// Inputs that are already complete must fit the executor's schema. What depends on other tasks is checked before
    /// it runs, and so is what names an executor that is not loaded here.
    fn check_inputs(&self, catalog: &Catalog, tree: &NewTree) -> Result<()> {
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
