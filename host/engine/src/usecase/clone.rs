//! Clones: copies, links, archives.

use std::collections::HashMap;

use apflow_core::clone::{self, CloneMode, CloneRequest, NewClone, Selection};
use apflow_core::error::{Error, Result};
use apflow_core::id::TaskId;
use apflow_core::store::TaskPatch;
use apflow_core::task::{OriginType, Task};

use crate::engine::Engine;

impl Engine {
    /// Makes clones, or with `save: false` only says what would be made; gives their tasks in pre-order. An archive gives the
    /// tasks that are archived.
    ///
    /// # Errors
    /// `TaskNotFound`, `CannotClone`, `InvalidParams`, `LimitExceeded`; then nothing is written.
    pub async fn clone_tasks(&self, request: CloneRequest, save: bool) -> Result<Vec<Task>> {
        self.check_running()?;
        let state = self.0.store.tree_state(&request.task).await?;
        let root = state.ok_or_else(|| Error::task_not_found(&request.task))?.root;
        let tree = self.0.store.subtree(&root).await?;
        let selection = clone::select(&tree, &request)?;
        match request.mode {
            CloneMode::Archive => self.archive(&tree, &selection, &request, save).await,
            CloneMode::Copy | CloneMode::Link | CloneMode::Mixed => {
                let clone = self.prepare(&tree, &selection, &request).await?;
                if !save {
                    return Ok(clone::preview(&clone, self.0.now()));
                }
                self.ask_hooks(&clone.tree).await?;
                self.0.store.insert_clone(&clone, self.0.now()).await?;
                self.0.events.written(Vec::new());
                self.0.store.subtree(clone.tree.root()).await
            }
        }
    }

    async fn prepare(
        &self,
        tree: &[Task],
        selection: &Selection,
        request: &CloneRequest,
    ) -> Result<NewClone> {
        let links = selection.tasks.iter().map(|i| &tree[*i]).filter(|task| task.is_link);
        let originals = self.originals(links).await?;
        let clone = clone::build(tree, selection, &originals, request, self.0.now())?;
        clone.tree.check_size(self.0.options.limits)?;
        if request.changes != TaskPatch::default() {
            // What was accepted once is not checked again: the executor may have changed since.
            self.check_inputs(&self.catalog(), &clone.tree)?;
        }
        Ok(clone)
    }

    async fn archive(
        &self,
        tree: &[Task],
        selection: &Selection,
        request: &CloneRequest,
        save: bool,
    ) -> Result<Vec<Task>> {
        if request.changes != TaskPatch::default() {
            let text =
                "an archive is the task itself and cannot differ from it; leave it out, or make a copy";
            return Err(Error::invalid_params("reset_fields", text));
        }
        let tasks = selection.tasks.iter().map(|i| &tree[*i]);
        if !save {
            return Ok(tasks.map(|task| Task { origin_type: OriginType::Archive, ..task.clone() }).collect());
        }
        let ids: Vec<TaskId> = tasks.map(|task| task.id.clone()).collect();
        self.0.store.archive(&ids, self.0.now()).await?;
        self.0.events.written(Vec::new());
        Ok(self.0.store.get(&ids).await?.into_iter().flatten().collect())
    }

    /// What links read through to, by id.
    pub(crate) async fn originals<'t>(
        &self,
        links: impl Iterator<Item = &'t Task>,
    ) -> Result<HashMap<TaskId, Task>> {
        let mut ids: Vec<TaskId> = links.filter_map(|link| link.original_task_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.0.store.get(&ids).await?;
        Ok(found.into_iter().flatten().map(|task| (task.id.clone(), task)).collect())
    }

    /// Replaces links by what they read through to.
    pub(crate) async fn resolve(&self, tasks: Vec<Task>) -> Result<Vec<Task>> {
        let originals = self.originals(tasks.iter().filter(|task| task.is_link)).await?;
        Ok(match originals.is_empty() {
            true => tasks,
            false => tasks.into_iter().map(|task| through(task, &originals)).collect(),
        })
    }
}

/// What a link reads through to, if it is one and its original is among these.
pub(crate) fn through(task: Task, originals: &HashMap<TaskId, Task>) -> Task {
    match task.original_task_id.as_ref().and_then(|id| originals.get(id)) {
        Some(original) if task.is_link => clone::read_through(task, original),
        _ => task,
    }
}
