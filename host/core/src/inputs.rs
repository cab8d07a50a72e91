//! How results become inputs: the original's merging rules, and explicit references
//! `{"$from": "<task name or id>", "pointer": "/url"}` (RFC 6901), which win over them. Pure functions on JSON.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::error::{FailureKind, TaskError};
use crate::id::TaskId;
use crate::json::Json;
use crate::task::DependencyKind;

/// The executor that collects whatever its dependencies give, keyed by their ids.
const AGGREGATE_EXECUTOR: &str = "aggregate_results_executor";

/// What a dependency offers.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// Whether it is merged or only referred to.
    pub kind: DependencyKind,
    /// Its result, if it has one.
    pub result: Option<Json>,
    /// JSON Schema of that result, if it is known.
    pub output_schema: Option<Value>,
}

/// Who takes the inputs.
#[derive(Debug, Clone, Copy)]
pub struct Consumer<'a> {
    /// Executor id.
    pub executor: &'a str,
    /// `schemas.method` of the task.
    pub method: Option<&'a str>,
    /// JSON Schema of its inputs, if it is known.
    pub input_schema: Option<&'a Value>,
}

impl Consumer<'_> {
    fn aggregates(&self) -> bool {
        self.executor == AGGREGATE_EXECUTOR || self.method.is_some_and(|method| method.contains("aggregate"))
    }

    fn properties(&self) -> Option<&Map<String, Value>> {
        self.input_schema?.get("properties")?.as_object()
    }

    /// A schema that closes itself to other properties takes none by merging.
    fn takes(&self, key: &str) -> bool {
        let closed = self.input_schema.and_then(|schema| schema.get("additionalProperties"))
            == Some(&Value::Bool(false));
        !closed || self.properties().is_some_and(|properties| properties.contains_key(key))
    }
}

/// The names or ids that `{"$from": …}` in these inputs refers to, each once.
///
/// # Errors
/// A sentence about a malformed reference.
pub fn references(inputs: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut open: Vec<&Value> = inputs.values().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) if map.contains_key("$from") => {
                let (from, _) = reference(map)?;
                if !found.iter().any(|known| known == from) {
                    found.push(from.to_owned());
                }
            }
            Value::Object(map) => open.extend(map.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(found)
}

fn reference(map: &Map<String, Value>) -> Result<(&str, &str), String> {
    if let Some(key) = map.keys().find(|key| !["$from", "pointer"].contains(&key.as_str())) {
        return Err(format!("a reference has the keys '$from' and 'pointer' only, not '{key}'"));
    }
    let from = map.get("$from").and_then(Value::as_str).ok_or("'$from' must be the name or id of a task")?;
    let pointer = match map.get("pointer") {
        None => "",
        Some(Value::String(text)) if text.is_empty() || text.starts_with('/') => text,
        Some(other) => {
            return Err(format!("'pointer' is {other}, it must be a JSON pointer such as \"/url\""));
        }
    };
    Ok((from, pointer))
}

/// The inputs for one attempt; none if they are the definition's own.
///
/// # Errors
/// A [`FailureKind::BadInput`] where a reference has no value.
pub fn resolve(
    definition: &Json,
    sources: &[Source],
    consumer: Consumer<'_>,
) -> Result<Option<Json>, TaskError> {
    if sources.is_empty() {
        return Ok(None);
    }
    let Value::Object(mut inputs) = definition.value() else {
        return Err(TaskError::new(
            FailureKind::BadInput,
            "invalid_inputs",
            "The task's inputs are not an object",
        ));
    };
    for source in sources.iter().filter(|source| source.kind == DependencyKind::Result) {
        merge(&mut inputs, source, consumer);
    }
    // References were replaced by nothing so far: the definition's own keys win over merged ones where they refer.
    if let Value::Object(own) = definition.value() {
        for (key, value) in own {
            let replaced = replace(value.clone(), sources, &format!("/{}", escape(&key)))?;
            if replaced != value {
                inputs.insert(key, replaced);
            }
        }
    }
    Ok(Some(Json::from(Value::Object(inputs))))
}

