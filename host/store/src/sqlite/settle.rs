//! What follows when tasks come out of their queue for good, as SQL: whoever requires what failed is blocked, the others
//! are released, the counts of the trees change, executions end. `turn` and `cancel` fill the scratch table `finished` and
//! then call these procedures.
//!
//! They are set-based and linear in the tasks that finish and their edges. `CROSS JOIN` fixes the order: scratch
//! table first, then lookups by key. An `UPDATE … FROM` cannot be told so and walks through its target, which is why the
//! rows to change are always named by `IN`.

use std::sync::LazyLock;

use apflow_core::event::EventKind;

use crate::verbs::finished::{CANCELLED, COMPLETED, FAILED};

const TASK_BLOCKED: i64 = EventKind::TaskBlocked.number();
const TREE_COMPLETED: i64 = EventKind::TreeCompleted.number();
const TREE_FAILED: i64 = EventKind::TreeFailed.number();
const TREE_CANCELLED: i64 = EventKind::TreeCancelled.number();

/// Blocks the waiting tasks that require what failed or was cancelled, in any number of steps. Before [`SETTLE`]: a task
/// that waits for one that completed and one that failed does not run. Only needed if something failed.
///
/// The cause of each is found in two passes, so that the cost stays linear: a recursion that carried the cause would
/// visit a task once for every failed task that it stands behind.
pub(super) static BLOCK_DEPENDENTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO blocked (n, tree)
SELECT w.n, w.tree
  FROM (WITH RECURSIVE behind (n) AS (
            SELECT w.n FROM finished f
              CROSS JOIN edges e ON e.dep = f.n AND e.required = 1
              CROSS JOIN waiting w ON w.n = e.task AND w.blocked_by IS NULL
             WHERE f.open AND f.kind IN ({FAILED}, {CANCELLED})
            UNION
            SELECT w.n FROM behind b
              CROSS JOIN edges e ON e.dep = b.n AND e.required = 1
              CROSS JOIN waiting w ON w.n = e.task AND w.blocked_by IS NULL
        ) SELECT n FROM behind) AS b
  CROSS JOIN waiting w ON w.n = b.n;

UPDATE blocked SET parent = coalesce(
    (SELECT e.dep FROM edges e CROSS JOIN finished f ON f.n = e.dep AND f.open AND f.kind IN ({FAILED}, {CANCELLED})
      WHERE e.task = blocked.n AND e.required = 1 ORDER BY e.pos LIMIT 1),
    (SELECT e.dep FROM edges e CROSS JOIN blocked b ON b.n = e.dep
      WHERE e.task = blocked.n AND e.required = 1 ORDER BY e.pos LIMIT 1));

UPDATE blocked SET cause = way.cause
  FROM (WITH RECURSIVE way (n, cause) AS (
            SELECT b.n, f.n FROM finished f CROSS JOIN blocked b ON b.parent = f.n
            UNION ALL
            SELECT b.n, w.cause FROM way w CROSS JOIN blocked b ON b.parent = w.n
        ) SELECT n, cause FROM way) AS way
 WHERE blocked.n = way.n;

UPDATE waiting SET blocked_by = (SELECT b.cause FROM blocked b WHERE b.n = waiting.n)
 WHERE n IN (SELECT n FROM blocked);

-- A task that ran in an earlier execution was pending while it waited, and stays so.
INSERT OR REPLACE INTO reopened (n, attempt)
SELECT d.n, max(d.attempt) FROM blocked b CROSS JOIN done d ON d.n = b.n GROUP BY d.n;

INSERT INTO events (tree, n, attempt, kind, at, data)
SELECT w.tree, w.n, w.attempt, {TASK_BLOCKED}, NEW.now, json_object('blocked_by', t.id)
  FROM blocked b CROSS JOIN waiting w ON w.n = b.n CROSS JOIN tasks t ON t.n = b.cause
 ORDER BY b.n;
"
    )
});

/// First counts what finished off at the tasks that wait for it, and makes those ready that wait for nothing more. A
/// required dependency is off only when it completed; another one also when it will not run.
///
/// Then changes the counts of the trees and ends executions in which nothing is left that may run: once for each, as the
/// row is `in progress` only until then. The status is [`apflow_core::task::TreeStatus::at_end`], said in SQL; a test
/// compares.
pub(super) static SETTLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO released (n, k)
SELECT e.task, count(*)
  FROM (SELECT n, kind = {COMPLETED} AS all_edges FROM finished WHERE open AND kind <= {CANCELLED}
        UNION ALL
        SELECT n, 0 FROM blocked) AS f
  CROSS JOIN edges e ON e.dep = f.n
 WHERE f.all_edges OR e.required = 0
 GROUP BY e.task;

