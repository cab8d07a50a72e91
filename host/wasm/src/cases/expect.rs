//! Comparing what came with what was expected.

use std::fmt;
use std::time::Duration;

use apflow_core::error::TaskError;
use apflow_core::plugin::Decision;
use serde_json::{Value, json};

use super::file::{Case, DecisionOf, FailureOf};
use super::report::Mismatch;

/// Whether two values are the same; numbers by their value, so that `1` is `1.0`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Whether `whole` has `part`: objects may have more keys, at any depth; everything else is the same.
pub(crate) fn contains(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| contains(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, a)| b.get(key).is_some_and(|b| contains(a, b)))
        }
        (a, b) => same(a, b),
    }
}

/// The result or failure of a call.
pub(crate) fn outcome(case: &Case, got: &Result<Value, (TaskError, Option<Duration>)>) -> Vec<Mismatch> {
    match (&case.failure, got) {
        (Some(expected), Ok(result)) => {
            vec![Mismatch::new("failure", shown(expected), json!({ "result": result }))]
        }
        (Some(expected), Err((error, after))) => failure("failure", expected, error, *after),
        (None, Err((error, _))) => {
            let expected = case.result.clone().or_else(|| case.result_contains.clone());
            vec![Mismatch::new("result", expected.unwrap_or_else(|| "a result".into()), value(error))]
        }
        (None, Ok(got)) => result(case, got),
    }
}

fn result(case: &Case, got: &Value) -> Vec<Mismatch> {
    let text = case.result_json.as_ref().and_then(|text| serde_json::from_str(text).ok());
    let mut mismatches = Vec::new();
    if let Some(expected) = case.result.as_ref().or(text.as_ref()).filter(|expected| !same(expected, got)) {
        mismatches.push(Mismatch::new("result", expected.clone(), got.clone()));
    }
    if let Some(part) = case.result_contains.as_ref().filter(|part| !contains(part, got)) {
        mismatches.push(Mismatch::new("part of the result", part.clone(), got.clone()));
    }
    if let Some(schema) = &case.result_schema {
        mismatches.extend(
            violation(schema, got).map(|one| Mismatch::new("result_schema", one.to_string(), got.clone())),
        );
    }
    mismatches
}

/// Why a value does not fit a schema, if it does not.
pub(crate) fn violation(schema: &Value, value: &Value) -> Option<Violation> {
    match jsonschema::validator_for(schema) {
        Ok(validator) => {
            let violation = validator.validate(value).err()?;
            Some(Violation { pointer: violation.instance_path().to_string(), problem: violation.to_string() })
        }
        Err(error) => {
            let problem = format!("the schema is not a JSON Schema: {error}");
            Some(Violation { pointer: String::new(), problem })
        }
    }
}

/// Where a value does not fit a schema, and why.
pub(crate) struct Violation {
    /// JSON pointer into the value.
    pub pointer: String,
    /// In the validator's words.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at `{}`: {}", self.pointer, self.problem)
    }
}

/// A failure against what is named of it; `what` is what the mismatches begin with.
pub(crate) fn failure(
    what: &str,
    expected: &FailureOf,
    got: &TaskError,
    after: Option<Duration>,
) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let mut compare = |name: &str, expected: Option<Value>, got: Value, holds: bool| {
        if let Some(expected) = expected.filter(|_| !holds) {
            mismatches.push(Mismatch::new(&format!("{what}.{name}"), expected, got));
        }
    };
    let kind = |kind| serde_json::to_value(kind).unwrap_or_default();
    compare("kind", expected.kind.map(kind), kind(got.kind), expected.kind == Some(got.kind));
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let code = expected.code.as_ref() == Some(&got.code);
    compare("code", text(&expected.code), got.code.clone().into(), code);
    let part = expected.message_contains.as_ref().is_some_and(|part| got.message.contains(part));
    compare("message_contains", text(&expected.message_contains), got.message.clone().into(), part);
    let pointer = got.pointer.clone().map_or(Value::Null, Value::from);
    compare("pointer", text(&expected.pointer), pointer, expected.pointer == got.pointer);
    let after = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    compare("after_ms", expected.after_ms.map(Value::from), after.into(), expected.after_ms == after);
    if let (false, Some(first)) = (mismatches.is_empty(), mismatches.first_mut()) {
        // What it says is what the author wants to know first.
        if first.what != format!("{what}.message_contains") {
            first.got = json!({ "value": first.got.take(), "message": got.message });
        }
    }
    mismatches
}

