//! Reading trees of tasks from files, standard input and flags, and filling in what `--set` gives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::errors::Failure;

/// Reads a JSON file; `-` is standard input.
pub fn read(path: &Path) -> Result<Value, Failure> {
    let name = path.display().to_string();
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text =
        text.map_err(|error| Failure::usage("invalid_params", format!("{name} cannot be read: {error}")))?;
    parse(&text, &name)
}

/// Parses JSON that came from `name`: a file or a flag.
pub fn parse(text: &str, name: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!("{name}:{}:{}", error.line(), error.column());
        let problem = error.to_string();
        let problem = problem.split(" at line ").next().unwrap_or_default();
        Failure::usage("parse_error", format!("{place}: this is not JSON: {problem}"))
    })
}

/// Parses JSON that must be an object.
pub fn parse_object(text: &str, name: &str) -> Result<Map<String, Value>, Failure> {
    match parse(text, name)? {
        Value::Object(map) => Ok(map),
        _ => Err(Failure::usage(
            "invalid_params",
            format!("{name}: a JSON object is expected, like {{\"url\": \"…\"}}"),
        )),
    }
}

/// One `--set KEY=VALUE`.
pub fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if is_key(key) => Ok((key.into(), value.into())),
        Some((key, _)) => {
            Err(format!("'{key}' is not a key: letters, digits and _, not beginning with a digit"))
        }
        None => Err("write it as KEY=VALUE".into()),
    }
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Replaces `${KEY}` in every text of the document by the value that was set. `$${KEY}` stands for the text `${KEY}`.
/// Every key in the document must be set, and every setting used, so that a misspelt one is found here.
pub fn fill_in(document: &mut Value, settings: &[(String, String)]) -> Result<(), Failure> {
    let settings: BTreeMap<&str, &str> =
        settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut missing = BTreeSet::new();
    let mut used = BTreeSet::new();
    for_each_text(document, &mut |text| {
        if text.contains("${") {
            *text = replace(text, &settings, &mut used, &mut missing);
        }
    });
    if let Some(key) = missing.first() {
        let message = format!(
            "The tree uses ${{{key}}}: add --set {key}=VALUE, or write $${{{key}}} to keep the text as it is"
        );
        return Err(Failure::usage("invalid_params", message));
    }
    if let Some(key) = settings.keys().find(|key| !used.contains(**key)) {
        let message = format!("--set {key}=…: the tree has no ${{{key}}}");
        return Err(Failure::usage("invalid_params", message));
    }
    Ok(())
}

/// Iterative, as documents may be nested deeply.
fn for_each_text(document: &mut Value, change: &mut impl FnMut(&mut String)) {
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => change(text),
            Value::Array(items) => open.extend(items.iter_mut()),
            Value::Object(map) => open.extend(map.values_mut()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn replace(
    text: &str,
    settings: &BTreeMap<&str, &str>,
    used: &mut BTreeSet<String>,
    missing: &mut BTreeSet<String>,
) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let Some((key, after)) = from[2..].split_once('}').filter(|(key, _)| is_key(key)) else {
            result.push_str(before);
            result.push_str("${");
            rest = &from[2..];
            continue;
        };
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str(&from[..key.len() + 3]);
        } else {
            result.push_str(before);
            match settings.get(key) {
                Some(value) => {
                    used.insert(key.to_owned());
                    result.push_str(value);
                }
                None => {
                    missing.insert(key.to_owned());
                }
            }
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

/// A tree with one task.
pub fn single(executor: &str) -> Value {
    json!([{ "name": executor, "executor": executor }])
}

/// Lays inputs over those of the root: the task without `parent_id`, or the only one.
pub fn lay_over_root(tree: &mut Value, inputs: Map<String, Value>) -> Result<(), Failure> {
    let root = match tree {
        Value::Array(tasks) => tasks.iter_mut().find(|task| task.get("parent_id").is_none_or(Value::is_null)),
        task => Some(task),
    };
    let Some(Value::Object(root)) = root else {
        return Err(Failure::usage("invalid_tree", "--inputs: the tree has no root task to give them to"));
    };
    match root.entry("inputs").or_insert_with(|| json!({})) {
        Value::Object(own) => own.extend(inputs),
        other => *other = Value::Object(inputs),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(document: Value, settings: &[(&str, &str)]) -> Result<Value, String> {
        let mut document = document;
        let settings: Vec<_> = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        fill_in(&mut document, &settings).map(|()| document).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn settings_are_filled_in_everywhere() {
        let tree = json!([{"name": "${A}", "inputs": {"deep": [{"url": "http://${HOST}:${PORT}/${A}"}]}}]);
        let expected = json!([{"name": "x", "inputs": {"deep": [{"url": "http://h:1/x"}]}}]);
        assert_eq!(filled(tree, &[("A", "x"), ("HOST", "h"), ("PORT", "1")]), Ok(expected));
    }

    #[test]
    fn values_are_text_and_not_read_again() {
        assert_eq!(filled(json!(["${A}"]), &[("A", "\"${B}\"")]), Ok(json!(["\"${B}\""])));
    }

    #[test]
    fn a_dollar_keeps_the_text_and_other_braces_are_left_alone() {
        assert_eq!(
            filled(json!(["$${A} ${} ${a b} $A {A} ${"]), &[]),
            Ok(json!(["${A} ${} ${a b} $A {A} ${"]))
        );
    }

    #[test]
    fn what_is_missing_or_superfluous_is_named() {
        assert!(filled(json!(["${A}"]), &[]).unwrap_err().contains("--set A=VALUE"));
        assert!(filled(json!(["${A}"]), &[("A", "1"), ("B", "2")]).unwrap_err().contains("no ${B}"));
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(parse_setting("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(parse_setting("A="), Ok(("A".into(), String::new())));
        assert!(parse_setting("A").is_err());
        assert!(parse_setting("1A=x").is_err());
    }

    #[test]
    fn inputs_go_to_the_root() {
        let mut tree = json!([{"name": "b", "parent_id": "a"}, {"name": "a", "inputs": {"x": 1, "y": 1}}]);
        let inputs = parse_object("{\"y\": 2}", "--inputs").unwrap_or_default();
        lay_over_root(&mut tree, inputs.clone()).unwrap();
        assert_eq!(tree[1]["inputs"], json!({"x": 1, "y": 2}));
        let mut one = single("e");
        lay_over_root(&mut one, inputs).unwrap();
        assert_eq!(one, json!([{"name": "e", "executor": "e", "inputs": {"y": 2}}]));
        assert!(lay_over_root(&mut json!([]), Map::new()).is_err());
    }

    #[test]
    fn bad_json_is_named_with_its_place() {
        let failure = format!("{:?}", parse("[\n{]", "tree.json").unwrap_err());
        assert!(failure.contains("tree.json:2:2: this is not JSON"), "{failure}");
    }
}
