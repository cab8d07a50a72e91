//! What plugins keep: state, checkpoints, child trees. A run is recognised by its token; what it is no longer allowed to do
//! changes no row.

use apflow_core::error::Result;
use apflow_core::id::{TaskId, TaskKey, TreeKey};
use apflow_core::json::Json;
use apflow_core::plugin::services::{Expected, StateEntry};
use apflow_core::store::{ChildFacts, RunRef, StateWrite, StateWritten};

use crate::database::{Argument, Database, Step, Work, arguments, replayed, sql};
use crate::rows::{at, json, optional_json, to_json};

/// The run `$1`, `$2` (task, token) and its tree.
const RUN: &str = "FROM running r JOIN trees x ON x.n = r.tree WHERE r.n = $1 AND r.token = $2";

fn run_arguments(run: RunRef) -> Vec<Argument> {
    arguments![run.key.0, run.token.0]
}

pub(crate) async fn state(database: &impl Database, plugin: &str, key: &str) -> Result<Option<StateEntry>> {
    let text = "SELECT value, version FROM plugin_state WHERE plugin = $1 AND key = $2";
    let read = |row: &_| Ok(StateEntry { value: json(row, 0)?, version: at::<i64>(row, 1)?.unsigned_abs() });
    Ok(database.read(sql(text), arguments![plugin, key], read).await?.pop())
}

pub(crate) async fn write_state(database: &impl Database, write: &StateWrite) -> Result<StateWritten> {
    replayed(|| async {
        let mut work = database.begin().await?;
        let outcome = change_state(&mut work, write).await;
        work.end(outcome).await
    })
    .await
}

async fn change_state(work: &mut impl Work, write: &StateWrite) -> Result<StateWritten> {
    if write.value.is_some() && !matches!(write.expected, Expected::Version(_)) {
        let text = "SELECT count(*) FROM plugin_state WHERE plugin = $1 AND key <> $2";
        let arguments = arguments![write.plugin.as_str(), write.key.as_str()];
        let others =
            work.rows(sql(text), arguments, |row| at::<i64>(row, 0)).await?.pop().unwrap_or_default();
        if others >= i64::from(write.most_keys) {
            return Ok(StateWritten::Full);
        }
    }
    let (text, arguments) = statement(write);
    let changed = work.rows(sql(text), arguments, |_| Ok(())).await?.len();
    // To remove what is not there is to find nothing and to leave nothing.
    let nothing = write.value.is_none() && write.expected == Expected::Any;
    Ok(if changed == 1 || nothing { StateWritten::Done } else { StateWritten::Unexpected })
}

/// One that gives a row if it did what was asked.
fn statement(write: &StateWrite) -> (&'static str, Vec<Argument>) {
    let key = arguments![write.plugin.as_str(), write.key.as_str()];
    let with = |more: Vec<Argument>| key.iter().cloned().chain(more).collect();
    let Some(value) = &write.value else {
        return match write.expected {
            Expected::Any => {
                ("DELETE FROM plugin_state WHERE plugin = $1 AND key = $2 RETURNING version", key)
            }
            Expected::Absent => {
                ("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM plugin_state WHERE plugin = $1 AND key = $2)", key)
            }
            Expected::Version(version) => (
                "DELETE FROM plugin_state WHERE plugin = $1 AND key = $2 AND version = $3 RETURNING version",
                with(arguments![version.cast_signed()]),
            ),
        };
    };
    let new = arguments![value.as_str(), write.version.cast_signed()];
    match write.expected {
        Expected::Any => (
            "INSERT INTO plugin_state (plugin, key, value, version) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value, version = excluded.version RETURNING version",
            with(new),
        ),
        Expected::Absent => (
            "INSERT INTO plugin_state (plugin, key, value, version) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (plugin, key) DO NOTHING RETURNING version",
            with(new),
        ),
        Expected::Version(version) => (
            "UPDATE plugin_state SET value = $3, version = $4 WHERE plugin = $1 AND key = $2 AND version = $5 RETURNING version",
            with(new.into_iter().chain(arguments![version.cast_signed()]).collect()),
        ),
    }
}

pub(crate) async fn checkpoint(database: &impl Database, run: RunRef) -> Result<Option<Json>> {
    let text = format!(
        "SELECT (SELECT c.data FROM checkpoints c WHERE c.n = r.n AND c.execution = x.execution) {RUN}"
    );
    let found = database.read(sql(text), run_arguments(run), |row| optional_json(row, 0));
    found.await?.pop().ok_or_else(|| run.lost())
}

