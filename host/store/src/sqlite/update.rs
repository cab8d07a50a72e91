//! `update`: an owner's edit of a definition. Everything is checked before anything is changed.

use std::collections::HashSet;
use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::clone::check_mutable;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::{TaskId, TaskKey, TreeKey};
use apflow_core::plan::circle;
use apflow_core::store::{TaskPatch, dependent_in_progress};
use apflow_core::task::{DependencyKind, OriginType, Task, TaskStatus};
use apflow_core::transition::{Change, owner_change, transition};

use super::SqliteStore;
use super::query::{KEY_OF, view_statement};
use super::skeleton::{ARMED, NEWEST, ORIGIN, STATUS};
use super::transaction::Writing;
use super::view::view;
use crate::rows::{More, at, kind_number, origin, status, to_json};

const TASK_UPDATED: i64 = EventKind::TaskUpdated.number();

type Edges = Vec<(TaskKey, bool, DependencyKind)>;

pub(super) async fn update(
    store: &SqliteStore,
    id: &TaskId,
    patch: TaskPatch,
    now: Timestamp,
) -> Result<Task> {
    let mut writing = store.write().await;
    writing.begin().await?;
    let outcome = apply(&mut writing, id, patch, now).await;
    writing.end(outcome).await
}

async fn apply(writing: &mut Writing<'_>, id: &TaskId, patch: TaskPatch, now: Timestamp) -> Result<Task> {
    let row = Row::load(writing, id).await?;
    check_mutable(id, row.origin, "changed")?;
    let reopen = patch.status.map(|to| row.new_status(to)).transpose()?.is_some();
    let dependencies = match &patch.dependencies {
        Some(wanted) => Some(row.new_dependencies(writing, wanted).await?),
        None => None,
    };
    if let Some(dependencies) = dependencies {
        rewire(writing, &row, &dependencies).await?;
    }
    if reopen {
        writing.step(sqlx::query(REOPEN).bind(row.key.0), |_| Ok(())).await?;
    }
    if let Some(priority) = patch.priority {
        writing.step(sqlx::query(MOVE).bind(row.key.0).bind(i64::from(priority)), |_| Ok(())).await?;
    }
    row.write(writing, patch, now).await?;
    let mut tasks = writing.rows(view_statement(KEY_OF, "").bind(id.as_str().to_owned()), view).await?;
    tasks.pop().ok_or_else(|| Error::task_not_found(id))
}

/// The newest attempt no longer says what the task's status is.
const REOPEN: &str = "
INSERT OR REPLACE INTO reopened (n, attempt)
SELECT n, max(attempt) FROM done WHERE n = $1 GROUP BY n";

/// Puts a task at another place in its queue.
const MOVE: &str = "
UPDATE ready SET priority = $2 WHERE n = $1;
UPDATE waiting SET priority = $2 WHERE n = $1;
UPDATE delayed SET priority = $2 WHERE n = $1;
UPDATE running SET priority = $2 WHERE n = $1;";

/// A definition as it is stored, and where the task stands.
struct Row {
    key: TaskKey,
    id: TaskId,
    tree: TreeKey,
    /// First and last key of the tree.
    keys: (i64, i64),
    status: TaskStatus,
    armed: bool,
    origin: OriginType,
    name: String,
    priority: i64,
    executor: Option<String>,
    inputs: String,
    params: String,
    more: More,
}

