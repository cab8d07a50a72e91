//! `update`: an owner's edit of a definition. Everything is checked before anything is changed.

use std::collections::HashSet;

use apflow_core::clock::Timestamp;
use apflow_core::clone::check_mutable;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{TaskId, TaskKey, TreeKey};
use apflow_core::plan::circle;
use apflow_core::store::{TaskPatch, dependent_in_progress};
use apflow_core::task::{DependencyKind, OriginType, Task, TaskStatus};
use apflow_core::transition::{Change, owner_change, transition};
use apflow_core::tree::not_of_root;

use super::insert::set_deadline;
use super::query::{KEY_OF, view_text};
use super::schedules;
use super::skeleton::{ARMED, ORIGIN, STATUS, skeleton};
use super::view::view;
use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::rows::{More, at, kind_number, origin, status, to_json};

type Edges = Vec<(TaskKey, bool, DependencyKind)>;

pub(crate) async fn update(
    database: &impl Database,
    id: &TaskId,
    patch: &TaskPatch,
    now: Timestamp,
) -> Result<Task> {
    replayed(|| once(database, id, patch, now)).await
}

async fn once(database: &impl Database, id: &TaskId, patch: &TaskPatch, now: Timestamp) -> Result<Task> {
    let mut work = database.begin().await?;
    let outcome = apply(&mut work, id, patch, now).await;
    work.end(outcome).await
}

