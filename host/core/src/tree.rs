//! From a list of drafts to a tree that can be stored: names become positions, and everything that is wrong with the
//! list as a whole is found before anything is written. The order of checks and their texts are part of the contract
//! with existing clients.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::draft::{DependencyDraft, TaskDraft, TreeLimits, check_count};
use crate::error::{Error, ErrorCode, Result};
use crate::id::{TaskId, TreeId, new_id};
use crate::json::Json;
use crate::plan::circle;
use crate::retry::RetryPolicy;
use crate::schedule::{self, Schedule};
use crate::task::DependencyKind;

/// A dependency inside a [`NewTree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewDependency {
    /// Position of the target in [`NewTree::tasks`].
    pub target: usize,
    /// Whether it must complete.
    pub required: bool,
    /// What it gives.
    pub kind: DependencyKind,
}

/// The definition of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Public id.
    pub id: TaskId,
    /// Position of the parent in [`NewTree::tasks`]; none for the root.
    pub parent: Option<usize>,
    /// Unique in the tree.
    pub name: String,
    /// 0 to 3.
    pub priority: u8,
    /// What gates it, without duplicates.
    pub dependencies: Vec<NewDependency>,
    /// The executor: `executor`, else `params.executor_id`, else `schemas.method`.
    pub executor: Option<String>,
    /// An object.
    pub inputs: Json,
    /// An object.
    pub params: Json,
    /// An object.
    pub schemas: Json,
    /// Free text.
    pub description: Option<String>,
    /// A free object.
    pub metadata: Option<Json>,
    /// When to try again.
    pub retry: Option<RetryPolicy>,
    /// Longest time for one attempt.
    pub timeout_ms: Option<u32>,
    /// Limits how many tasks with this key run at a time.
    pub concurrency_key: Option<String>,
    /// Whether it is the parent of others.
    pub has_children: bool,
}

/// A valid tree, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTree {
    /// Public id.
    pub id: TreeId,
    /// Owner of all tasks.
    pub user_id: Option<String>,
    /// Pre-order: the root first, children in the order in which they were given. Never empty.
    pub tasks: Vec<NewTask>,
    /// When the tree runs by itself, with the first due time.
    pub schedule: Option<Schedule>,
    /// Longest time for one execution, in milliseconds.
    pub deadline_ms: Option<u32>,
}

impl NewTree {
    /// The id of the root.
    pub fn root(&self) -> &TaskId {
        &self.tasks[0].id
    }

    /// Refuses a tree that is larger or deeper than allowed.
    ///
    /// # Errors
    /// `LimitExceeded`, naming the limit and its key.
    pub fn check_size(&self, limits: TreeLimits) -> Result<()> {
        check_count(self.tasks.len(), limits)?;
        // Parents come before their children.
        let mut levels: Vec<usize> = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            let level = 1 + task.parent.map_or(0, |parent| levels[parent]);
            if level > limits.max_depth {
                return Err(Error::new(
                    ErrorCode::LimitExceeded,
                    format!(
                        "Task '{}' stands on level {level} of the tree, the limit is {} (limits.max_depth). Give it a parent \
                         higher up: parent_id gates nothing",
                        task.name, limits.max_depth
                    ),
                )
                .with("name", task.name.as_str())
                .with("field", "parent_id")
                .with("limit", limits.max_depth));
            }
            levels.push(level);
        }
        Ok(())
    }
}

/// Makes a tree of drafts.
///
/// # Errors
/// The first thing that is wrong, with index and value in text and data.
pub fn assemble(drafts: Vec<TaskDraft>, now: Timestamp) -> Result<NewTree> {
    if drafts.is_empty() {
        return Err(Error::new(ErrorCode::InvalidTree, "Tasks array cannot be empty"));
    }
    let ids: Vec<TaskId> =
        drafts.iter().map(|draft| draft.id.clone().unwrap_or_else(|| new_id(now).into())).collect();
    let lookup = Lookup::new(&drafts, &ids)?;
    let parents = parents(&drafts, &lookup)?;
    let root = single_root(&parents)?;
    let dependencies = dependencies(&drafts, &lookup)?;
    let user_id = single_owner(&drafts)?;
    let edges: Vec<(usize, Vec<usize>)> = dependencies
        .iter()
        .enumerate()
        .map(|(i, list)| (i, list.iter().map(|d| d.target).collect()))
        .collect();
    if let Some(at) = circle(&edges) {
        return Err(Error::new(
            ErrorCode::CircularDependency,
            format!(
                "Circular dependency detected involving task '{}'. Tasks cannot have circular dependencies as this \
                 would cause infinite loops.",
                drafts[at].name
            ),
        )
        .with("index", at)
        .with("task_id", ids[at].as_str()));
    }
    let order = pre_order(root, &parents, &drafts)?;
    let tree_id = drafts[root].tree_id.clone().unwrap_or_else(|| TreeId::new(ids[root].as_str()));
    if let Some(at) = drafts.iter().position(|d| d.tree_id.as_ref().is_some_and(|id| *id != tree_id)) {
        return Err(Error::new(
            ErrorCode::InvalidTree,
            format!("Task at index {at} has another task_tree_id than the root ('{tree_id}'). Leave it out: it follows from the root"),
        )
        .with("index", at));
    }
    let schedule = schedule_of(root, &drafts, now)?;
    let deadline_ms = deadline_of(root, &drafts)?;
    Ok(NewTree {
        id: tree_id,
        user_id,
        tasks: lay_out(drafts, ids, &parents, &dependencies, &order),
        schedule,
        deadline_ms,
    })
}