UPDATE waiting SET waiting_on = waiting_on - (SELECT r.k FROM released r WHERE r.n = waiting.n)
 WHERE n IN (SELECT n FROM released) AND blocked_by IS NULL;

INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT w.n, w.tree, w.priority, w.due, w.attempt, w.base, w.token
  FROM released r CROSS JOIN waiting w ON w.n = r.n
 WHERE w.waiting_on = 0 AND w.blocked_by IS NULL;

DELETE FROM waiting WHERE n IN (SELECT n FROM released) AND waiting_on = 0 AND blocked_by IS NULL;

INSERT INTO counted (n, open, failed, cancelled)
SELECT tree, sum(open), sum(failed), sum(cancelled)
  FROM (SELECT tree, open, (kind = {FAILED}) - blocked AS failed, kind = {CANCELLED} AS cancelled
          FROM finished WHERE kind <= {CANCELLED} AND (open OR blocked)
        UNION ALL
        SELECT tree, 1, 1, 0 FROM blocked)
 GROUP BY tree;

UPDATE trees
   SET open = trees.open - c.open,
       failed = trees.failed + c.failed,
       cancelled = trees.cancelled + c.cancelled,
       status = CASE WHEN trees.open > c.open THEN trees.status
                     WHEN trees.failed + c.failed > 0 THEN {FAILED}
                     WHEN trees.cancelled + c.cancelled > 0 THEN {CANCELLED}
                     ELSE {COMPLETED} END,
       ended_at = CASE WHEN trees.open > c.open THEN trees.ended_at ELSE NEW.now END
  FROM counted AS c WHERE trees.n IN (SELECT n FROM counted) AND c.n = trees.n AND trees.open > 0;

INSERT INTO events (tree, attempt, kind, at, started_at)
SELECT t.n, t.execution,
       CASE t.status WHEN {COMPLETED} THEN {TREE_COMPLETED} WHEN {CANCELLED} THEN {TREE_CANCELLED} ELSE {TREE_FAILED} END,
       NEW.now, t.started_at
  FROM counted c CROSS JOIN trees t ON t.n = c.n
 WHERE c.open > 0 AND t.open = 0
 ORDER BY t.n;
"
    )
});

/// The executions that this transaction ended.
pub(super) const ENDED: &str = "
SELECT t.n AS ended, t.execution, t.status, t.id
  FROM counted c CROSS JOIN trees t ON t.n = c.n
 WHERE c.open > 0 AND t.open = 0
 ORDER BY t.n;
";

#[cfg(test)]
mod tests {
    use apflow_core::task::TreeStatus;

    use super::*;

    /// The `CASE` of [`SETTLE`] is the core's rule.
    #[tokio::test]
    async fn executions_end_as_the_core_says() {
        let store = crate::sqlite::tests::store().await;
        let mut writing = store.0.write().await;
        for (n, (failed, cancelled)) in [(0, 0), (0, 2), (1, 2), (3, 0)].into_iter().enumerate() {
            let tree = n as i64 + 1;
            let text = format!(
                "INSERT INTO trees (n, id, root, last, created_at, status, open, failed, cancelled)
                 VALUES ({tree}, 't{tree}', 1, 1, 0, 1, 1, {failed}, {cancelled});
                 INSERT INTO finished (n, tree, kind, open, blocked, attempt, token) VALUES (1, {tree}, {COMPLETED}, 1, 0, 1, 1);
                 INSERT INTO settle VALUES ($1); {ENDED} INSERT INTO clear_scratch VALUES (0);"
            );
            let mut ended = Vec::new();
            let statement = sqlx::query(sqlx::AssertSqlSafe(text)).bind(7i64);
            let each = |row: &sqlx::sqlite::SqliteRow| {
                ended.push((
                    crate::rows::at::<i64>(row, 0)?,
                    crate::rows::tree_status(crate::rows::at(row, 2)?)?,
                ));
                Ok(())
            };
            writing.continue_with(statement, each).await.map_err(apflow_core::error::Error::from).unwrap();
            assert_eq!(ended, [(tree, TreeStatus::at_end(failed, cancelled))]);
        }
    }
}