/// The same inputs with other ids in their references: new id by old id. Text that refers to none of them is kept as it is.
#[must_use]
pub fn repoint(inputs: &Json, renamed: &HashMap<&str, &str>) -> Json {
    if renamed.is_empty() || !inputs.as_str().contains("$from") {
        return inputs.clone();
    }
    let mut value = inputs.value();
    let mut changed = false;
    let mut open: Vec<&mut Value> = vec![&mut value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                let new =
                    map.get("$from").and_then(Value::as_str).and_then(|from| renamed.get(from).copied());
                match new {
                    Some(new) => {
                        map.insert("$from".into(), new.into());
                        changed = true;
                    }
                    None => open.extend(map.values_mut()),
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    if changed { value.into() } else { inputs.clone() }
}

fn merge(inputs: &mut Map<String, Value>, source: &Source, consumer: Consumer<'_>) {
    let Some(result) = &source.result else { return };
    let result = match result.value() {
        Value::Object(mut map) if map.contains_key("result") => map.remove("result").unwrap_or_default(),
        other => other,
    };
    let mut put = |key: &str, value: Value| {
        if consumer.takes(key) {
            inputs.insert(key.to_owned(), value);
        }
    };
    let by_id = source.id.as_str();
    let schemas = consumer.input_schema.zip(source.output_schema.as_ref());
    match (result, schemas) {
        (result, _) if consumer.aggregates() => put(by_id, result),
        (Value::Object(result), None) => result.into_iter().for_each(|(key, value)| put(&key, value)),
        (Value::Object(result), Some((_, output))) if gives_only_result(output) => {
            merge_by_property(&result, consumer).into_iter().for_each(|(key, value)| put(&key, value));
        }
        (result, _) => put(by_id, result),
    }
}

/// Whether the schema has exactly one property, `result`.
fn gives_only_result(output: &Value) -> bool {
    output
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|properties| properties.len() == 1 && properties.contains_key("result"))
}

fn merge_by_property(result: &Map<String, Value>, consumer: Consumer<'_>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for name in consumer.properties().into_iter().flat_map(Map::keys) {
        let value = match (name.as_str(), result.get("result")) {
            _ if result.contains_key(name) => result.get(name),
            ("content", Some(text)) => Some(text),
            ("messages", Some(list @ Value::Array(_))) => Some(list),
            _ => None,
        };
        found.extend(value.map(|value| (name.clone(), value.clone())));
    }
    if found.is_empty() {
        found.extend(result.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    found
}

fn replace(value: Value, sources: &[Source], at: &str) -> Result<Value, TaskError> {
    match value {
        Value::Object(map) if map.contains_key("$from") => look_up(&map, sources, at),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| {
                let at = format!("{at}/{}", escape(&key));
                replace(value, sources, &at).map(|value| (key, value))
            })
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(i, value)| replace(value, sources, &format!("{at}/{i}")))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Ok(plain),
    }
}

fn look_up(map: &Map<String, Value>, sources: &[Source], at: &str) -> Result<Value, TaskError> {
    let fail = |code: &str, message: String| {
        let mut error = TaskError::new(FailureKind::BadInput, code, message);
        error.pointer = Some(at.to_owned());
        error
    };
    let (from, pointer) =
        reference(map).map_err(|problem| fail("bad_reference", format!("inputs{at}: {problem}")))?;
    let source = sources
        .iter()
        .find(|source| source.id.as_str() == from)
        .or_else(|| sources.iter().find(|source| source.name == from))
        .ok_or_else(|| {
            fail(
                "missing_reference",
                format!("inputs{at} refers to task '{from}', which is not a dependency of this task"),
            )
        })?;
    let result = source.result.as_ref().map(Json::value).ok_or_else(|| {
        fail("missing_reference", format!("inputs{at} refers to the result of task '{from}', which has none"))
    })?;
    result.pointer(pointer).cloned().ok_or_else(|| {
        fail(
            "missing_reference",
            format!("inputs{at} refers to '{pointer}' in the result of task '{from}', where there is no such value"),
        )
    })
}