/// Finds drafts by id and by name.
struct Lookup {
    by_id: HashMap<TaskId, usize>,
    by_name: HashMap<String, usize>,
}

impl Lookup {
    fn new(drafts: &[TaskDraft], ids: &[TaskId]) -> Result<Self> {
        let mut by_name = HashMap::with_capacity(drafts.len());
        let mut by_id = HashMap::with_capacity(drafts.len());
        for (i, (draft, id)) in drafts.iter().zip(ids).enumerate() {
            if by_name.insert(draft.name.clone(), i).is_some() {
                return Err(at_index(i, ErrorCode::InvalidTree, "name", &draft.name, |i, v| {
                    format!("Duplicate task name '{v}' at index {i}")
                }));
            }
            if by_id.insert(id.clone(), i).is_some() {
                return Err(at_index(i, ErrorCode::InvalidTree, "id", id.as_str(), |i, v| {
                    format!("Duplicate task id '{v}' at index {i}")
                }));
            }
        }
        Ok(Self { by_id, by_name })
    }

    /// Ids come first: a task may be named like another's id.
    fn find(&self, reference: &str) -> Option<usize> {
        self.by_id.get(&TaskId::from(reference)).or_else(|| self.by_name.get(reference)).copied()
    }
}

fn at_index(
    index: usize,
    code: ErrorCode,
    field: &str,
    value: &str,
    text: impl Fn(usize, &str) -> String,
) -> Error {
    Error::new(code, text(index, value)).with("index", index).with("field", field).with("value", value)
}

fn parents(drafts: &[TaskDraft], lookup: &Lookup) -> Result<Vec<Option<usize>>> {
    let find = |(i, draft): (usize, &TaskDraft)| match &draft.parent_id {
        None => Ok(None),
        Some(parent) => lookup.find(parent).map(Some).ok_or_else(|| {
            at_index(i, ErrorCode::InvalidParent, "parent_id", parent, |i, v| {
                format!("Task at index {i} has parent_id '{v}' which is not in the task array.")
            })
        }),
    };
    drafts.iter().enumerate().map(find).collect()
}

fn single_root(parents: &[Option<usize>]) -> Result<usize> {
    let roots: Vec<usize> = (0..parents.len()).filter(|i| parents[*i].is_none()).collect();
    match roots[..] {
        [root] => Ok(root),
        [] => Err(Error::new(
            ErrorCode::InvalidTree,
            "No root task found (task with no parent_id). At least one task in the array must have parent_id = null.",
        )),
        _ => Err(Error::new(
            ErrorCode::InvalidTree,
            "Multiple root tasks found. All tasks must be in a single task tree. Only one task should have \
             parent_id=null.",
        )
        .with("indexes", roots)),
    }
}

fn dependencies(drafts: &[TaskDraft], lookup: &Lookup) -> Result<Vec<Vec<NewDependency>>> {
    drafts.iter().enumerate().map(|(i, draft)| dependencies_of(i, draft, lookup)).collect()
}

/// The declared dependencies, then those that follow from references in the inputs.
fn dependencies_of(index: usize, draft: &TaskDraft, lookup: &Lookup) -> Result<Vec<NewDependency>> {
    let mut list: Vec<NewDependency> = Vec::with_capacity(draft.dependencies.len());
    let references = draft.references.iter().map(|name| DependencyDraft {
        reference: name.clone(),
        required: true,
        kind: DependencyKind::Reference,
    });
    for wanted in draft.dependencies.iter().cloned().chain(references) {
        let target = lookup.find(&wanted.reference).ok_or_else(|| {
            at_index(index, ErrorCode::InvalidDependency, "dependencies", &wanted.reference, |i, v| {
                format!(
                    "Task at index {i} has dependency reference '{v}' which is not a valid id or name in the task array."
                )
            })
        })?;
        if list.iter().all(|known| known.target != target) {
            list.push(NewDependency { target, required: wanted.required, kind: wanted.kind });
        }
    }
    Ok(list)
}

