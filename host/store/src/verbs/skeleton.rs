//! A tree reduced to what the core's plans look at, and where a task's status comes from: the one place that says it in
//! SQL.

use std::collections::HashMap;

use apflow_core::error::{Error, Result};
use apflow_core::id::{TaskId, TaskKey, TreeId, TreeKey};
use apflow_core::plan::Node;
use apflow_core::task::TreeStatus;

use crate::database::{Dialect, Work, arguments, sql};
use crate::rows::{at, origin, status, tree_status};

/// The visible status of a task `t`: running is in progress, waiting, ready or delayed is pending, else what its newest
/// attempt came to, unless it was reopened since.
pub(crate) const STATUS: &str = "CASE
    WHEN EXISTS (SELECT 1 FROM running q WHERE q.n = t.n) THEN 1
    WHEN EXISTS (SELECT 1 FROM ready q WHERE q.n = t.n) OR EXISTS (SELECT 1 FROM delayed q WHERE q.n = t.n)
      OR EXISTS (SELECT 1 FROM waiting q WHERE q.n = t.n AND q.blocked_by IS NULL) THEN 0
    ELSE coalesce(
        (SELECT CASE WHEN o.n IS NULL THEN q.status ELSE 0 END
           FROM done q LEFT JOIN reopened o ON o.n = q.n AND o.attempt = q.attempt
          WHERE q.n = t.n ORDER BY q.attempt DESC LIMIT 1), 0)
    END";

/// The number of the newest attempt at a task `t`; 0 before the first.
pub(crate) const NEWEST: &str = "coalesce(
    (SELECT attempt FROM running q WHERE q.n = t.n),
    (SELECT attempt FROM ready q WHERE q.n = t.n),
    (SELECT attempt FROM waiting q WHERE q.n = t.n),
    (SELECT attempt FROM delayed q WHERE q.n = t.n),
    (SELECT max(attempt) FROM done q WHERE q.n = t.n), 0)";

/// Whether an execution that is under way will run a task `t`, or runs it.
pub(super) const ARMED: &str = "(EXISTS (SELECT 1 FROM running q WHERE q.n = t.n)
    OR EXISTS (SELECT 1 FROM ready q WHERE q.n = t.n)
    OR EXISTS (SELECT 1 FROM delayed q WHERE q.n = t.n)
    OR EXISTS (SELECT 1 FROM waiting q WHERE q.n = t.n AND q.blocked_by IS NULL))";

/// The number of the origin of a task `t`, see [`crate::rows::origin`].
pub(super) const ORIGIN: &str = "coalesce(
    (SELECT CASE WHEN o.archived_at IS NULL THEN o.type ELSE 3 END FROM origins o WHERE o.n = t.n), 0)";

/// The beginning of a statement that has a table `below` with the keys (`n`) of the task with the id `$1` and of everything
/// below it.
pub(super) fn below(dialect: Dialect) -> String {
    format!(
        "WITH RECURSIVE below (n) AS (
        SELECT n FROM tasks WHERE id = $1
        UNION ALL
        SELECT c.n FROM below b {} tasks c ON c.parent = b.n
    )",
        dialect.join()
    )
}

/// The tree of a task.
pub(super) struct TreeRow {
    pub key: TreeKey,
    pub id: TreeId,
    pub root: TaskId,
    pub status: TreeStatus,
    pub execution: u32,
    /// First and last key of its tasks.
    pub keys: (i64, i64),
}

/// The key of a task, and its tree.
pub(super) async fn tree_of(work: &mut impl Work, task: &TaskId) -> Result<(TaskKey, TreeRow)> {
    let text = "
SELECT t.n, x.n, x.id, r.id, x.status, x.execution, x.root, x.last
  FROM tasks t JOIN trees x ON x.n = t.tree JOIN tasks r ON r.n = x.root
 WHERE t.id = $1";
    let found = work.rows(sql(text), arguments![task.as_str()], |row| {
        let tree = TreeRow {
            key: TreeKey(at(row, 1)?),
            id: TreeId::from(at::<&str>(row, 2)?),
            root: TaskId::from(at::<&str>(row, 3)?),
            status: tree_status(at(row, 4)?)?,
            execution: at(row, 5)?,
            keys: (at(row, 6)?, at(row, 7)?),
        };
        Ok((TaskKey(at(row, 0)?), tree))
    });
    found.await?.pop().ok_or_else(|| Error::task_not_found(task))
}

/// All tasks of the tree with these first and last keys, in pre-order.
pub(super) async fn skeleton(work: &mut impl Work, keys: (i64, i64)) -> Result<Vec<Node>> {
    let text = format!(
        "SELECT t.n, t.parent, {STATUS}, {ORIGIN} FROM tasks t WHERE t.n BETWEEN $1 AND $2 ORDER BY t.n"
    );
    let nodes = work.rows(sql(text), arguments![keys.0, keys.1], |row| {
        Ok(Node {
            key: TaskKey(at(row, 0)?),
            parent: at::<Option<i64>>(row, 1)?.map(TaskKey),
            status: status(at(row, 2)?)?,
            origin: origin(at(row, 3)?)?,
            dependencies: Vec::new(),
        })
    });
    let mut nodes = nodes.await?;
    let places: HashMap<TaskKey, usize> = nodes.iter().enumerate().map(|(i, node)| (node.key, i)).collect();
    for (task, dependency, required) in edges(work, keys).await? {
        if let Some(place) = places.get(&task) {
            nodes[*place].dependencies.push((dependency, required));
        }
    }
    Ok(nodes)
}

async fn edges(work: &mut impl Work, keys: (i64, i64)) -> Result<Vec<(TaskKey, TaskKey, bool)>> {
    let text = "SELECT task, dep, required FROM edges WHERE task BETWEEN $1 AND $2 ORDER BY task, pos";
    let edge = work.rows(sql(text), arguments![keys.0, keys.1], |row| {
        Ok((TaskKey(at(row, 0)?), TaskKey(at(row, 1)?), at::<i64>(row, 2)? != 0))
    });
    edge.await
}
