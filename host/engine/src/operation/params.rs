//! Reading the parameters of operations: JSON into typed structs, with errors that name field, value and remedy.

use apflow_core::error::{Error, Result};
use apflow_core::id::TaskId;
use apflow_core::task::TaskStatus;
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Tasks that one call may name.
pub(super) const MAX_IDS: usize = 10_000;
/// Entries that one page may have.
pub(super) const MAX_LIMIT: u32 = 10_000;

/// Reads `params` into `T`; none at all is the same as `{}`.
///
/// # Errors
/// `InvalidParams`, naming the first field that does not fit.
pub(super) fn read<T: DeserializeOwned>(params: Value) -> Result<T> {
    let params = match params {
        Value::Null => Value::Object(Map::new()),
        Value::Object(_) => params,
        other => {
            return Err(Error::invalid_params(
                "params",
                format!("an object is expected, not {}", apflow_core::draft::kind_of(&other)),
            ));
        }
    };
    serde_path_to_error::deserialize(params).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        // Unknown and missing fields are found in the object that should (not) have them, and named in the message.
        let field = match path.as_str() {
            "." => problem.split('`').nth(1).unwrap_or("params"),
            path => path,
        };
        Error::invalid_params(field, &problem)
    })
}

/// An id, in the schema a string.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Id(#[schemars(with = "String")] pub TaskId);

/// Names one task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskRef {
    /// Id of the task. `id` is accepted too.
    #[serde(alias = "id")]
    pub task_id: Id,
}

/// Ids, as an array or as one text with commas between them.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(with = "ListForm")]
pub(super) struct IdList(pub Vec<TaskId>);

/// Statuses, as an array or as one text with commas between them.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(with = "ListForm")]
pub(super) struct StatusList(pub Vec<TaskStatus>);

/// Either form of a list of texts, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used; reading by hand gives better errors")]
enum ListForm {
    Text(String),
    Array(Vec<String>),
}

fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let refuse = |value: &Value| {
        D::Error::custom(format!(
            "{value} is not an array of strings or one string with commas between the entries"
        ))
    };
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => {
            Ok(text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect())
        }
        Value::Array(list) => list
            .into_iter()
            .map(|entry| match entry {
                Value::String(text) => Ok(text),
                other => Err(refuse(&other)),
            })
            .collect(),
        other => Err(refuse(&other)),
    }
}

impl<'de> Deserialize<'de> for IdList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = entries(deserializer)?;
        if entries.len() > MAX_IDS {
            return Err(D::Error::custom(format!(
                "it has {} entries, at most {MAX_IDS} are allowed",
                entries.len()
            )));
        }
        Ok(Self(entries.into_iter().map(TaskId::from).collect()))
    }
}

impl<'de> Deserialize<'de> for StatusList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let statuses = entries(deserializer)?;
        let parse = |text: String| {
            TaskStatus::parse(&text).ok_or_else(|| {
                let known = TaskStatus::ALL.map(TaskStatus::as_str).join(", ");
                D::Error::custom(format!("`{text}` is not a status; statuses are {known}"))
            })
        };
        statuses.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

/// The size of a page.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(with = "u32")]
pub(super) struct Limit(pub u32);

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            limit if limit <= MAX_LIMIT => Ok(Self(limit)),
            limit => Err(D::Error::custom(format!(
                "{limit} is above the limit of {MAX_LIMIT}; read further pages with `offset` or `after`"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(alias = "id")]
        task_id: Id,
        #[serde(default)]
        statuses: StatusList,
        limit: Option<Limit>,
        #[serde(default)]
        task_ids: IdList,
    }

    #[test]
    fn either_form_of_a_list_is_read() {
        let one: Sample =
            read(json!({"id": "x", "statuses": "pending, failed", "task_ids": "a,b,"})).unwrap();
        assert_eq!(one.task_id.0.as_str(), "x");
        assert_eq!(one.statuses.0, [TaskStatus::Pending, TaskStatus::Failed]);
        assert_eq!(one.task_ids.0, [TaskId::from("a"), TaskId::from("b")]);
        assert!(one.limit.is_none());
        let two: Sample = read(json!({"task_id": "x", "task_ids": ["a,b"], "limit": 7})).unwrap();
        assert_eq!(two.task_ids.0, [TaskId::from("a,b")]);
        assert_eq!(two.limit.unwrap().0, 7);
    }

    #[test]
    fn errors_name_field_and_value() {
        let refuse = |params| {
            let error = read::<Sample>(params).unwrap_err();
            (error.data["field"].as_str().unwrap().to_owned(), error.message)
        };
        let (field, text) = refuse(json!({}));
        assert_eq!((field.as_str(), text.contains("missing field `task_id`")), ("task_id", true), "{text}");
        let (field, text) = refuse(json!({"task_id": "x", "colour": 1}));
        assert_eq!((field.as_str(), text.contains("expected one of")), ("colour", true), "{text}");
        let (field, text) = refuse(json!({"task_id": 7}));
        assert_eq!((field.as_str(), text.contains("integer `7`")), ("task_id", true), "{text}");
        let (field, text) = refuse(json!({"task_id": "x", "statuses": ["banana"]}));
        assert_eq!(
            (field.as_str(), text.contains("`banana` is not a status; statuses are")),
            ("statuses", true)
        );
        let (field, text) = refuse(json!({"task_id": "x", "limit": 1_000_000}));
        assert_eq!((field.as_str(), text.contains("1000000 is above")), ("limit", true), "{text}");
        let (field, text) = refuse(json!([1]));
        assert_eq!((field.as_str(), text.contains("an object is expected, not an array")), ("params", true));
        let (field, _) = refuse(json!({"task_id": "x", "id": "y"}));
        assert_eq!(field, "task_id");
    }
}
