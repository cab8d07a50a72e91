//! Blacking out values by the names of their keys, at any depth. Which names is the task's choice; called by the hook.

use apflow_sdk::prelude::*;

/// What `redact_inputs: true` stands for.
const USUAL: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_token",
    "authorization",
    "private_key",
];

/// What stands in place of a value.
const REDACTED: &str = "[redacted]";

/// The names whose values are blacked out; compared without regard to case, and `-` counts as `_`.
pub struct Names(Vec<String>);

impl Names {
    /// From the task's `params.redact_inputs`: true for the usual names, or a list of names; none if it does not ask.
    ///
    /// # Errors
    /// One sentence, where it is anything else.
    pub fn from_param(asked: Value) -> Result<Option<Self>, String> {
        match asked {
            Value::Null | Value::Bool(false) => Ok(None),
            Value::Bool(true) => Ok(Some(Self(USUAL.map(str::to_owned).to_vec()))),
            Value::Array(names) if names.iter().all(Value::is_string) => {
                Ok(Some(Self(names.iter().filter_map(Value::as_str).map(normal).collect())))
            }
            other => Err(format!(
                "params.redact_inputs is {other}; give true for the usual names, or a list of names"
            )),
        }
    }

    /// Whether anything was changed.
    pub fn redact(&self, inputs: &mut Map<String, Value>) -> bool {
        let mut changed = false;
        for (key, value) in inputs {
            if self.0.contains(&normal(key)) {
                changed |= value != REDACTED;
                *value = REDACTED.into();
            } else {
                changed |= self.redact_value(value);
            }
        }
        changed
    }

    fn redact_value(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(map) => self.redact(map),
            // Every item, so no short-circuit.
            Value::Array(items) => {
                items.iter_mut().fold(false, |changed, item| self.redact_value(item) | changed)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
}

fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(names: Value, inputs: Value) -> (bool, Value) {
        let Value::Object(mut inputs) = inputs else { panic!("not an object") };
        let changed = Names::from_param(names).unwrap().unwrap().redact(&mut inputs);
        (changed, Value::Object(inputs))
    }

    #[test]
    fn usual_names_are_found_at_any_depth_and_in_any_spelling() {
        let (changed, inputs) = redacted(
            json!(true),
            json!({"Authorization": "Bearer x", "list": [1, {"API-Key": {"v": 1}}, {"token": null}], "tokens": 3}),
        );
        assert!(changed);
        let expected = json!({
            "Authorization": "[redacted]",
            "list": [1, {"API-Key": "[redacted]"}, {"token": "[redacted]"}],
            "tokens": 3,
        });
        assert_eq!(inputs, expected);
    }

    #[test]
    fn a_list_of_names_replaces_the_usual_ones() {
        let (changed, inputs) = redacted(json!(["salary"]), json!({"salary": 1, "password": "p"}));
        assert!(changed);
        assert_eq!(inputs, json!({"salary": "[redacted]", "password": "p"}));
        assert!(!redacted(json!([]), json!({"password": "p"})).0);
    }

    #[test]
    fn only_true_false_null_and_lists_of_names_are_understood() {
        assert!(Names::from_param(json!(false)).unwrap().is_none());
        assert!(Names::from_param(json!(null)).unwrap().is_none());
        for wrong in [json!("token"), json!(1), json!({"a": 1}), json!(["a", 1])] {
            assert!(Names::from_param(wrong).is_err());
        }
    }
}