impl Row {
    async fn load(writing: &mut Writing<'_>, id: &TaskId) -> Result<Self> {
        static TEXT: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT t.n, t.tree, x.root, x.last, {STATUS}, {ARMED}, t.name, t.priority, t.executor, t.inputs, t.params,
                        t.more, {ORIGIN}
                   FROM tasks t CROSS JOIN trees x ON x.n = t.tree WHERE t.id = $1"
            )
        });
        let statement = sqlx::query(TEXT.as_str()).bind(id.as_str().to_owned());
        let rows = writing.rows(statement, |row| {
            Ok(Self {
                key: TaskKey(at(row, 0)?),
                id: id.clone(),
                tree: TreeKey(at(row, 1)?),
                keys: (at(row, 2)?, at(row, 3)?),
                status: status(at(row, 4)?)?,
                armed: at(row, 5)?,
                origin: origin(at(row, 12)?)?,
                name: at(row, 6)?,
                priority: at(row, 7)?,
                executor: at(row, 8)?,
                inputs: at(row, 9)?,
                params: at(row, 10)?,
                more: More::read(at(row, 11)?)?,
            })
        });
        rows.await?.pop().ok_or_else(|| Error::task_not_found(id))
    }

    fn new_status(&self, to: TaskStatus) -> Result<TaskStatus> {
        match owner_change(self.status, to)? {
            Change::Cancel => Err(Error::new(
                ErrorCode::InvalidTransition,
                format!("Task '{}' is cancelled by cancelling it, not by an update of its status", self.id),
            )
            .with("status", self.status.as_str())
            .with("requested", to.as_str())),
            change => transition(self.status, change),
        }
    }

    fn refuse(&self, problem: String) -> Error {
        Error::new(ErrorCode::InvalidDependency, problem)
            .with("task_id", self.id.as_str())
            .with("field", "dependencies")
    }

    /// The keys of the wanted dependencies, without duplicates; the first of several wins.
    async fn new_dependencies(
        &self,
        writing: &mut Writing<'_>,
        wanted: &[(TaskId, bool, DependencyKind)],
    ) -> Result<Edges> {
        if self.status != TaskStatus::Pending || self.armed {
            let why =
                if self.armed { "an execution that is under way will run it" } else { "it is not pending" };
            return Err(self.refuse(format!(
                "Dependencies of task '{}' (status '{}') cannot be changed: {why}. Only a pending task that no execution has \
                 armed can get others",
                self.id, self.status
            )));
        }
        let text = "
SELECT t.id FROM edges e CROSS JOIN running r ON r.n = e.task CROSS JOIN tasks t ON t.n = e.task WHERE e.dep = $1 LIMIT 1";
        let busy = writing
            .rows(sqlx::query(text).bind(self.key.0), |row| at::<&str>(row, 0).map(TaskId::from))
            .await?;
        if let Some(busy) = busy.first() {
            return Err(self.refuse(dependent_in_progress(&self.id, busy)));
        }
        let keys = self.lookup(writing, wanted).await?;
        let mut known = HashSet::new();
        let mut edges = Vec::with_capacity(wanted.len());
        for ((id, required, kind), key) in wanted.iter().zip(keys) {
            let Some(key) = key else {
                let problem = format!("Dependency '{id}' of task '{}' is not a task of its tree", self.id);
                return Err(self.refuse(problem).with("value", id.as_str()));
            };
            if known.insert(key) {
                edges.push((key, *required, *kind));
            }
        }
        self.check_circle(writing, &edges).await?;
        Ok(edges)
    }

    /// For each wanted dependency its key, if it is in the tree.
    async fn lookup(
        &self,
        writing: &mut Writing<'_>,
        wanted: &[(TaskId, bool, DependencyKind)],
    ) -> Result<Vec<Option<TaskKey>>> {
        let ids: Vec<&TaskId> = wanted.iter().map(|(id, _, _)| id).collect();
        let text = "SELECT t.n FROM json_each($1) AS j LEFT JOIN tasks t ON t.id = j.value AND t.tree = $2 ORDER BY j.key";
        let statement = sqlx::query(text).bind(to_json("list of ids", &ids)?).bind(self.tree.0);
        writing.rows(statement, |row| Ok(at::<Option<i64>>(row, 0)?.map(TaskKey))).await
    }

    async fn check_circle(&self, writing: &mut Writing<'_>, edges: &Edges) -> Result<()> {
        let mut graph: Vec<(TaskKey, Vec<TaskKey>)> = Vec::new();
        for node in writing.skeleton(self.keys).await? {
            let targets = match node.key == self.key {
                true => edges.iter().map(|(key, _, _)| *key).collect(),
                false => node.dependencies.iter().map(|(key, _)| *key).collect(),
            };
            graph.push((node.key, targets));
        }
        let Some(at_key) = circle(&graph) else { return Ok(()) };
        let statement = sqlx::query("SELECT id, name FROM tasks WHERE n = $1").bind(at_key.0);
        let names = writing.rows(statement, |row| Ok((at::<String>(row, 0)?, at::<String>(row, 1)?))).await?;
        let (id, name) = names.into_iter().next().unwrap_or_default();
        Err(Error::new(
            ErrorCode::CircularDependency,
            format!(
                "Circular dependency detected involving task '{name}'. Tasks cannot have circular dependencies as this would \
                 cause infinite loops."
            ),
        )
        .with("task_id", id))
    }

    /// Writes the definition with the patch in it, and the event.
    async fn write(mut self, writing: &mut Writing<'_>, patch: TaskPatch, now: Timestamp) -> Result<()> {
        static TEXT: LazyLock<String> = LazyLock::new(|| {
            format!(
                "UPDATE tasks SET name = $3, priority = $4, executor = $5, inputs = $6, params = $7, more = $8, updated_at = $1
                  WHERE n = $2;
                 INSERT INTO events (tree, n, attempt, kind, at)
                 SELECT t.tree, t.n, {NEWEST}, {TASK_UPDATED}, $1 FROM tasks t WHERE t.n = $2;"
            )
        });
        let text = |json: apflow_core::json::Json| json.as_str().to_owned();
        if let Some(schemas) = patch.schemas {
            self.more = self.more.with_schemas(&schemas);
        }
        let more = More {
            schemas: self.more.schemas,
            metadata: patch.metadata.unwrap_or(self.more.metadata),
            retry: patch.retry.unwrap_or(self.more.retry),
            timeout_ms: patch.timeout_ms.unwrap_or(self.more.timeout_ms),
            description: patch.description.unwrap_or(self.more.description),
        };
        let statement = sqlx::query(TEXT.as_str())
            .bind(now.as_micros())
            .bind(self.key.0)
            .bind(patch.name.unwrap_or(self.name))
            .bind(patch.priority.map_or(self.priority, i64::from))
            .bind(patch.executor.unwrap_or(self.executor))
            .bind(patch.inputs.map_or(self.inputs, text))
            .bind(patch.params.map_or(self.params, text))
            .bind(more.text()?);
        Ok(writing.step(statement, |_| Ok(())).await?)
    }
}

/// Gives a task other dependencies. If it stood blocked, that is behind it.
async fn rewire(writing: &mut Writing<'_>, row: &Row, edges: &Edges) -> Result<()> {
    let text = "
DELETE FROM waiting WHERE n = $1;
DELETE FROM edges WHERE task = $1;
INSERT INTO edges (task, pos, dep, required, kind)
SELECT $1, key, value->>0, value->>1, value->>2 FROM json_each($2);";
    let edges: Vec<_> =
        edges.iter().map(|(key, required, kind)| (key, u8::from(*required), kind_number(*kind))).collect();
    let statement = sqlx::query(text).bind(row.key.0).bind(to_json("list of dependencies", &edges)?);
    Ok(writing.step(statement, |_| Ok(())).await?)
}
