//! `insert_tree`: checks that all ids are free, then writes the tree.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::gate::GateScope;
use apflow_core::id::{Seq, TaskKey, Token, TreeKey};
use apflow_core::plan;
use apflow_core::store::Inserted;
use apflow_core::task::{TaskStatus, TreeStatus};
use apflow_core::transition::Change;
use apflow_core::tree::{NewTask, NewTree};
use serde_json::json;

use super::execute::arm;
use super::gates;
use super::rows::{Place, State, TaskRow, TreeRow};
use super::transaction::Transaction;

pub(super) fn insert(state: &mut State, tree: &NewTree, execute: bool, now: Timestamp) -> Result<Inserted> {
    check_free(state, tree)?;
    let key = write(state, tree, now);
    let mut work = Transaction::new(state, now);
    work.note_tree(key, EventKind::TreeCreated, Some(json!({"tasks": tree.tasks.len()}).into()));
    let execution = execute.then(|| {
        let root = work.state.trees[key].root;
        let plan = plan::execution(&work.state.skeleton(key), root, false);
        arm(&mut work, key, &plan, Change::Rerun)
    });
    Ok(Inserted { tree: key, execution: execution.transpose()? })
}

pub(super) fn check_free(state: &State, tree: &NewTree) -> Result<()> {
    if state.tree_keys.contains_key(&tree.id) {
        return Err(Error::new(
            ErrorCode::InvalidTree,
            format!("Task tree id already exists in database (tree_id: {}).", tree.id),
        )
        .with("tree_id", tree.id.as_str()));
    }
    match tree.tasks.iter().find(|task| state.task_keys.contains_key(&task.id)) {
        None => Ok(()),
        Some(task) => Err(Error::new(
            ErrorCode::InvalidTree,
            format!("Task id already exists in database (id: {}).", task.id),
        )
        .with("task_id", task.id.as_str())),
    }
}

pub(super) fn write(state: &mut State, tree: &NewTree, now: Timestamp) -> TreeKey {
    let key = TreeKey(state.trees.next_key());
    let first = state.tasks.next_key();
    let place = |position: usize| TaskKey(first + position as i64);
    for (position, task) in tree.tasks.iter().enumerate() {
        state.task_keys.insert(task.id.clone(), place(position));
        state.tasks.push(row(task, key, place, now));
    }
    for (position, task) in tree.tasks.iter().enumerate() {
        if let Some(parent) = task.parent {
            state.tasks[place(parent)].children.push(place(position));
        }
        for dependency in &task.dependencies {
            let target = place(dependency.target);
            state.tasks[target].dependents.push((place(position), dependency.required));
        }
    }
    state.tree_keys.insert(tree.id.clone(), key);
    state.trees.push(TreeRow {
        id: tree.id.clone(),
        user_id: tree.user_id.clone(),
        root: place(0),
        keys: first..first + tree.tasks.len() as i64,
        status: TreeStatus::Pending,
        execution: 0,
        started_seq: Seq::default(),
        started_at: None,
        ended_at: None,
        deadline_ms: tree.deadline_ms,
        open: 0,
        failed: 0,
        cancelled: 0,
    });
    if let Some(schedule) = &tree.schedule {
        state.schedules.insert(place(0), schedule.clone());
    }
    for key in tree.tasks.iter().filter_map(|task| task.concurrency_key.clone()) {
        gates::open(state, (GateScope::Key, key));
    }
    key
}

fn row(task: &NewTask, tree: TreeKey, place: impl Fn(usize) -> TaskKey, now: Timestamp) -> TaskRow {
    TaskRow {
        id: task.id.clone(),
        tree,
        parent: task.parent.map(&place),
        children: Vec::new(),
        dependencies: task.dependencies.iter().map(|d| (place(d.target), d.required, d.kind)).collect(),
        dependents: Vec::new(),
        name: task.name.clone(),
        priority: task.priority,
        executor: task.executor.clone(),
        inputs: task.inputs.clone(),
        params: task.params.clone(),
        schemas: task.schemas.clone(),
        description: task.description.clone(),
        metadata: task.metadata.clone(),
        retry: task.retry,
        timeout_ms: task.timeout_ms,
        concurrency_key: task.concurrency_key.clone(),
        created_at: now,
        edited_at: None,
        status: TaskStatus::Pending,
        place: Place::Idle,
        attempt: 0,
        tries: 0,
        token: Token::default(),
        lifted: false,
        history: Vec::new(),
        origin: None,
        archived_at: None,
        clones: Vec::new(),
    }
}
