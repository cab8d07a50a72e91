//! Reading the `dependencies` of a task object.

use serde_json::Value;

use super::kind_of;
use crate::task::DependencyKind;

/// A dependency as written: by id or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyDraft {
    /// Id or name.
    pub reference: String,
    /// Whether it must complete.
    pub required: bool,
    /// What it gives.
    pub kind: DependencyKind,
}

/// Reads a `dependencies` array: bare strings, or objects `{"id" | "name", "required", "type"}`.
///
/// # Errors
/// A sentence about the first item that is neither.
pub fn read_dependencies(value: &Value) -> Result<Vec<DependencyDraft>, String> {
    let Value::Array(items) = value else {
        return Err(format!("an array is expected, not {}", kind_of(value)));
    };
    items.iter().enumerate().map(|(i, item)| read_dependency(i, item)).collect()
}

fn read_dependency(index: usize, item: &Value) -> Result<DependencyDraft, String> {
    let map = match item {
        Value::String(reference) => {
            let reference = reference.clone();
            return Ok(DependencyDraft { reference, required: true, kind: DependencyKind::Result });
        }
        Value::Object(map) => map,
        other => return Err(format!("item {index} is {}, not a string or an object", kind_of(other))),
    };
    if let Some(key) = map.keys().find(|key| !["id", "name", "required", "type"].contains(&key.as_str())) {
        return Err(format!("item {index} has an unknown key '{key}'; known are id, name, required, type"));
    }
    let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let reference =
        text("id").or_else(|| text("name")).ok_or(format!("item {index} has no 'id' or 'name'"))?;
    let required = match map.get("required") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(required)) => *required,
        Some(other) => return Err(format!("item {index}: 'required' is {other}, not true or false")),
    };
    let kind = match map.get("type").and_then(Value::as_str) {
        Some("reference") => DependencyKind::Reference,
        // The original reads any text here and gives it no meaning.
        _ => DependencyKind::Result,
    };
    Ok(DependencyDraft { reference, required, kind })
}
