//! What a store shows, in a form in which two stores can be compared: without keys, tokens and positions, and without
//! what the contract leaves to the store.

use std::collections::{BTreeMap, HashMap};

use apflow_core::event::{Event, EventKind};
use apflow_core::id::{TaskId, TaskKey, TreeId, TreeKey};
use apflow_core::json::Json;
use apflow_core::store::{ClaimedRun, QueueFacts, TreeEnd, TreeState};
use apflow_core::task::{Task, TaskStatus};
use serde_json::{Value, json};

/// The public ids behind the keys of one store.
#[derive(Default)]
pub struct Names {
    pub tasks: HashMap<TaskKey, TaskId>,
    pub trees: HashMap<TreeKey, TreeId>,
}

impl Names {
    pub fn task(&self, key: TaskKey) -> Value {
        json!(self.tasks.get(&key))
    }

    /// In the order of the ids.
    pub fn touched(&self, trees: &[TreeKey]) -> Value {
        let mut ids: Vec<Option<&TreeId>> = trees.iter().map(|key| self.trees.get(key)).collect();
        ids.sort_unstable();
        json!(ids)
    }
}

pub fn claim(run: &ClaimedRun) -> Value {
    let offered: Vec<Value> =
        run.dependencies.iter().map(|d| json!([d.id, d.status, d.result, d.kind, d.name])).collect();
    json!([run.id, run.tree_id, run.execution, run.attempt, run.tries, run.priority, run.inputs, offered])
}

pub fn ends(ends: &[TreeEnd]) -> Value {
    let mut list: Vec<_> =
        ends.iter().map(|end| (&end.tree_id, end.execution, end.status.as_str())).collect();
    list.sort_unstable();
    json!(list)
}

pub fn task(task: &Task) -> Value {
    let progress = match task.status {
        TaskStatus::InProgress | TaskStatus::Completed => Some(task.progress),
        TaskStatus::Pending | TaskStatus::Failed | TaskStatus::Cancelled => None,
    };
    json!({
        "status": task.status, "priority": task.priority, "dependencies": task.dependencies,
        "inputs": task.inputs, "result": task.result, "error": task.error_info, "attempt": task.attempt,
        "started_at": task.started_at, "completed_at": task.completed_at, "updated_at": task.updated_at,
        "has_children": task.has_children, "blocked": task.blocked_by.is_some(),
        "held": task.lease_id.is_some(), "lease_expires_at": task.lease_expires_at,
        "node": task.last_assigned_node, "progress": progress,
    })
}

pub fn facts(facts: &QueueFacts) -> Value {
    json!([format!("{:?}", facts.place), facts.unmet, facts.put_off])
}

pub fn tree(state: &TreeState) -> Value {
    json!([state.tree_id, state.root, state.status, state.execution, state.started_at, state.ended_at])
}

/// New events by tree: the kinds in their order, and everything that they say, in an order of its own.
pub fn events(events: &[Event]) -> Value {
    let mut trees: BTreeMap<&TreeId, (Vec<EventKind>, Vec<String>)> = BTreeMap::new();
    for event in events {
        let (kinds, says) = trees.entry(&event.tree_id).or_default();
        kinds.push(event.kind);
        // Behind several failures a task is blocked by any one of them.
        let data = event.data.as_ref().filter(|_| event.kind != EventKind::TaskBlocked).map(Json::value);
        let (task, kind) = (&event.task_id, event.kind);
        says.push(
            json!([kind, task, event.attempt, event.executor, event.at, event.started_at, data]).to_string(),
        );
    }
    for (_, says) in trees.values_mut() {
        says.sort_unstable();
    }
    json!(trees.into_iter().map(|(tree, (kinds, says))| json!([tree, kinds, says])).collect::<Vec<_>>())
}
