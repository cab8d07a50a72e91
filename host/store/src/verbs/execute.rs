//! `execute`: asks the core for a plan and arms what it says.

use apflow_core::clock::Timestamp;
use apflow_core::clone::check_not_archived;
use apflow_core::error::Result;
use apflow_core::plan::{self, Plan};
use apflow_core::store::{ExecuteRequest, Execution};
use apflow_core::task::TreeStatus;

use super::skeleton::{TreeRow, skeleton, tree_of};
use crate::database::{Database, Step, Work, arguments, replayed};
use crate::rows::to_json;

pub(crate) async fn execute(database: &impl Database, request: &ExecuteRequest) -> Result<Execution> {
    replayed(|| once(database, request)).await
}

async fn once(database: &impl Database, request: &ExecuteRequest) -> Result<Execution> {
    let mut work = database.begin().await?;
    let outcome = decide(&mut work, request).await;
    work.end(outcome).await
}

async fn decide(work: &mut impl Work, request: &ExecuteRequest) -> Result<Execution> {
    work.lock_trees(std::slice::from_ref(&request.task)).await?;
    let (target, row) = tree_of(work, &request.task).await?;
    let (tree, execution) = (row.key, row.execution);
    if row.status == TreeStatus::InProgress {
        return Ok(Execution::AlreadyRunning { tree, tree_id: row.id, root: row.root, execution });
    }
    let nodes = skeleton(work, row.keys).await?;
    if let Some(node) = nodes.iter().find(|node| node.key == target) {
        check_not_archived(&request.task, node.origin, "executed")?;
    }
    let plan = plan::execution(&nodes, target, request.rerun_completed);
    if plan.open() == 0 {
        return Ok(Execution::NothingToRun { tree, tree_id: row.id, root: row.root, status: row.status });
    }
    arm(work, &row, &plan, request.now).await?;
    Ok(Execution::Started { tree, tree_id: row.id, root: row.root, execution: execution + 1 })
}

/// Begins an execution of a tree that has none under way.
pub(super) async fn arm(work: &mut impl Work, tree: &TreeRow, plan: &Plan, now: Timestamp) -> Result<()> {
    let ready = plan.ready.iter().map(|key| (*key, 0, None));
    let waiting = plan.waiting.iter().map(|(key, count)| (*key, *count, None));
    let blocked = plan.blocked.iter().map(|(key, cause)| (*key, 0, Some(*cause)));
    let all: Vec<_> = ready.chain(waiting).chain(blocked).collect();
    let (open, blocked) = (plan.open() as i64, plan.blocked.len() as i64);
    let arguments =
        arguments![now, tree.key.0, open, blocked, tree.keys.0, tree.keys.1, to_json("plan", &all)?];
    work.step(Step::Arm, arguments, |_| Ok(())).await
}
