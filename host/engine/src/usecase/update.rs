//! An owner's edits, from wire fields to a patch.

use apflow_core::clone::check_mutable;
use apflow_core::draft::{MAX_EXECUTOR_BYTES, kind_of, read_dependencies};
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::gate::MAX_KEY_BYTES;
use apflow_core::id::TaskId;
use apflow_core::inputs::references;
use apflow_core::json::Json;
use apflow_core::retry::RetryPolicy;
use apflow_core::schedule::SchedulePatch;
use apflow_core::store::TaskPatch;
use apflow_core::task::{MAX_PRIORITY, Task, TaskStatus};
use apflow_core::transition::{owner_change, transition};
use serde_json::{Map, Value};

use crate::engine::Engine;

impl Engine {
    /// Changes fields of a task, named as on the wire. All are checked before any is changed, and all problems come
    /// in one error.
    ///
    /// # Errors
    /// `TaskNotFound`, `InvalidTransition`, `InvalidDependency`, `CircularDependency`, `InvalidTask`, `ScheduleInvalid`.
    pub async fn update(&self, id: &TaskId, mut changes: Map<String, Value>) -> Result<Task> {
        let task = self.get(id).await?.ok_or_else(|| Error::task_not_found(id))?;
        check_mutable(id, task.origin_type, "changed")?;
        let wanted =
            changes.get("status").map(read_status).transpose()?.filter(|status| *status != task.status);
        if let Some(to) = wanted {
            transition(task.status, owner_change(task.status, to)?)?;
        }
        let schedule = SchedulePatch::take(&mut changes)?;
        let mut patch = read_patch(&task, changes, self.0.options.limits.max_field_bytes)?;
        patch.status = wanted.filter(|status| *status == TaskStatus::Pending);
        patch.schedule = schedule;
        let now = self.0.now();
        let schedules = patch.schedule.is_some();
        let mut updated =
            if patch == TaskPatch::default() { task } else { self.0.store.update(id, patch, now).await? };
        if schedules {
            self.0.schedules.ring();
        }
        if wanted == Some(TaskStatus::Cancelled) {
            self.cancel(vec![id.clone()], true, None).await?;
            updated = self.get(id).await?.ok_or_else(|| Error::task_not_found(id))?;
        }
        self.0.events.written(Vec::new());
        Ok(updated)
    }
}

impl Engine {
    /// What shall be different in the copies of a task, named as on the wire.
    ///
    /// # Errors
    /// `TaskNotFound`, `InvalidTask` with all problems.
    pub async fn read_clone_changes(&self, id: &TaskId, fields: Map<String, Value>) -> Result<TaskPatch> {
        if fields.is_empty() {
            return Ok(TaskPatch::default());
        }
        let task = self.get(id).await?.ok_or_else(|| Error::task_not_found(id))?;
        for field in ["status", "dependencies"] {
            if fields.contains_key(field) {
                let text = format!("'{field}' of a copy follows from what it is a copy of; leave it out");
                return Err(Error::invalid_params("reset_fields", text));
            }
        }
        read_patch(&task, fields, self.0.options.limits.max_field_bytes)
    }
}

fn read_status(value: &Value) -> Result<TaskStatus> {
    value.as_str().and_then(TaskStatus::parse).ok_or_else(|| {
        let known: Vec<&str> = TaskStatus::ALL.iter().map(|status| status.as_str()).collect();
        Error::new(
            ErrorCode::InvalidTransition,
            format!("status {value} does not exist; there are {known:?}"),
        )
        .with("field", "status")
    })
}

/// All changes but the status, or all that is wrong with them.
fn read_patch(task: &Task, changes: Map<String, Value>, max_bytes: usize) -> Result<TaskPatch> {
    let mut patch = TaskPatch::default();
    let mut problems: Vec<String> = Vec::new();
    for (field, value) in changes {
        if let Err(problem) = read_field(&mut patch, task, &field, value, max_bytes) {
            problems.push(problem);
        }
    }
    if problems.is_empty() {
        return Ok(patch);
    }
    let text = format!("Update failed:\n- {}", problems.join("\n- "));
    Err(Error::new(ErrorCode::InvalidTask, text).with("problems", problems))
}

