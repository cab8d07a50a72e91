//! Reading task objects as callers write them: every key is known or refused by name, and every value that is out of
//! range is named with its index, field and remedy.

mod dependencies;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, Result};
use crate::gate::MAX_KEY_BYTES;
use crate::id::{MAX_ID_BYTES, TaskId, TreeId};
use crate::inputs::references;
use crate::json::Json;
use crate::retry::RetryPolicy;
use crate::schedule::{self, SchedulePatch};
use crate::task::{DEFAULT_PRIORITY, MAX_PRIORITY};

pub use dependencies::{DependencyDraft, read_dependencies};

/// The longest executor id, in bytes.
pub const MAX_EXECUTOR_BYTES: usize = 100;

/// How large a creation may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimits {
    /// Tasks in one tree.
    pub max_tasks: usize,
    /// Levels of one tree, the root included.
    pub max_depth: usize,
    /// Bytes of one JSON field of a task.
    pub max_field_bytes: usize,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { max_tasks: 200_000, max_depth: 1_000, max_field_bytes: 4 * 1024 * 1024 }
    }
}

/// One task object, checked for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDraft {
    /// Chosen id.
    pub id: Option<TaskId>,
    /// Id or name of the parent.
    pub parent_id: Option<String>,
    /// Chosen tree id.
    pub tree_id: Option<TreeId>,
    /// Owner.
    pub user_id: Option<String>,
    /// Name.
    pub name: String,
    /// 0 to 3.
    pub priority: u8,
    /// Declared dependencies.
    pub dependencies: Vec<DependencyDraft>,
    /// Tasks that `{"$from": …}` in the inputs names.
    pub references: Vec<String>,
    /// The executor.
    pub executor: Option<String>,
    /// An object.
    pub inputs: Json,
    /// An object.
    pub params: Json,
    /// An object.
    pub schemas: Json,
    /// Free text.
    pub description: Option<String>,
    /// A free object.
    pub metadata: Option<Json>,
    /// When to try again.
    pub retry: Option<RetryPolicy>,
    /// Longest time for one attempt.
    pub timeout_ms: Option<u32>,
    /// Longest time for one execution of the tree.
    pub deadline_ms: Option<u32>,
    /// Limits how many tasks with this key run at a time.
    pub concurrency_key: Option<String>,
    /// What it says of a schedule.
    pub schedule: Option<SchedulePatch>,
}

/// Fields that the host sets: a task object that was read from it may be sent back as long as they say nothing new.
const SET_BY_HOST: &[&str] = &[
    "status",
    "result",
    "error",
    "error_info",
    "progress",
    "created_at",
    "started_at",
    "updated_at",
    "completed_at",
    "has_children",
    "original_task_id",
    "origin_type",
    "has_references",
    "next_run_at",
    "last_run_at",
    "run_count",
    "lease_id",
    "lease_expires_at",
    "attempt_id",
    "last_assigned_node",
    "blocked_by",
];
/// Fields of the task model whose meaning is not built: refused unless they say nothing.
const NOT_AVAILABLE: &[&str] = &["placement_constraints"];
/// The key of a creation, which [`crate::receipt::take_key`] takes from the root.
const KEY_OF_REQUEST: &str = "idempotency_key";

/// Reads the `tasks` of a creation: an array of task objects, or one object.
///
/// # Errors
/// The first malformed field, with its index.
pub fn read_all(tasks: Value, limits: TreeLimits) -> Result<Vec<TaskDraft>> {
    let list = match tasks {
        Value::Array(list) => list,
        Value::Object(_) => vec![tasks],
        other => {
            return Err(Error::invalid_params(
                "tasks",
                format!("an array of task objects or one task object is expected, not {}", kind_of(&other)),
            ));
        }
    };
    check_count(list.len(), limits)?;
    list.into_iter().enumerate().map(|(i, task)| read_one(i, task, limits)).collect()
}