/// A hook's decision.
pub(crate) fn decision(expected: &DecisionOf, got: &Decision) -> Vec<Mismatch> {
    let holds = match (expected, got) {
        (DecisionOf::Proceed, Decision::Proceed) => true,
        (DecisionOf::ReplaceInputs(expected), Decision::ReplaceInputs(got))
        | (DecisionOf::SupplyResult(expected), Decision::SupplyResult(got)) => same(expected, &got.value()),
        (DecisionOf::DelayMs(expected), Decision::Delay(got)) => Duration::from_millis(*expected) == *got,
        (DecisionOf::Veto(expected), Decision::Veto(got)) => return failure("veto", expected, got, None),
        _ => false,
    };
    if holds { Vec::new() } else { vec![Mismatch::new("decision", shown_decision(expected), taken(got))] }
}

fn shown_decision(expected: &DecisionOf) -> Value {
    match expected {
        DecisionOf::Proceed => "proceed".into(),
        DecisionOf::ReplaceInputs(inputs) => json!({ "replace_inputs": inputs }),
        DecisionOf::SupplyResult(result) => json!({ "supply_result": result }),
        DecisionOf::DelayMs(ms) => json!({ "delay_ms": ms }),
        DecisionOf::Veto(failure) => json!({ "veto": shown(failure) }),
    }
}

fn taken(decision: &Decision) -> Value {
    match decision {
        Decision::Proceed => "proceed".into(),
        Decision::ReplaceInputs(inputs) => json!({ "replace_inputs": inputs.value() }),
        Decision::SupplyResult(result) => json!({ "supply_result": result.value() }),
        Decision::Delay(span) => json!({ "delay_ms": u64::try_from(span.as_millis()).unwrap_or(u64::MAX) }),
        Decision::Veto(error) => json!({ "veto": value(error) }),
    }
}

fn shown(failure: &FailureOf) -> Value {
    let FailureOf { kind, code, message_contains, pointer, after_ms } = failure;
    let all = json!({
        "kind": kind, "code": code, "message_contains": message_contains, "pointer": pointer, "after_ms": after_ms,
    });
    match all {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

/// An error as it is shown.
pub(crate) fn value(error: &TaskError) -> Value {
    json!({ "failure": serde_json::to_value(error).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use apflow_core::error::FailureKind;

    use super::*;

    #[test]
    fn numbers_are_what_they_are_worth_and_parts_may_have_more_around_them() {
        assert!(same(&json!({"a": [1, 2.0]}), &json!({"a": [1.0, 2]})));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(contains(&json!({"a": {"b": 1}}), &json!({"a": {"b": 1, "c": 2}, "d": 3})));
        assert!(!contains(&json!({"a": [1]}), &json!({"a": [1, 2]})));
        assert!(!contains(&json!({"a": null}), &json!({})));
    }

    #[test]
    fn only_what_is_named_of_a_failure_counts() {
        let got = TaskError::new(FailureKind::BadInput, "negative", "amount is -1");
        let expected = |text: &str| toml::from_str::<FailureOf>(text).unwrap();
        assert!(failure("failure", &expected("kind = \"bad_input\""), &got, None).is_empty());
        assert!(failure("failure", &expected("message_contains = \"-1\""), &got, None).is_empty());
        let wrong = failure("failure", &expected("code = \"other\"\npointer = \"/a\""), &got, None);
        let what: Vec<_> = wrong.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(what, ["failure.code", "failure.pointer"]);
        assert_eq!(wrong[0].got, json!({"value": "negative", "message": "amount is -1"}));
    }
}
