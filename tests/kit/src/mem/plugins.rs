//! What plugins keep.

use std::collections::BTreeMap;

use apflow_core::error::Result;
use apflow_core::id::{TaskId, TaskKey, TreeKey};
use apflow_core::json::Json;
use apflow_core::plugin::services::{Expected, StateEntry};
use apflow_core::store::{ChildFacts, RunRef, StateWrite, StateWritten};
use apflow_core::task::TreeStatus;

use super::rows::{Hold, Place, State};

/// State by plugin and key, checkpoints and child trees.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    state: BTreeMap<(String, String), StateEntry>,
    /// With the execution that wrote it.
    pub checkpoints: BTreeMap<TaskKey, (u32, Json)>,
    pub children: BTreeMap<TreeKey, Child>,
}

/// Whose child a tree is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub task: TaskKey,
    execution: u32,
    depth: u32,
}

impl Plugins {
    pub fn get(&self, plugin: &str, key: &str) -> Option<StateEntry> {
        self.state.get(&(plugin.to_owned(), key.to_owned())).cloned()
    }

    pub fn write(&mut self, write: &StateWrite) -> StateWritten {
        let place = (write.plugin.clone(), write.key.clone());
        let version = self.state.get(&place).map(|entry| entry.version);
        let fits = match write.expected {
            Expected::Any => true,
            Expected::Absent => version.is_none(),
            Expected::Version(expected) => version == Some(expected),
        };
        if write.value.is_some() && !matches!(write.expected, Expected::Version(_)) {
            let others = self.state.keys().filter(|one| one.0 == place.0 && **one != place).count();
            if others >= write.most_keys as usize {
                return StateWritten::Full;
            }
        }
        if !fits {
            return StateWritten::Unexpected;
        }
        match write.value.clone() {
            Some(value) => self.state.insert(place, StateEntry { value, version: write.version }),
            None => self.state.remove(&place),
        };
        StateWritten::Done
    }
}

/// The execution of the run's tree, if the run is held.
fn held(state: &State, run: RunRef) -> Result<u32> {
    let task = state.tasks.get(run.key.0).filter(|task| task.held_by(run.token).is_some());
    task.map(|task| state.trees[task.tree].execution).ok_or_else(|| run.lost())
}

pub(super) fn checkpoint(state: &State, run: RunRef) -> Result<Option<Json>> {
    let execution = held(state, run)?;
    let kept = state.plugins.checkpoints.get(&run.key).filter(|(of, _)| *of == execution);
    Ok(kept.map(|(_, data)| data.clone()))
}

pub(super) fn save_checkpoint(state: &mut State, run: RunRef, data: Option<Json>) -> Result<()> {
    let execution = held(state, run)?;
    match data {
        Some(data) => state.plugins.checkpoints.insert(run.key, (execution, data)),
        None => state.plugins.checkpoints.remove(&run.key),
    };
    Ok(())
}

pub(super) fn facts(state: &State, run: RunRef) -> Result<ChildFacts> {
    let execution = held(state, run)?;
    let depth = state.plugins.children.get(&state.tasks[run.key].tree).map_or(0, |child| child.depth);
    let own = |child: &&Child| child.task == run.key && child.execution == execution;
    let children = state.plugins.children.values().filter(own).count() as u32;
    Ok(ChildFacts { depth, children, execution })
}

pub(super) fn adopt(state: &mut State, run: RunRef, tree: TreeKey) -> Result<()> {
    let ChildFacts { depth, execution, .. } = facts(state, run)?;
    state.plugins.children.entry(tree).or_insert(Child { task: run.key, execution, depth: depth + 1 });
    Ok(())
}

pub(super) fn is_child(state: &State, task: TaskKey, root: &TaskId) -> bool {
    let Some(key) = state.task_keys.get(root) else { return false };
    let tree = state.tasks[*key].tree;
    state.trees[tree].root == *key
        && state.plugins.children.get(&tree).is_some_and(|child| child.task == task)
}

pub(super) fn running(state: &State, tasks: &[TaskKey]) -> Vec<TaskId> {
    let children = state.plugins.children.iter().filter(|(_, child)| tasks.contains(&child.task));
    let open =
        children.map(|(tree, _)| &state.trees[*tree]).filter(|tree| tree.status == TreeStatus::InProgress);
    open.map(|tree| state.tasks[tree.root].id.clone()).collect()
}

pub(super) fn free_places(state: &mut State, run: RunRef) {
    let Some(hold) = state.tasks.get(run.key.0).and_then(|task| task.held_by(run.token)) else { return };
    let hold = Hold { gates: Vec::new(), ..hold.clone() };
    state.move_to(run.key, Place::Running(hold));
}
