//! Inputs against the executors' own schemas. A compiled schema is kept as long as the executor is the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::json::Json;
use apflow_core::plugin::{Executor, schema_violation};
use jsonschema::Validator;
use serde_json::Value;

struct Compiled {
    executor: Arc<dyn Executor>,
    /// None where every object fits.
    validator: Option<Arc<Validator>>,
}

/// Compiled input schemas by executor id.
#[derive(Default)]
pub(crate) struct Schemas(Mutex<HashMap<String, Compiled>>);

impl Schemas {
    /// Says what is wrong with the inputs, if anything is.
    ///
    /// # Errors
    /// `schema_violation` with the first violation and its place.
    pub(crate) fn check(&self, executor: &Arc<dyn Executor>, inputs: &Json) -> Result<(), TaskError> {
        let Some(validator) = self.validator(executor)? else { return Ok(()) };
        let value = inputs.value();
        let Err(violation) = validator.validate(&value) else { return Ok(()) };
        let pointer = violation.instance_path().to_string();
        Err(schema_violation(&executor.info().id, pointer, violation))
    }

    fn validator(&self, executor: &Arc<dyn Executor>) -> Result<Option<Arc<Validator>>, TaskError> {
        let info = executor.info();
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache.get(&info.id)
            && Arc::ptr_eq(&known.executor, executor)
        {
            return Ok(known.validator.clone());
        }
        let validator = if accepts_all(&info.input_schema) {
            None
        } else {
            Some(Arc::new(jsonschema::validator_for(&info.input_schema).map_err(|error| {
                TaskError::new(
                    FailureKind::Plugin,
                    "bad_schema",
                    format!("The input schema of executor '{}' is not a JSON Schema: {error}", info.id),
                )
            })?))
        };
        let compiled = Compiled { executor: Arc::clone(executor), validator: validator.clone() };
        cache.insert(info.id.clone(), compiled);
        Ok(validator)
    }
}

/// Whether the schema says no more than "an object".
fn accepts_all(schema: &Value) -> bool {
    const SAYS_NOTHING: &[&str] = &["$schema", "title", "description", "type", "examples"];
    match schema {
        Value::Bool(accepts) => *accepts,
        Value::Object(map) => {
            map.keys().all(|key| SAYS_NOTHING.contains(&key.as_str()))
                && map.get("type").is_none_or(|kind| kind == "object")
        }
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_that_say_nothing_are_not_asked() {
        assert!(accepts_all(&json!({"type": "object", "title": "x"})));
        assert!(accepts_all(&json!(true)));
        assert!(!accepts_all(&json!({"type": "object", "required": ["x"]})));
        assert!(!accepts_all(&json!({"type": "string"})));
    }
}