/// Refuses a tree of more tasks than allowed.
pub(crate) fn check_count(tasks: usize, limits: TreeLimits) -> Result<()> {
    if tasks <= limits.max_tasks {
        return Ok(());
    }
    let text = format!("The tree has {tasks} tasks, the limit is {} (limits.max_tasks)", limits.max_tasks);
    Err(Error::new(ErrorCode::LimitExceeded, text).with("limit", limits.max_tasks))
}

fn read_one(index: usize, task: Value, limits: TreeLimits) -> Result<TaskDraft> {
    let Value::Object(fields) = task else {
        return Err(Error::new(ErrorCode::InvalidTask, format!("Task at index {index} is not an object"))
            .with("index", index));
    };
    let mut reader = Reader { index, fields, limits };
    let name = reader.name()?;
    let executor = reader.text("executor", MAX_EXECUTOR_BYTES)?;
    let inputs = reader.object("inputs")?;
    let params = reader.object("params")?;
    let schemas = reader.object("schemas")?;
    let named = |json: &Option<Map<String, Value>>, key: &str| {
        json.as_ref().and_then(|map| map.get(key)).and_then(Value::as_str).map(str::to_owned)
    };
    let by_params = named(&params, "executor_id");
    if let (Some(one), Some(other)) = (&executor, &by_params)
        && one != other
    {
        return Err(
            reader.refuse("executor", format!("it says '{one}' but params.executor_id says '{other}'"))
        );
    }
    let draft = TaskDraft {
        id: reader.text("id", MAX_ID_BYTES)?.map(TaskId::from),
        parent_id: reader.text("parent_id", MAX_ID_BYTES)?,
        tree_id: reader.text("task_tree_id", MAX_ID_BYTES)?.map(TreeId::from),
        user_id: reader.text("user_id", MAX_ID_BYTES)?,
        name,
        priority: reader.priority()?,
        dependencies: reader.dependencies()?,
        references: inputs
            .as_ref()
            .map(references)
            .transpose()
            .map_err(|p| reader.refuse("inputs", p))?
            .unwrap_or_default(),
        executor: executor.or(by_params).or_else(|| named(&schemas, "method")),
        inputs: reader.json("inputs", inputs)?.unwrap_or_else(Json::object),
        params: reader.json("params", params)?.unwrap_or_else(Json::object),
        schemas: reader.json("schemas", schemas)?.unwrap_or_else(Json::object),
        description: reader.text("description", limits.max_field_bytes)?,
        metadata: {
            let metadata = reader.object("metadata")?;
            reader.json("metadata", metadata)?
        },
        retry: reader.retry()?,
        timeout_ms: reader.milliseconds("timeout_ms")?,
        deadline_ms: reader.milliseconds("deadline_ms")?,
        concurrency_key: reader.text("concurrency_key", MAX_KEY_BYTES)?,
        schedule: reader.schedule()?,
    };
    reader.finish()?;
    Ok(draft)
}

/// Takes fields out of one task object; what is left at the end is unknown.
struct Reader {
    index: usize,
    fields: Map<String, Value>,
    limits: TreeLimits,
}

impl Reader {
    fn refuse(&self, field: &str, problem: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorCode::InvalidTask,
            format!("Task at index {}: field '{field}': {problem}", self.index),
        )
        .with("index", self.index)
        .with("field", field)
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    fn name(&mut self) -> Result<String> {
        match self.take("name") {
            Some(Value::String(name)) if !name.is_empty() && name.chars().count() <= 100 => Ok(name),
            Some(Value::String(name)) if !name.is_empty() => Err(self.refuse(
                "name",
                format!("it has {} characters, at most 100 are allowed", name.chars().count()),
            )),
            _ => Err(Error::new(
                ErrorCode::InvalidTask,
                format!("Task at index {} must have a 'name' field", self.index),
            )
            .with("index", self.index)
            .with("field", "name")),
        }
    }

