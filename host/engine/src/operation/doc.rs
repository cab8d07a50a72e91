//! `docs/operations.md`: the operation table for people, written from the table itself.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Category, Door, OPERATIONS, Operation};

const HEAD: &str = "\
# Operations

Everything that can be done with a running apflow from outside. The same operations stand behind every door. This file
is written from the operation table in `host/engine/src/operation`; do not edit it.

Over JSON-RPC 2.0 an operation is the `method` of a request to `POST /tasks` (names `tasks.…`, `events.…`
and `webhooks.…`) or `POST /system` (names `system.…`), with `Content-Type: application/json`:

```json
{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tasks.get\", \"params\": {\"task_id\": \"report\"}}
```

Times are RFC 3339 text in UTC. Unknown parameters are refused by name. Lists of ids may be arrays or one string with
commas between the entries.
";

/// The whole document, in Markdown.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n| operation | permission | what it does |\n|---|---|---|\n");
    for operation in OPERATIONS {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| [`{}`](#{}) | {} | {} |",
            operation.name,
            anchor(operation.name),
            operation.permission.as_str(),
            operation.summary
        );
    }
    for operation in OPERATIONS {
        section(&mut text, operation);
    }
    text.push_str(&new_task());
    text
}

fn anchor(heading: &str) -> String {
    heading.replace('.', "")
}

fn section(text: &mut String, operation: &Operation) {
    let _ = write!(text, "\n## {}\n\n{}", operation.name, operation.summary);
    if !operation.description.is_empty() {
        let _ = write!(text, " {}", operation.description);
    }
    let path = match operation.door {
        Door::Tasks => "/tasks",
        Door::System => "/system",
    };
    let _ = write!(text, "\n\n`POST {path}`, permission `{}`", operation.permission.as_str());
    if operation.category != Category::System {
        let _ = write!(text, ", category `{}`", operation.category.as_str());
    }
    if !operation.aliases.is_empty() {
        let _ = write!(text, ", also `{}`", operation.aliases.join("`, `"));
    }
    text.push_str(if operation.streams { ", streams.\n" } else { ".\n" });
    let schema = (operation.params)();
    match schema["properties"].as_object() {
        Some(properties) if properties.is_empty() => text.push_str("\nNo parameters.\n"),
        Some(_) => fields(text, &schema, "parameter"),
        None => text.push_str("\nParameters: see [a new task](#a-new-task).\n"),
    }
    let _ = write!(text, "\nExample of `params`:\n\n```json\n{}\n```\n", operation.example);
    let result = (operation.result)();
    let or_null =
        result["anyOf"].as_array().is_some_and(|forms| forms.iter().any(|form| form["type"] == "null"));
    let _ = write!(text, "\nResult: {}{}.\n", kind(&result), if or_null { " or null" } else { "" });
    if result["properties"].is_object() && result["title"] != "Task" {
        fields(text, &result, "field");
    } else if let Some(item) = item_shape(&result) {
        fields(text, item, "field");
    }
}

/// The schema of the entries of an array, where it is not that of a task.
fn item_shape(schema: &Value) -> Option<&Value> {
    let name = schema["items"]["$ref"].as_str()?.strip_prefix("#/$defs/")?;
    (name != "Task").then(|| &schema["$defs"][name])
}

fn new_task() -> String {
    let tree = (Door::Tasks.find("tasks.create").map(|create| create.params))
        .map(|params| params())
        .unwrap_or_default();
    let mut text = String::from(
        "\n## A new task\n\nWhat `tasks.create` and `tasks.execute` take. Any other field is refused by name.\n",
    );
    fields(&mut text, &tree["$defs"]["NewTask"], "field");
    text.push_str("\nEntries of `dependencies` that are objects:\n");
    if let Some(object) = tree["$defs"]["NewDependency"]["anyOf"]
        .as_array()
        .and_then(|forms| forms.iter().find(|form| form["properties"].is_object()))
    {
        fields(&mut text, object, "field");
    }
    text.push_str("\nThe object in `retry`:\n");
    fields(&mut text, &tree["$defs"]["Retry"], "field");
    text
}

fn fields(text: &mut String, schema: &Value, heading: &str) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let _ = write!(text, "\n| {heading} | type | |\n|---|---|---|\n");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let star = if heading != "field" || schema["title"].is_null() {
            required.contains(&name.as_str())
        } else {
            false
        };
        let description =
            property["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{name}`{} | {} | {description} |",
            if star { " *" } else { "" },
            kind(property)
        );
    }
}

/// The type of a schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return named(name.trim_start_matches("#/$defs/"));
    }
    if let Some(forms) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let mut kinds: Vec<String> = forms.iter().map(kind).filter(|kind| kind != "null").collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => match kind_of_items(schema) {
            Some(items) => format!("array of {items}"),
            None => "array".into(),
        },
        Value::String(_) if schema["title"] == "Task" => "task".into(),
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let of = |kind: &str| match kind {
                "array" => kind_of_items(schema).map_or("array".into(), |items| format!("array of {items}")),
                other => other.to_owned(),
            };
            kinds
                .iter()
                .filter_map(Value::as_str)
                .filter(|kind| *kind != "null")
                .map(of)
                .collect::<Vec<_>>()
                .join(" or ")
        }
        _ => "any".into(),
    }
}

fn kind_of_items(schema: &Value) -> Option<String> {
    schema.get("items").map(kind)
}

fn named(name: &str) -> String {
    match name {
        "NewTask" => "[new task](#a-new-task)".into(),
        "Status" | "TreeFormat" => "string".into(),
        "Task" => "task".into(),
        "IdList" | "StatusList" => "array of string or string".into(),
        "NewDependency" => "string or object".into(),
        "Id" => "string".into(),
        "Limit" => "integer".into(),
        other => format!("object ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn operations_doc_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
        let wanted = markdown();
        if std::env::var_os("APFLOW_BLESS").is_some_and(|value| value == "1") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "docs/operations.md is stale; write it with APFLOW_BLESS=1 and this test");
    }
}