async fn apply<W: Work>(work: &mut W, id: &TaskId, patch: &TaskPatch, now: Timestamp) -> Result<Task> {
    work.lock_trees(std::slice::from_ref(id)).await?;
    let row = Row::load(work, id).await?;
    check_mutable(id, row.origin, "changed")?;
    let reopen = patch.status.map(|to| row.new_status(to)).transpose()?.is_some();
    let dependencies = match &patch.dependencies {
        Some(wanted) => Some(row.new_dependencies(work, wanted).await?),
        None => None,
    };
    if let Some(dependencies) = dependencies {
        rewire(work, &row, &dependencies).await?;
    }
    if let Some(change) = &patch.schedule {
        let is_root = row.key.0 == row.keys.0;
        schedules::edit(work, row.key, &row.name, is_root, change, now).await?;
    }
    if reopen {
        work.step(Step::Reopen, arguments![row.key.0], |_| Ok(())).await?;
    }
    if let Some(priority) = patch.priority {
        work.step(Step::Move, arguments![row.key.0, i64::from(priority)], |_| Ok(())).await?;
    }
    if let Some(deadline) = patch.deadline_ms {
        if row.key.0 != row.keys.0 {
            return Err(not_of_root(&row.name));
        }
        set_deadline(work, row.tree, deadline).await?;
    }
    let regates = patch.concurrency_key.is_some() || patch.executor.is_some();
    let key = patch.concurrency_key.clone().unwrap_or_else(|| row.more.concurrency_key.clone());
    let task = row.key;
    row.write(work, patch.clone(), now).await?;
    if regates {
        work.step(Step::Regate, arguments![task.0, key], |_| Ok(())).await?;
    }
    let text = view_text(W::DIALECT, KEY_OF, "");
    let mut tasks = work.rows(text, arguments![id.as_str()], view).await?;
    tasks.pop().ok_or_else(|| Error::task_not_found(id))
}

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
    async fn load(work: &mut impl Work, id: &TaskId) -> Result<Self> {
        let text = format!(
            "SELECT t.n, t.tree, x.root, x.last, {STATUS}, {ARMED}, t.name, t.priority, t.executor, t.inputs, t.params,
                    t.more, {ORIGIN}
               FROM tasks t JOIN trees x ON x.n = t.tree WHERE t.id = $1"
        );
        let rows = work.rows(sql(text), arguments![id.as_str()], |row| {
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
        work: &mut impl Work,
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
        if let Some(busy) = self.running_dependent(work).await? {
            return Err(self.refuse(dependent_in_progress(&self.id, &busy)));
        }
        let keys = self.lookup(work, wanted).await?;
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
        self.check_circle(work, &edges).await?;
        Ok(edges)
    }

    /// A task in progress that depends on this one.
    async fn running_dependent<W: Work>(&self, work: &mut W) -> Result<Option<TaskId>> {
        let join = W::DIALECT.join();
        let text = format!(
            "SELECT t.id FROM edges e {join} running r ON r.n = e.task {join} tasks t ON t.n = e.task
              WHERE e.dep = $1 LIMIT 1"
        );
        let found = work.rows(sql(text), arguments![self.key.0], |row| at::<&str>(row, 0).map(TaskId::from));
        Ok(found.await?.pop())
    }

    /// For each wanted dependency its key, if it is in the tree.
    async fn lookup<W: Work>(
        &self,
        work: &mut W,
        wanted: &[(TaskId, bool, DependencyKind)],
    ) -> Result<Vec<Option<TaskKey>>> {
        let ids: Vec<&TaskId> = wanted.iter().map(|(id, _, _)| id).collect();
        let text = format!(
            "SELECT t.n FROM {} LEFT JOIN tasks t ON t.id = j.value AND t.tree = $2 ORDER BY j.key",
            W::DIALECT.texts("$1")
        );
        let arguments = arguments![to_json("list of ids", &ids)?, self.tree.0];
        work.rows(sql(text), arguments, |row| Ok(at::<Option<i64>>(row, 0)?.map(TaskKey))).await
    }

    async fn check_circle(&self, work: &mut impl Work, edges: &Edges) -> Result<()> {
        let mut graph: Vec<(TaskKey, Vec<TaskKey>)> = Vec::new();
        for node in skeleton(work, self.keys).await? {
            let targets = match node.key == self.key {
                true => edges.iter().map(|(key, _, _)| *key).collect(),
                false => node.dependencies.iter().map(|(key, _)| *key).collect(),
            };
            graph.push((node.key, targets));
        }
        let Some(at_key) = circle(&graph) else { return Ok(()) };
        let text = sql("SELECT id, name FROM tasks WHERE n = $1");
        let read =
            work.rows(text, arguments![at_key.0], |row| Ok((at::<String>(row, 0)?, at::<String>(row, 1)?)));
        let names = read.await?;
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
    async fn write(mut self, work: &mut impl Work, patch: TaskPatch, now: Timestamp) -> Result<()> {
        let text = |json: apflow_core::json::Json| json.as_str().to_owned();
        if let Some(schemas) = patch.schemas {
            self.more = self.more.with_schemas(&schemas);
        }
        let more = More {
            schemas: self.more.schemas,
            metadata: patch.metadata.unwrap_or(self.more.metadata),
            retry: patch.retry.unwrap_or(self.more.retry),
            timeout_ms: patch.timeout_ms.unwrap_or(self.more.timeout_ms),
            concurrency_key: patch.concurrency_key.unwrap_or(self.more.concurrency_key),
            description: patch.description.unwrap_or(self.more.description),
        };
        let arguments = arguments![
            now,
            self.key.0,
            patch.name.unwrap_or(self.name),
            patch.priority.map_or(self.priority, i64::from),
            patch.executor.unwrap_or(self.executor),
            patch.inputs.map_or(self.inputs, text),
            patch.params.map_or(self.params, text),
            more.text()?,
        ];
        work.step(Step::Redefine, arguments, |_| Ok(())).await
    }
}

/// Gives a task other dependencies. If it stood blocked, that is behind it.
async fn rewire(work: &mut impl Work, row: &Row, edges: &Edges) -> Result<()> {
    let edges: Vec<_> =
        edges.iter().map(|(key, required, kind)| (key, u8::from(*required), kind_number(*kind))).collect();
    let arguments = arguments![row.key.0, to_json("list of dependencies", &edges)?];
    work.step(Step::Rewire, arguments, |_| Ok(())).await
}