    fn text(&mut self, field: &str, max_bytes: usize) -> Result<Option<String>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => {
                Err(self.refuse(field, "it is empty; leave it out"))
            }
            Some(Value::String(text)) if text.len() <= max_bytes => Ok(Some(text)),
            Some(Value::String(text)) => {
                Err(self
                    .refuse(field, format!("it has {} bytes, at most {max_bytes} are allowed", text.len())))
            }
            Some(other) => Err(self.refuse(field, format!("a string is expected, not {}", kind_of(&other)))),
        }
    }

    fn object(&mut self, field: &str) -> Result<Option<Map<String, Value>>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.refuse(field, format!("an object is expected, not {}", kind_of(&other)))),
        }
    }

    fn json(&self, field: &str, map: Option<Map<String, Value>>) -> Result<Option<Json>> {
        let Some(map) = map else { return Ok(None) };
        let json = Json::from(Value::Object(map));
        let (size, limit) = (json.as_str().len(), self.limits.max_field_bytes);
        if size > limit {
            return Err(Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "Task at index {}: field '{field}' has {size} bytes, the limit is {limit} (limits.max_field_bytes)",
                    self.index
                ),
            )
            .with("index", self.index)
            .with("field", field)
            .with("limit", limit));
        }
        Ok(Some(json))
    }

    fn priority(&mut self) -> Result<u8> {
        match self.take("priority") {
            None => Ok(DEFAULT_PRIORITY),
            Some(value) => value
                .as_u64()
                .and_then(|number| u8::try_from(number).ok())
                .filter(|number| *number <= MAX_PRIORITY)
                .ok_or_else(|| {
                    self.refuse(
                        "priority",
                        format!("{value} is not a whole number from 0 (urgent) to {MAX_PRIORITY}"),
                    )
                }),
        }
    }

    fn retry(&mut self) -> Result<Option<RetryPolicy>> {
        let Some(value) = self.take("retry") else { return Ok(None) };
        let policy: RetryPolicy =
            serde_json::from_value(value).map_err(|error| self.refuse("retry", error))?;
        policy.check().map_err(|problem| self.refuse("retry", problem))?;
        Ok(Some(policy))
    }

    fn milliseconds(&mut self, field: &str) -> Result<Option<u32>> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) if number > 0 => Ok(Some(number)),
            _ => Err(self.refuse(field, format!("{value} is not a whole number of milliseconds above 0"))),
        }
    }

    /// The fields of a schedule that a caller may set at creation.
    fn schedule(&mut self) -> Result<Option<SchedulePatch>> {
        let names = schedule::FIELDS.into_iter().filter(|name| !SET_BY_HOST.contains(name));
        let mut fields: Map<String, Value> =
            names.filter_map(|name| Some((name.to_owned(), self.fields.remove(name)?))).collect();
        SchedulePatch::take(&mut fields).map_err(|error| error.at_task(self.index))
    }

    fn dependencies(&mut self) -> Result<Vec<DependencyDraft>> {
        match self.take("dependencies") {
            None => Ok(Vec::new()),
            Some(value) => read_dependencies(&value).map_err(|problem| self.refuse("dependencies", problem)),
        }
    }

    /// What is left must say nothing or is refused by name.
    fn finish(self) -> Result<()> {
        for (field, value) in &self.fields {
            let says_nothing = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => {
                    matches!(
                        (field.as_str(), text.as_str()),
                        ("status", "pending") | ("origin_type", "create")
                    )
                }
                Value::Bool(true) | Value::Array(_) | Value::Object(_) => false,
            };
            let known = |list: &[&str]| list.contains(&field.as_str());
            if known(SET_BY_HOST) && !says_nothing {
                return Err(self.refuse(field, "it is set by the host; leave it out"));
            }
            if known(NOT_AVAILABLE) && !says_nothing {
                return Err(self.refuse(field, "this version does not support it; leave it out"));
            }
            if field == KEY_OF_REQUEST {
                if says_nothing {
                    continue;
                }
                return Err(self.refuse(
                    field,
                    "it belongs to the whole request: write it beside `tasks`, or at the root",
                ));
            }
            if !known(SET_BY_HOST) && !known(NOT_AVAILABLE) {
                return Err(self.refuse(field, "there is no such field; free data belongs into 'metadata'"));
            }
        }
        Ok(())
    }
}

/// The JSON type of a value, with an article.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
