//! `execute`: asks the core for a plan and arms what it says.

use apflow_core::clone::check_not_archived;
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::{TaskKey, TreeKey};
use apflow_core::plan::{self, Plan};
use apflow_core::store::{ExecuteRequest, Execution};
use apflow_core::task::TreeStatus;
use apflow_core::transition::Change;
use serde_json::json;

use super::rows::{Place, State};
use super::transaction::Transaction;

pub(super) fn execute(state: &mut State, request: &ExecuteRequest) -> Result<Execution> {
    let target = state.key_of(&request.task)?;
    let tree = state.tasks[target].tree;
    let row = &state.trees[tree];
    let (tree_id, root, status) = (row.id.clone(), state.tasks[row.root].id.clone(), row.status);
    if status == TreeStatus::InProgress {
        return Ok(Execution::AlreadyRunning { tree, tree_id, root, execution: row.execution });
    }
    check_not_archived(&request.task, state.tasks[target].origin_type(), "executed")?;
    let plan = plan::execution(&state.skeleton(tree), target, request.rerun_completed);
    if plan.open() == 0 {
        return Ok(Execution::NothingToRun { tree, tree_id, root, status });
    }
    let execution = arm(&mut Transaction::new(state, request.now), tree, &plan, Change::Rerun)?;
    Ok(Execution::Started { tree, tree_id, root, execution })
}

/// Begins an execution of a tree that has none under way; gives its number. `again` is what happens to tasks that have
/// finished.
pub(super) fn arm(work: &mut Transaction<'_>, key: TreeKey, plan: &Plan, again: Change) -> Result<u32> {
    let started_seq = work.state.log.last();
    let tree = &mut work.state.trees[key];
    tree.status = TreeStatus::InProgress;
    tree.execution += 1;
    tree.started_seq = started_seq;
    tree.started_at = Some(work.now);
    tree.ended_at = None;
    tree.open = plan.open() as u32;
    tree.failed = plan.blocked.len() as u32;
    tree.cancelled = 0;
    let execution = tree.execution;
    // Blocks are those of the newest execution, also where it leaves a task out.
    for task in work.state.keys_of(key) {
        if matches!(work.state.tasks[task].place, Place::Blocked(_)) {
            work.state.move_to(task, Place::Idle);
        }
    }
    work.note_tree(key, EventKind::TreeStarted, Some(json!({"tasks": plan.open()}).into()));
    for task in &plan.ready {
        arm_task(work, *task, Place::Ready(work.now), again)?;
    }
    for (task, count) in &plan.waiting {
        arm_task(work, *task, Place::Waiting(*count), again)?;
    }
    for (task, cause) in &plan.blocked {
        work.state.move_to(*task, Place::Blocked(*cause));
        work.note_blocked(*task, *cause);
    }
    Ok(execution)
}

fn arm_task(work: &mut Transaction<'_>, key: TaskKey, place: Place, again: Change) -> Result<()> {
    let row = &mut work.state.tasks[key];
    if row.status.is_terminal() {
        row.change(again)?;
    }
    row.tries = 0;
    row.lifted = false;
    work.state.move_to(key, place);
    Ok(())
}
