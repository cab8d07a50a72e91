//! `tasks.create`: a tree from an array of task objects, or one task.

use apflow_core::draft::kind_of;
use apflow_core::error::{Error, Result};
use apflow_core::receipt::take_key;
use apflow_core::task::Task;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::shape::{self, NewTask};
use super::{Reply, document};
use crate::{Engine, Receipted};

/// One task, several that form one tree, or the latter as a field.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only its schema is used: the engine reads tasks itself, with index and field in its errors"
)]
pub(super) enum CreateForm {
    /// The tasks of one tree.
    Many(Vec<NewTask>),
    /// The same, for callers that send objects only.
    Wrapped {
        /// The tasks of one tree.
        tasks: Vec<NewTask>,
        /// With it the tree is created once, however often the request is sent.
        idempotency_key: Option<String>,
    },
    /// A single task.
    One(Box<NewTask>),
}

/// One task, or several in pre-order, or what a request with a key is answered.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum Created {
    /// Of one task.
    One(Box<shape::Task>),
    /// Of several.
    Many(Vec<shape::Task>),
    /// With an idempotency key.
    Once {
        /// Which tree the key stands for.
        receipt: shape::Receipt,
        /// Its tasks as they are now, in pre-order.
        tasks: Vec<shape::Task>,
    },
}

/// The answer to a request with a key.
#[derive(Serialize)]
struct Once {
    receipt: Receipted,
    tasks: Vec<Task>,
}

pub(super) async fn create(engine: &Engine, params: Value) -> Result<Reply> {
    let (mut tasks, beside) = tasks_of(params)?;
    let result = match take_key(&mut tasks, beside)? {
        Some(key) => {
            let (receipt, tasks) = engine.create_once(tasks, &key).await?;
            document(&Once { receipt, tasks })
        }
        None => match &engine.create(tasks).await?[..] {
            [task] => document(task),
            several => document(several),
        },
    };
    result.map(Reply::Value)
}

/// The tasks, and the key that stands beside them.
fn tasks_of(params: Value) -> Result<(Value, Option<String>)> {
    match params {
        Value::Object(mut fields) if is_wrapper(&fields) => {
            let tasks = fields.remove("tasks").unwrap_or_default();
            let key = match fields.remove("idempotency_key") {
                None | Some(Value::Null) => None,
                Some(Value::String(key)) => Some(key),
                Some(other) => {
                    let text = format!("a string is expected, not {}", kind_of(&other));
                    return Err(Error::invalid_params("idempotency_key", text));
                }
            };
            match fields.keys().next() {
                None => Ok((tasks, key)),
                Some(field) => Err(Error::invalid_params(
                    field,
                    "there is no such parameter; only `tasks` and `idempotency_key` are expected",
                )),
            }
        }
        Value::Array(_) | Value::Object(_) => Ok((params, None)),
        other => Err(Error::invalid_params(
            "params",
            format!("an array of task objects or one task object is expected, not {}", kind_of(&other)),
        )),
    }
}

/// A task object always has a name, a wrapper never.
fn is_wrapper(fields: &Map<String, Value>) -> bool {
    fields.contains_key("tasks") && !fields.contains_key("name")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_forms_come_to_the_same() {
        assert_eq!(tasks_of(json!([{"name": "a"}])).unwrap(), (json!([{"name": "a"}]), None));
        assert_eq!(tasks_of(json!({"tasks": [{"name": "a"}]})).unwrap(), (json!([{"name": "a"}]), None));
        assert_eq!(tasks_of(json!({"name": "a"})).unwrap(), (json!({"name": "a"}), None));
        let keyed = tasks_of(json!({"tasks": [], "idempotency_key": "k"})).unwrap();
        assert_eq!(keyed, (json!([]), Some("k".into())));
        let error = tasks_of(json!({"tasks": [], "idempotency_key": 3})).unwrap_err();
        assert_eq!(error.data["field"], "idempotency_key");
        assert_eq!(tasks_of(json!({"tasks": [], "colour": 1})).unwrap_err().data["field"], "colour");
        assert!(tasks_of(json!(null)).unwrap_err().message.contains("not null"));
    }
}