fn read_field(
    patch: &mut TaskPatch,
    task: &Task,
    field: &str,
    value: Value,
    max_bytes: usize,
) -> Result<(), String> {
    let object = |value: Value| match value {
        Value::Object(_) => {
            let json = Json::from(value);
            let size = json.as_str().len();
            if size > max_bytes {
                return Err(format!(
                    "'{field}' has {size} bytes, the limit is {max_bytes} (limits.max_field_bytes)"
                ));
            }
            Ok(json)
        }
        other => Err(format!("'{field}': an object is expected, not {}", kind_of(&other))),
    };
    match field {
        "status" => {}
        "name" => patch.name = Some(read_name(&value)?),
        "priority" => patch.priority = Some(read_priority(&value)?),
        "inputs" => {
            if let Value::Object(map) = &value {
                check_references(task, map)?;
            }
            patch.inputs = Some(object(value)?);
        }
        "params" => {
            let named = value.get("executor_id").and_then(Value::as_str).map(str::to_owned);
            if named.is_some() {
                patch.executor = Some(named);
            }
            patch.params = Some(object(value)?);
        }
        "schemas" => patch.schemas = Some(object(value)?),
        "executor" => match value {
            Value::String(id) if !id.is_empty() && id.len() <= MAX_EXECUTOR_BYTES => {
                patch.executor = Some(Some(id));
            }
            Value::Null => patch.executor = Some(None),
            other => {
                return Err(format!(
                    "'executor' is {other}, an executor's id of 1 to {MAX_EXECUTOR_BYTES} bytes is expected"
                ));
            }
        },
        "metadata" => patch.metadata = Some(if value.is_null() { None } else { Some(object(value)?) }),
        "description" => match value {
            Value::Null => patch.description = Some(None),
            Value::String(text) if text.len() <= max_bytes => patch.description = Some(Some(text)),
            Value::String(text) => {
                return Err(format!(
                    "'description' has {} bytes, the limit is {max_bytes} (limits.max_field_bytes)",
                    text.len()
                ));
            }
            other => return Err(format!("'description': a string is expected, not {}", kind_of(&other))),
        },
        "retry" => patch.retry = Some(read_retry(value)?),
        "timeout_ms" => patch.timeout_ms = Some(read_milliseconds(field, &value)?),
        "deadline_ms" => patch.deadline_ms = Some(read_milliseconds(field, &value)?),
        "concurrency_key" => patch.concurrency_key = Some(read_key(value)?),
        "dependencies" => {
            let list = read_dependencies(&value).map_err(|problem| format!("'dependencies': {problem}"))?;
            patch.dependencies = Some(
                list.into_iter().map(|one| (TaskId::from(one.reference), one.required, one.kind)).collect(),
            );
        }
        "parent_id" | "user_id" => {
            return Err(format!(
                "Cannot update '{field}': field cannot be updated (task hierarchy and owner are fixed)"
            ));
        }
        "result" | "error" | "progress" | "started_at" | "completed_at" => {
            return Err(format!("'{field}' is recorded by executing the task and cannot be set"));
        }
        other => return Err(format!("'{other}': there is no such field, or it cannot be changed")),
    }
    Ok(())
}

/// References may name only what the task depends on already.
fn check_references(task: &Task, inputs: &Map<String, Value>) -> Result<(), String> {
    for name in references(inputs).map_err(|problem| format!("'inputs': {problem}"))? {
        // Names are checked again when the task runs; an id that is no dependency is wrong already.
        if task.dependencies.is_empty() {
            return Err(format!("'inputs' refers to task '{name}', which is not a dependency of this task"));
        }
    }
    Ok(())
}

fn read_name(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(name) if !name.is_empty() && name.chars().count() <= 100 => Ok(name.to_owned()),
        _ => Err(format!("'name' is {value}, a string of 1 to 100 characters is expected")),
    }
}

fn read_priority(value: &Value) -> Result<u8, String> {
    value
        .as_u64()
        .and_then(|number| u8::try_from(number).ok())
        .filter(|number| *number <= MAX_PRIORITY)
        .ok_or_else(|| {
            format!("'priority' is {value}, a whole number from 0 (urgent) to {MAX_PRIORITY} is expected")
        })
}

fn read_retry(value: Value) -> Result<Option<RetryPolicy>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let policy: RetryPolicy = serde_json::from_value(value).map_err(|error| format!("'retry': {error}"))?;
    policy.check()?;
    Ok(Some(policy))
}

fn read_key(value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key)),
        other => {
            Err(format!("'concurrency_key' is {other}, a string of 1 to {MAX_KEY_BYTES} bytes is expected"))
        }
    }
}

fn read_milliseconds(field: &str, value: &Value) -> Result<Option<u32>, String> {
    if value.is_null() {
        return Ok(None);
    }
    match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
        Some(number) if number > 0 => Ok(Some(number)),
        _ => Err(format!("'{field}' is {value}, a whole number of milliseconds above 0 is expected")),
    }
}