fn single_owner(drafts: &[TaskDraft]) -> Result<Option<String>> {
    let owners: BTreeSet<&str> = drafts.iter().filter_map(|draft| draft.user_id.as_deref()).collect();
    if owners.len() > 1 {
        let text = owners.iter().map(|owner| format!("'{owner}'")).collect::<Vec<_>>().join(", ");
        return Err(Error::new(
            ErrorCode::InvalidTree,
            format!("All tasks must have the same user_id. Found multiple user_ids: {{{text}}}"),
        )
        .with("field", "user_id"));
    }
    Ok(owners.first().map(ToString::to_string))
}

/// The schedule that the root asks for. Another task can have none: what is executed is the tree.
fn schedule_of(root: usize, drafts: &[TaskDraft], now: Timestamp) -> Result<Option<Schedule>> {
    let mut found = None;
    for (index, draft) in drafts.iter().enumerate() {
        let Some(patch) = &draft.schedule else { continue };
        let made = schedule::edit(&Schedule::default(), patch, now).map_err(|error| error.at_task(index))?;
        match made.schedule_type {
            None => {}
            Some(_) if index == root => found = Some(made),
            Some(kind) => return Err(schedule::not_a_root(kind, &draft.name).at_task(index)),
        }
    }
    Ok(found)
}

/// The deadline that the root names; no other task may.
fn deadline_of(root: usize, drafts: &[TaskDraft]) -> Result<Option<u32>> {
    let other =
        drafts.iter().enumerate().find(|(index, draft)| *index != root && draft.deadline_ms.is_some());
    match other {
        None => Ok(drafts[root].deadline_ms),
        Some((index, draft)) => Err(not_of_root(&draft.name).at_task(index)),
    }
}

/// The refusal of a deadline anywhere but at the root.
pub fn not_of_root(name: &str) -> Error {
    let text = format!(
        "Task '{name}' is not the root of its tree, and only an execution as a whole has a deadline_ms. Set it at the root, \
         or give this task a timeout_ms"
    );
    Error::new(ErrorCode::InvalidTask, text).with("field", "deadline_ms")
}

/// Positions of the drafts, the root first. A circle of parents leaves tasks out, and is an error.
fn pre_order(root: usize, parents: &[Option<usize>], drafts: &[TaskDraft]) -> Result<Vec<usize>> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    for (i, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            children[*parent].push(i);
        }
    }
    let mut order = Vec::with_capacity(parents.len());
    let mut open = vec![root];
    while let Some(i) = open.pop() {
        order.push(i);
        open.extend(children[i].iter().rev());
    }
    if order.len() < parents.len() {
        let reached: BTreeSet<usize> = order.iter().copied().collect();
        let lost = (0..parents.len()).find(|i| !reached.contains(i)).unwrap_or_default();
        return Err(at_index(lost, ErrorCode::InvalidParent, "parent_id", &drafts[lost].name, |i, v| {
            format!("Task at index {i} ('{v}') is not below the root: its parent_id leads in a circle.")
        }));
    }
    Ok(order)
}

fn lay_out(
    drafts: Vec<TaskDraft>,
    ids: Vec<TaskId>,
    parents: &[Option<usize>],
    dependencies: &[Vec<NewDependency>],
    order: &[usize],
) -> Vec<NewTask> {
    let mut place = vec![0; order.len()];
    for (at, i) in order.iter().enumerate() {
        place[*i] = at;
    }
    let mut has_children = vec![false; order.len()];
    for parent in parents.iter().flatten() {
        has_children[*parent] = true;
    }
    let mut parts: Vec<Option<(TaskDraft, TaskId)>> = drafts.into_iter().zip(ids).map(Some).collect();
    let task = |&i: &usize| {
        let (draft, id) = parts[i].take()?;
        let moved = |d: &NewDependency| NewDependency { target: place[d.target], ..*d };
        Some(NewTask {
            id,
            parent: parents[i].map(|parent| place[parent]),
            name: draft.name,
            priority: draft.priority,
            dependencies: dependencies[i].iter().map(moved).collect(),
            executor: draft.executor,
            inputs: draft.inputs,
            params: draft.params,
            schemas: draft.schemas,
            description: draft.description,
            metadata: draft.metadata,
            retry: draft.retry,
            timeout_ms: draft.timeout_ms,
            concurrency_key: draft.concurrency_key,
            has_children: has_children[i],
        })
    };
    order.iter().filter_map(task).collect()
}

#[cfg(test)]
mod tests;
