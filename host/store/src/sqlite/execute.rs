//! `execute`: asks the core for a plan and arms what it says.

use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::clone::check_not_archived;
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::plan::{self, Plan};
use apflow_core::store::{ExecuteRequest, Execution};
use apflow_core::task::TreeStatus;

use super::SqliteStore;
use super::skeleton::TreeRow;
use super::transaction::Writing;
use crate::rows::to_json;

/// Planned tasks that go in as one list.
const CHUNK: usize = 10_000;

const TREE_STARTED: i64 = EventKind::TreeStarted.number();
const TASK_BLOCKED: i64 = EventKind::TaskBlocked.number();

pub(super) async fn execute(store: &SqliteStore, request: &ExecuteRequest) -> Result<Execution> {
    let mut writing = store.write().await;
    writing.begin().await?;
    let outcome = decide(&mut writing, request).await;
    writing.end(outcome).await
}

async fn decide(writing: &mut Writing<'_>, request: &ExecuteRequest) -> Result<Execution> {
    let (target, row) = writing.tree_of(&request.task).await?;
    let (tree, execution) = (row.key, row.execution);
    if row.status == TreeStatus::InProgress {
        return Ok(Execution::AlreadyRunning { tree, tree_id: row.id, root: row.root, execution });
    }
    let nodes = writing.skeleton(row.keys).await?;
    if let Some(node) = nodes.iter().find(|node| node.key == target) {
        check_not_archived(&request.task, node.origin, "executed")?;
    }
    let plan = plan::execution(&nodes, target, request.rerun_completed);
    if plan.open() == 0 {
        return Ok(Execution::NothingToRun { tree, tree_id: row.id, root: row.root, status: row.status });
    }
    arm(writing, &row, &plan, request.now).await?;
    Ok(Execution::Started { tree, tree_id: row.id, root: row.root, execution: execution + 1 })
}

async fn arm(writing: &mut Writing<'_>, tree: &TreeRow, plan: &Plan, now: Timestamp) -> Result<()> {
    let ready = plan.ready.iter().map(|key| (*key, 0, None));
    let waiting = plan.waiting.iter().map(|(key, count)| (*key, *count, None));
    let blocked = plan.blocked.iter().map(|(key, cause)| (*key, 0, Some(*cause)));
    let all: Vec<_> = ready.chain(waiting).chain(blocked).collect();
    for chunk in all.chunks(CHUNK) {
        let text = "INSERT INTO planned (n, waiting_on, cause) SELECT value->>0, value->>1, value->>2 FROM jsonb_each($1)";
        writing.step(sqlx::query(text).bind(to_json("plan", &chunk)?), |_| Ok(())).await?;
    }
    let statement = sqlx::query(ARM.as_str())
        .bind(now.as_micros())
        .bind(tree.key.0)
        .bind(plan.open() as i64)
        .bind(plan.blocked.len() as i64)
        .bind(tree.keys.0)
        .bind(tree.keys.1);
    Ok(writing.step(statement, |_| Ok(())).await?)
}

/// Moves what is planned into the queues. `$2` tree, `$3` tasks that will run, `$4` blocked ones, `$5` and `$6` first and
/// last key of the tree.
static ARM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
UPDATE trees
   SET execution = execution + 1, status = 1, open = $3, failed = $4, cancelled = 0, started_at = $1, ended_at = NULL,
       started_seq = coalesce((SELECT max(seq) FROM events), 0)
 WHERE n = $2;
INSERT INTO events (tree, attempt, kind, at, data)
SELECT n, execution, {TREE_STARTED}, $1, json_object('tasks', $3) FROM trees WHERE n = $2;

-- Blocks are those of the newest execution.
DELETE FROM waiting WHERE n BETWEEN $5 AND $6;

INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT t.n, t.tree, t.priority, $1, coalesce(d.attempt, 0), coalesce(d.attempt, 0), coalesce(d.token, 0)
  FROM planned p CROSS JOIN tasks t ON t.n = p.n
  LEFT JOIN done d ON d.n = p.n AND d.attempt = (SELECT max(attempt) FROM done WHERE n = p.n)
 WHERE p.waiting_on = 0 AND p.cause IS NULL;
INSERT INTO waiting (n, tree, waiting_on, blocked_by, priority, due, attempt, base, token)
SELECT t.n, t.tree, p.waiting_on, p.cause, t.priority, $1, coalesce(d.attempt, 0), coalesce(d.attempt, 0),
       coalesce(d.token, 0)
  FROM planned p CROSS JOIN tasks t ON t.n = p.n
  LEFT JOIN done d ON d.n = p.n AND d.attempt = (SELECT max(attempt) FROM done WHERE n = p.n)
 WHERE p.waiting_on > 0 OR p.cause IS NOT NULL;
INSERT INTO events (tree, n, attempt, kind, at, data)
SELECT w.tree, w.n, w.attempt, {TASK_BLOCKED}, $1, json_object('blocked_by', t.id)
  FROM planned p CROSS JOIN waiting w ON w.n = p.n CROSS JOIN tasks t ON t.n = p.cause
 ORDER BY p.n;
DELETE FROM planned;
"
    )
});
