//! From selected tasks to a new tree: fresh ids, the same structure, dependencies and references that stay inside.

use std::collections::HashMap;

use super::{CloneRequest, NewClone, Origin, Selection, blank};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{TaskId, TreeId, new_id};
use crate::inputs::repoint;
use crate::json::Json;
use crate::schedule::Schedule;
use crate::store::TaskPatch;
use crate::task::{Dependency, OriginType, Task, TaskStatus};
use crate::tree::{NewDependency, NewTask, NewTree};

/// Makes the tree. `originals` has what the links among the selected tasks read through to, by id.
///
/// # Errors
/// `TaskNotFound` if the original of a link is not there.
pub fn build(
    tree: &[Task],
    selection: &Selection,
    originals: &HashMap<TaskId, Task>,
    request: &CloneRequest,
    now: Timestamp,
) -> Result<NewClone> {
    let ids: Vec<TaskId> = selection.tasks.iter().map(|_| new_id(now).into()).collect();
    let sources: Vec<&Task> = selection.tasks.iter().map(|i| &tree[*i]).collect();
    let places: HashMap<&TaskId, usize> =
        sources.iter().enumerate().map(|(at, task)| (&task.id, at)).collect();
    let mut tasks = Vec::with_capacity(ids.len());
    let mut origins = Vec::with_capacity(ids.len());
    for (at, source) in sources.iter().copied().enumerate() {
        let definition = definition(source, originals)?;
        let skeleton = NewTask {
            id: ids[at].clone(),
            parent: source.parent_id.as_ref().and_then(|parent| places.get(parent)).copied(),
            name: source.name.clone(),
            priority: definition.priority,
            dependencies: dependencies(source, &places),
            executor: None,
            inputs: Json::object(),
            params: Json::object(),
            schemas: Json::object(),
            description: None,
            metadata: None,
            retry: None,
            timeout_ms: None,
            concurrency_key: None,
            has_children: false,
        };
        let link = selection.links[at];
        tasks.push(match link {
            true => skeleton,
            false => {
                let renamed = renamed(source, &sources, &places, &ids);
                copy(skeleton, definition, &renamed, (at == 0, &request.changes))
            }
        });
        origins.push(Origin { original: definition.id.clone(), link });
    }
    for parent in tasks.iter().filter_map(|task| task.parent).collect::<Vec<_>>() {
        tasks[parent].has_children = true;
    }
    let id = TreeId::new(ids.first().map(TaskId::as_str).unwrap_or_default());
    let owner = sources.first().and_then(|root| root.user_id.clone());
    let deadline = sources.first().and_then(|root| root.deadline_ms);
    Ok(NewClone {
        tree: NewTree {
            id,
            user_id: request.user_id.clone().or(owner),
            tasks,
            schedule: None,
            deadline_ms: request.changes.deadline_ms.unwrap_or(deadline),
        },
        origins,
    })
}

/// The task whose definition counts.
fn definition<'t>(source: &'t Task, originals: &'t HashMap<TaskId, Task>) -> Result<&'t Task> {
    match &source.original_task_id {
        Some(original) if source.is_link => {
            originals.get(original).ok_or_else(|| Error::task_not_found(original))
        }
        _ => Ok(source),
    }
}

/// Those that are in the clone.
fn dependencies(source: &Task, places: &HashMap<&TaskId, usize>) -> Vec<NewDependency> {
    let inside = |d: &Dependency| {
        let target = *places.get(&d.id)?;
        Some(NewDependency { target, required: d.required, kind: d.kind })
    };
    source.dependencies.iter().filter_map(inside).collect()
}