/// A key as a part of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(id: &str, result: Value, output_schema: Option<Value>) -> Source {
        Source {
            id: id.into(),
            name: format!("name of {id}"),
            kind: DependencyKind::Result,
            result: Some(result.into()),
            output_schema,
        }
    }

    fn resolved(definition: Value, sources: &[Source], executor: &str, schema: Option<&Value>) -> Value {
        let consumer = Consumer { executor, method: None, input_schema: schema };
        resolve(&definition.into(), sources, consumer).unwrap().unwrap().value()
    }

    #[test]
    fn without_schemas_objects_merge_and_others_go_under_the_id() {
        let sources = [source("a", json!({"x": 1}), None), source("b", json!([2]), None)];
        assert_eq!(resolved(json!({"x": 0, "y": 0}), &sources, "e", None), json!({"x": 1, "y": 0, "b": [2]}));
    }

    #[test]
    fn an_aggregate_takes_everything_by_id() {
        let sources = [source("a", json!({"result": {"x": 1}}), None), source("b", json!(null), None)];
        let taken = resolved(json!({}), &sources, "aggregate_results_executor", None);
        assert_eq!(taken, json!({"a": {"x": 1}, "b": null}));
    }

    #[test]
    fn a_result_only_schema_fills_properties_of_the_same_name() {
        let output = json!({"properties": {"result": {}}});
        let input = json!({"properties": {"url": {}, "content": {}}});
        let sources = [source("a", json!({"result": {"url": "x", "other": 1}}), Some(output.clone()))];
        assert_eq!(resolved(json!({}), &sources, "e", Some(&input)), json!({"url": "x"}));
        let nothing_in_common = [source("a", json!({"result": {"other": 1}}), Some(output))];
        assert_eq!(resolved(json!({}), &nothing_in_common, "e", Some(&input)), json!({"other": 1}));
    }

    #[test]
    fn any_other_output_schema_goes_under_the_id_unless_the_consumer_is_closed() {
        let sources = [source("a", json!({"x": 1}), Some(json!({"properties": {"x": {}}})))];
        assert_eq!(resolved(json!({}), &sources, "e", Some(&json!({}))), json!({"a": {"x": 1}}));
        let closed = json!({"properties": {"x": {}}, "additionalProperties": false});
        assert_eq!(resolved(json!({}), &sources, "e", Some(&closed)), json!({}));
    }

    #[test]
    fn references_win_and_reach_any_depth() {
        let sources = [source("a", json!({"url": "u", "list": [1, {"k": 2}]}), None)];
        let definition = json!({
            "url": {"$from": "name of a", "pointer": "/list/1/k"},
            "deep": [{"all": {"$from": "a"}}],
        });
        let taken = resolved(definition, &sources, "e", None);
        assert_eq!(taken["url"], 2);
        assert_eq!(taken["deep"][0]["all"], json!({"url": "u", "list": [1, {"k": 2}]}));
    }

    #[test]
    fn a_reference_without_a_value_is_a_clear_failure() {
        let sources = [source("a", json!({}), None)];
        let consumer = Consumer { executor: "e", method: None, input_schema: None };
        let definition = json!({"q": [{"$from": "a", "pointer": "/url"}]});
        let error = resolve(&definition.into(), &sources, consumer).unwrap_err();
        assert_eq!(error.pointer.as_deref(), Some("/q/0"));
        assert!(error.message.contains("'/url' in the result of task 'a'"), "{}", error.message);
    }

    #[test]
    fn references_get_other_ids_and_other_texts_stay() {
        let renamed = HashMap::from([("a", "A")]);
        let text = r#"{"x": [{"$from": "a", "pointer": "/u"}], "y": {"$from": "name of a"}, "z": "a"}"#;
        let moved = repoint(&Json::parse(text).unwrap(), &renamed);
        assert_eq!(
            moved.value(),
            json!({"x": [{"$from": "A", "pointer": "/u"}], "y": {"$from": "name of a"}, "z": "a"})
        );
        let other = Json::parse(r#"{"y":  {"$from": "b"}}"#).unwrap();
        assert_eq!(repoint(&other, &renamed).as_str(), other.as_str());
    }

    #[test]
    fn references_are_found_and_checked_before_anything_runs() {
        let inputs = |value: Value| value.as_object().cloned().unwrap();
        assert_eq!(
            references(&inputs(json!({"a": [{"b": {"$from": "x"}}, {"$from": "x", "pointer": "/y"}]}))),
            Ok(vec!["x".to_owned()])
        );
        assert!(references(&inputs(json!({"a": {"$from": 3}}))).is_err());
        assert!(
            references(&inputs(json!({"a": {"$from": "x", "path": "/y"}}))).unwrap_err().contains("'path'")
        );
    }
}