pub(crate) async fn save_checkpoint(
    database: &impl Database,
    run: RunRef,
    data: Option<&Json>,
) -> Result<()> {
    match data {
        Some(data) => {
            let text = format!(
                "INSERT INTO checkpoints (n, execution, data) SELECT r.n, x.execution, $3 {RUN}
                     ON CONFLICT (n) DO UPDATE SET execution = excluded.execution, data = excluded.data RETURNING n"
            );
            let arguments = run_arguments(run).into_iter().chain(arguments![data.as_str()]).collect();
            held(database, run, text, arguments).await
        }
        None => {
            check_held(database, run).await?;
            let text = "DELETE FROM checkpoints WHERE n = $1 AND n IN (SELECT n FROM running WHERE n = $1 AND token = $2) RETURNING n";
            changed(database, text.into(), run_arguments(run)).await.map(drop)
        }
    }
}

pub(crate) async fn child_facts(database: &impl Database, run: RunRef) -> Result<ChildFacts> {
    let text = format!(
        "SELECT coalesce((SELECT c.depth FROM child_trees c WHERE c.tree = r.tree), 0),
                (SELECT count(*) FROM child_trees c WHERE c.task = r.n AND c.execution = x.execution), x.execution {RUN}"
    );
    let read = |row: &_| Ok(ChildFacts { depth: at(row, 0)?, children: at(row, 1)?, execution: at(row, 2)? });
    database.read(sql(text), run_arguments(run), read).await?.pop().ok_or_else(|| run.lost())
}

pub(crate) async fn adopt(database: &impl Database, run: RunRef, tree: TreeKey) -> Result<()> {
    let text = format!(
        "INSERT INTO child_trees (tree, task, execution, depth)
         SELECT $3, r.n, x.execution, 1 + coalesce((SELECT c.depth FROM child_trees c WHERE c.tree = r.tree), 0) {RUN}
             ON CONFLICT (tree) DO UPDATE SET task = child_trees.task RETURNING tree"
    );
    let arguments = run_arguments(run).into_iter().chain(arguments![tree.0]).collect();
    held(database, run, text, arguments).await
}

pub(crate) async fn is_child(database: &impl Database, task: TaskKey, root: &TaskId) -> Result<bool> {
    let text =
        "SELECT EXISTS (SELECT 1 FROM child_trees c JOIN trees x ON x.n = c.tree JOIN tasks t ON t.n = x.root
                 WHERE c.task = $1 AND t.id = $2)";
    let found = database.read(sql(text), arguments![task.0, root.as_str()], |row| at::<bool>(row, 0)).await?;
    Ok(found == [true])
}

pub(crate) async fn running_children<D: Database>(database: &D, tasks: &[TaskKey]) -> Result<Vec<TaskId>> {
    let text = format!(
        "SELECT t.id FROM {} AS k JOIN child_trees c ON c.task = k.value JOIN trees x ON x.n = c.tree JOIN tasks t ON t.n = x.root
          WHERE x.status = 1 ORDER BY x.n",
        D::DIALECT.numbers("$1")
    );
    let keys = to_json("list of tasks", &tasks)?;
    database.read(sql(text), arguments![keys], |row| at::<&str>(row, 0).map(TaskId::from)).await
}

pub(crate) async fn free_places(database: &impl Database, run: RunRef) -> Result<()> {
    replayed(|| database.run(Step::FreePlaces, run_arguments(run), |_| Ok(()))).await
}

async fn check_held(database: &impl Database, run: RunRef) -> Result<()> {
    let text = format!("SELECT 1 {RUN}");
    match database.read(sql(text), run_arguments(run), |_| Ok(())).await?.is_empty() {
        true => Err(run.lost()),
        false => Ok(()),
    }
}

/// Does a statement that gives a row if the run is held.
async fn held(database: &impl Database, run: RunRef, text: String, arguments: Vec<Argument>) -> Result<()> {
    match changed(database, text, arguments).await? {
        0 => Err(run.lost()),
        _ => Ok(()),
    }
}

async fn changed(database: &impl Database, text: String, arguments: Vec<Argument>) -> Result<usize> {
    replayed(|| async {
        let mut work = database.begin().await?;
        let outcome = work.rows(sql(text.clone()), arguments.clone(), |_| Ok(())).await;
        work.end(outcome).await
    })
    .await
    .map(|rows| rows.len())
}