/// What a dependency of `source` is called in the clone: new id by old id. The inputs that a link reads through to name
/// the original's dependencies.
fn renamed<'t>(
    source: &'t Task,
    sources: &[&'t Task],
    places: &HashMap<&TaskId, usize>,
    ids: &'t [TaskId],
) -> HashMap<&'t str, &'t str> {
    let mut renamed = HashMap::new();
    for at in source.dependencies.iter().filter_map(|d| places.get(&d.id).copied()) {
        let new = ids[at].as_str();
        renamed.insert(sources[at].id.as_str(), new);
        if let Some(original) = sources[at].original_task_id.as_ref().filter(|_| source.is_link) {
            renamed.insert(original.as_str(), new);
        }
    }
    renamed
}

fn copy(
    skeleton: NewTask,
    definition: &Task,
    renamed: &HashMap<&str, &str>,
    (is_root, changes): (bool, &TaskPatch),
) -> NewTask {
    let changed = |new: &Option<Json>, old: &Json| new.clone().unwrap_or_else(|| old.clone());
    let inputs = definition.defined_inputs.as_ref().unwrap_or(&definition.inputs);
    NewTask {
        name: changes.name.clone().filter(|_| is_root).unwrap_or(skeleton.name),
        priority: changes.priority.unwrap_or(definition.priority),
        executor: changes.executor.clone().unwrap_or_else(|| definition.executor.clone()),
        inputs: changes.inputs.clone().unwrap_or_else(|| repoint(inputs, renamed)),
        params: changed(&changes.params, &definition.params),
        schemas: changed(&changes.schemas, &definition.schemas),
        description: changes.description.clone().unwrap_or_else(|| definition.description.clone()),
        metadata: changes.metadata.clone().unwrap_or_else(|| definition.metadata.clone()),
        retry: changes.retry.unwrap_or(definition.retry),
        timeout_ms: changes.timeout_ms.unwrap_or(definition.timeout_ms),
        concurrency_key: changes
            .concurrency_key
            .clone()
            .unwrap_or_else(|| definition.concurrency_key.clone()),
        ..skeleton
    }
}

/// The tasks as they will be when the clone is stored.
pub fn preview(clone: &NewClone, now: Timestamp) -> Vec<Task> {
    let tree = &clone.tree;
    let id_of = |at: usize| tree.tasks[at].id.clone();
    let view = |(at, (new, origin)): (usize, (&NewTask, &Origin))| {
        let mut task = Task {
            id: new.id.clone(),
            parent_id: new.parent.map(id_of),
            tree_id: tree.id.clone(),
            user_id: tree.user_id.clone(),
            name: new.name.clone(),
            status: if origin.link { TaskStatus::Completed } else { TaskStatus::Pending },
            priority: new.priority,
            dependencies: new
                .dependencies
                .iter()
                .map(|d| Dependency { id: id_of(d.target), required: d.required, kind: d.kind })
                .collect(),
            inputs: new.inputs.clone(),
            params: new.params.clone(),
            schemas: new.schemas.clone(),
            result: None,
            error: None,
            error_info: None,
            progress: if origin.link { 1.0 } else { 0.0 },
            created_at: now,
            started_at: None,
            updated_at: now,
            completed_at: origin.link.then_some(now),
            has_children: new.has_children,
            original_task_id: Some(origin.original.clone()),
            origin_type: if origin.link { OriginType::Link } else { OriginType::Copy },
            has_references: false,
            schedule: Schedule::default(),
            lease_id: None,
            lease_expires_at: None,
            placement_constraints: None,
            attempt: 0,
            idempotency_key: None,
            last_assigned_node: None,
            description: new.description.clone(),
            executor: new.executor.clone(),
            metadata: new.metadata.clone(),
            retry: new.retry,
            timeout_ms: new.timeout_ms,
            deadline_ms: tree.deadline_ms.filter(|_| at == 0),
            concurrency_key: new.concurrency_key.clone(),
            blocked_by: None,
            is_link: origin.link,
            defined_inputs: None,
        };
        if origin.link {
            blank(&mut task);
        }
        task
    };
    tree.tasks.iter().zip(&clone.origins).enumerate().map(view).collect()
}
