//! Which tasks a clone takes.

use std::collections::{HashMap, HashSet};

use super::{CloneMode, CloneRequest, check_completed};
use crate::error::{Error, ErrorCode, Result};
use crate::id::TaskId;
use crate::task::Task;

/// The tasks of a tree that a clone takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Positions in the tree, in pre-order; the first one becomes the root.
    pub tasks: Vec<usize>,
    /// For each of these whether it becomes a link.
    pub links: Vec<bool>,
}

/// Takes the tasks that `request` asks for out of `tree`: all tasks of the tree in pre-order.
///
/// # Errors
/// `TaskNotFound`; `CannotClone` where the mode does not allow it; `InvalidParams` for tasks to link that are not part of it.
pub fn select(tree: &[Task], request: &CloneRequest) -> Result<Selection> {
    let shape = Shape::new(tree);
    let start = shape.position(&request.task).ok_or_else(|| Error::task_not_found(&request.task))?;
    let chosen = shape.choose(start, request);
    let tasks = match request.mode {
        // In place: nothing has to hold together.
        CloneMode::Archive => (0..tree.len()).filter(|i| chosen[*i]).collect(),
        CloneMode::Copy | CloneMode::Link | CloneMode::Mixed => shape.connect(&chosen),
    };
    let links = links(tree, &tasks, request)?;
    let selection = Selection { tasks, links };
    check(tree, start, &selection, request)?;
    if request.recursive && !request.auto_include_deps && request.mode != CloneMode::Link {
        shape.check_external(start, &chosen, &selection)?;
    }
    Ok(selection)
}

/// For each task whether it becomes a link.
fn links(tree: &[Task], tasks: &[usize], request: &CloneRequest) -> Result<Vec<bool>> {
    let named: HashSet<&TaskId> = request.link.iter().collect();
    match (request.mode, named.is_empty()) {
        (CloneMode::Mixed, true) => {
            return Err(Error::invalid_params(
                "link_task_ids",
                "it is missing; name the tasks that become links",
            ));
        }
        (CloneMode::Copy | CloneMode::Link | CloneMode::Archive, false) => {
            let text = format!("it goes with origin_type 'mixed', not with '{}'", request.mode.as_str());
            return Err(Error::invalid_params("link_task_ids", text));
        }
        (_, _) => {}
    }
    let inside: HashSet<&TaskId> = tasks.iter().map(|i| &tree[*i].id).collect();
    if let Some(id) = request.link.iter().find(|id| !inside.contains(id)) {
        return Err(Error::invalid_params(
            "link_task_ids",
            format!("task '{id}' is not part of what is cloned"),
        ));
    }
    let is_link = |i: &usize| request.mode == CloneMode::Link || named.contains(&tree[*i].id);
    Ok(tasks.iter().map(is_link).collect())
}

/// What links and archives need: completed tasks, and the same owner.
fn check(tree: &[Task], start: usize, selection: &Selection, request: &CloneRequest) -> Result<()> {
    let archives = request.mode == CloneMode::Archive;
    let bound: Vec<&Task> = selection
        .tasks
        .iter()
        .zip(&selection.links)
        .filter(|(_, link)| archives || **link)
        .map(|(i, _)| &tree[*i])
        .collect();
    let verb = if archives { "archive" } else { "link" };
    // A link has nothing of its own to complete.
    let states = bound.iter().map(|task| (&task.id, task.status));
    check_completed(&format!("{verb} task '{}'", tree[start].id), states)?;
    let owner = tree[start].user_id.as_deref();
    match &request.user_id {
        Some(wanted) if !bound.is_empty() && owner != Some(wanted.as_str()) => {
            let text = format!(
                "Cannot {verb} task '{}' for owner '{wanted}': it belongs to {}, and only a copy may have another owner",
                tree[start].id,
                owner.map_or_else(|| "nobody".to_owned(), |owner| format!("'{owner}'"))
            );
            Err(Error::new(ErrorCode::CannotClone, text).with("field", "user_id"))
        }
        _ => Ok(()),
    }
}

/// A tree as positions.
struct Shape<'t> {
    tree: &'t [Task],
    index: HashMap<&'t TaskId, usize>,
    parents: Vec<Option<usize>>,
    dependencies: Vec<Vec<usize>>,
}

impl<'t> Shape<'t> {
    fn new(tree: &'t [Task]) -> Self {
        let index: HashMap<&TaskId, usize> = tree.iter().enumerate().map(|(i, task)| (&task.id, i)).collect();
        let find = |id: &TaskId| index.get(id).copied();
        let parents = tree.iter().map(|task| task.parent_id.as_ref().and_then(find)).collect();
        let dependencies =
            tree.iter().map(|task| task.dependencies.iter().filter_map(|d| find(&d.id)).collect()).collect();
        Self { tree, index, parents, dependencies }
    }

    fn position(&self, id: &TaskId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The named task, what is below it, and what belongs to that.
    fn choose(&self, start: usize, request: &CloneRequest) -> Vec<bool> {
        let mut chosen = vec![false; self.tree.len()];
        chosen[start] = true;
        if request.recursive {
            for i in start + 1..self.tree.len() {
                chosen[i] = self.parents[i].is_some_and(|parent| chosen[parent]);
            }
        }
        if request.include_dependents {
            let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.tree.len()];
            for (i, targets) in self.dependencies.iter().enumerate() {
                targets.iter().for_each(|target| dependents[*target].push(i));
            }
            close(&mut chosen, &dependents);
        }
        if request.auto_include_deps {
            close(&mut chosen, &self.dependencies);
        }
        chosen
    }

    /// The chosen tasks and what holds them together, if they are from several branches: everything between them and the
    /// deepest task that has them all. What only connects keeps the dependencies that are in the clone and loses the others.
    fn connect(&self, chosen: &[bool]) -> Vec<usize> {
        let mut below: Vec<usize> = chosen.iter().map(|chosen| usize::from(*chosen)).collect();
        let all: usize = below.iter().sum();
        for i in (0..below.len()).rev() {
            if let Some(parent) = self.parents[i] {
                below[parent] += below[i];
            }
        }
        let top = (0..below.len()).rev().find(|i| below[*i] == all).unwrap_or_default();
        (top..below.len()).filter(|i| below[*i] > 0).collect()
    }

    /// Whoever is copied or archived may depend only on what is, too.
    fn check_external(&self, start: usize, chosen: &[bool], selection: &Selection) -> Result<()> {
        for (i, _) in selection.tasks.iter().zip(&selection.links).filter(|(i, link)| chosen[**i] && !**link)
        {
            let Some(outside) = self.dependencies[*i].iter().find(|target| !chosen[**target]) else {
                continue;
            };
            let (task, root, outside) = (&self.tree[*i], &self.tree[start], &self.tree[*outside].id);
            let text = format!(
                "Task '{}' (id: {}) has dependency on task '{outside}' which is outside the subtree rooted at '{}' (id: \
                 {}). Cannot copy/archive a subtree with external dependencies. Pass auto_include_deps to take them, too.",
                task.name, task.id, root.name, root.id
            );
            return Err(Error::new(ErrorCode::CannotClone, text)
                .with("task_id", task.id.as_str())
                .with("dependency", outside.as_str()));
        }
        Ok(())
    }
}

/// Adds everything that the arrows lead to.
fn close(chosen: &mut [bool], arrows: &[Vec<usize>]) {
    let mut open: Vec<usize> = (0..chosen.len()).filter(|i| chosen[*i]).collect();
    while let Some(i) = open.pop() {
        for &next in &arrows[i] {
            if !chosen[next] {
                chosen[next] = true;
                open.push(next);
            }
        }
    }
}
