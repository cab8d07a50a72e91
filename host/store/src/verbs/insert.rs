//! What is the same about writing a tree: what its tasks wait for, the packed rest of a definition, and why a tree is
//! refused.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{TaskKey, TreeKey};
use apflow_core::plan::{self, Node};
use apflow_core::store::Inserted;
use apflow_core::task::{OriginType, TaskStatus};
use apflow_core::tree::{NewTask, NewTree};

use super::{gates, schedules};
use crate::database::{Database, Failure, Step, Work, arguments, replayed, sql};
use crate::error::{is_taken, store};
use crate::rows::{More, at, to_json};

/// Whether all of a tree stands in its tasks and what they depend on, as of most: it is then written in one hop.
pub(crate) fn is_plain(tree: &NewTree) -> bool {
    tree.schedule.is_none()
        && tree.deadline_ms.is_none()
        && tree.tasks.iter().all(|task| task.concurrency_key.is_none())
}

/// Writes a tree with what stands beside its tasks.
pub(crate) async fn whole(
    database: &impl Database,
    tree: &NewTree,
    execute: bool,
    now: Timestamp,
) -> Result<Inserted> {
    let once = || async {
        let mut work = database.begin().await?;
        let key = match work.insert(tree, execute, now).await {
            Ok(key) => key,
            Err(failure) => return Err(not_written(database, work, tree, failure).await),
        };
        let outcome = beside(&mut work, key, tree).await;
        work.end(outcome).await?;
        Ok(Inserted { tree: key, execution: execute.then_some(1) })
    };
    replayed(once).await
}

/// Writes what stands beside the tasks of a tree that was just written: its schedule, its deadline, the keys of its tasks.
pub(super) async fn beside(work: &mut impl Work, key: TreeKey, tree: &NewTree) -> Result<()> {
    if let Some(schedule) = &tree.schedule {
        schedules::plant(work, key, schedule).await?;
    }
    if tree.deadline_ms.is_some() {
        set_deadline(work, key, tree.deadline_ms).await?;
    }
    gates::plant(work, key, tree).await
}

pub(super) async fn set_deadline(work: &mut impl Work, key: TreeKey, deadline_ms: Option<u32>) -> Result<()> {
    work.step(Step::SetDeadline, arguments![key.0, deadline_ms.map(i64::from)], |_| Ok(())).await
}

/// For each task, how many others it waits for.
pub(crate) fn armed(tree: &NewTree) -> Vec<u32> {
    let key = |position: usize| TaskKey(position as i64);
    let nodes: Vec<Node> = tree
        .tasks
        .iter()
        .enumerate()
        .map(|(i, task)| Node {
            key: key(i),
            parent: task.parent.map(key),
            status: TaskStatus::Pending,
            origin: OriginType::Create,
            dependencies: task.dependencies.iter().map(|d| (key(d.target), d.required)).collect(),
        })
        .collect();
    let mut counts = vec![0; tree.tasks.len()];
    // All tasks are pending, so all are armed: those that the plan does not call waiting are ready.
    for (task, count) in plan::execution(&nodes, key(0), false).waiting {
        counts[task.0 as usize] = count;
    }
    counts
}

/// The column `more` of a new task.
pub(crate) fn more(task: &NewTask) -> Result<Option<String>> {
    let more = More {
        schemas: None,
        metadata: task.metadata.clone(),
        retry: task.retry,
        timeout_ms: task.timeout_ms,
        concurrency_key: task.concurrency_key.clone(),
        description: task.description.clone(),
    };
    more.with_schemas(&task.schemas).text()
}

/// Gives up a transaction that could not write its tree; says why.
pub(super) async fn not_written<D: Database>(
    database: &D,
    work: D::Work,
    tree: &NewTree,
    failure: Failure,
) -> Error {
    drop(work);
    refused(database, tree, failure).await
}

/// Names the id that is taken. Only asked after a refusal: to look first would cost every insert a lookup per task.
pub(crate) async fn refused(database: &impl Database, tree: &NewTree, failure: Failure) -> Error {
    let error = match failure {
        Failure::Statement(error) => error,
        Failure::Row(error) => return error,
    };
    if is_taken(&error, "trees.id") {
        return Error::new(
            ErrorCode::InvalidTree,
            format!("Task tree id already exists in database (tree_id: {}).", tree.id),
        )
        .with("tree_id", tree.id.as_str());
    }
    if !is_taken(&error, "tasks.id") {
        return store(error);
    }
    match taken(database, tree).await {
        Ok(Some(id)) => {
            Error::new(ErrorCode::InvalidTree, format!("Task id already exists in database (id: {id})."))
                .with("task_id", id)
        }
        Ok(None) => store(error),
        Err(error) => error,
    }
}

/// The first task of the tree whose id is in the database.
async fn taken<D: Database>(database: &D, tree: &NewTree) -> Result<Option<String>> {
    let ids: Vec<&str> = tree.tasks.iter().map(|task| task.id.as_str()).collect();
    let (listed, join) = (D::DIALECT.texts("$1"), D::DIALECT.join());
    let text = format!("SELECT t.id FROM {listed} {join} tasks t ON t.id = j.value ORDER BY j.key LIMIT 1");
    let arguments = arguments![to_json("list of ids", &ids)?];
    Ok(database.read(sql(text), arguments, |row| at::<String>(row, 0)).await?.pop())
}
