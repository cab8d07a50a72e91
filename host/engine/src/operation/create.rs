//! `tasks.create`: a tree from an array of task objects, or one task.

use apflow_core::error::{Error, Result};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::shape::NewTask;
use super::{Reply, document};
use crate::Engine;

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
    },
    /// A single task.
    One(Box<NewTask>),
}

pub(super) async fn create(engine: &Engine, params: Value) -> Result<Reply> {
    let tasks = engine.create(tasks_of(params)?).await?;
    let result = match &tasks[..] {
        [task] => document(task),
        several => document(several),
    };
    result.map(Reply::Value)
}

fn tasks_of(params: Value) -> Result<Value> {
    match params {
        Value::Object(mut fields) if is_wrapper(&fields) => {
            let tasks = fields.remove("tasks").unwrap_or_default();
            match fields.keys().next() {
                None => Ok(tasks),
                Some(field) => {
                    Err(Error::invalid_params(field, "there is no such parameter; only `tasks` is expected"))
                }
            }
        }
        Value::Array(_) | Value::Object(_) => Ok(params),
        other => Err(Error::invalid_params(
            "params",
            format!(
                "an array of task objects or one task object is expected, not {}",
                apflow_core::draft::kind_of(&other)
            ),
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
        assert_eq!(tasks_of(json!([{"name": "a"}])).unwrap(), json!([{"name": "a"}]));
        assert_eq!(tasks_of(json!({"tasks": [{"name": "a"}]})).unwrap(), json!([{"name": "a"}]));
        assert_eq!(tasks_of(json!({"name": "a"})).unwrap(), json!({"name": "a"}));
        assert_eq!(tasks_of(json!({"tasks": [], "colour": 1})).unwrap_err().data["field"], "colour");
        assert!(tasks_of(json!(null)).unwrap_err().message.contains("not null"));
    }
}
