//! Answers about tasks as text for people. Pure functions of the JSON that the operations give.

use apflow_core::clock::Timestamp;
use serde_json::Value;

use super::output::{field, short_time, status_cell, table, text_of};
use super::progress::{outline, span};

/// What was created, or was there already.
pub fn created(answer: &Value) -> String {
    match answer {
        Value::Object(once) if once.contains_key("receipt") => match &once["receipt"]["created"] {
            Value::Bool(false) => {
                format!("The key was used before, for root {}", field(&once["receipt"], "root_task_id"))
            }
            _ => created(&answer["tasks"]),
        },
        Value::Array(tasks) => format!(
            "Created {} tasks, root {}",
            tasks.len(),
            tasks.first().map(|root| field(root, "id")).unwrap_or_default()
        ),
        task => format!("Created task {}", field(task, "id")),
    }
}

/// What was cloned, or would be.
pub fn cloned(answer: &Value, mode: &str, dry_run: bool) -> String {
    let root = answer.get(0).unwrap_or(answer);
    let count = answer.as_array().map_or(1, Vec::len);
    let tasks = if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") };
    match (mode, dry_run) {
        ("archive", true) => format!("Would archive {tasks} from {} on", field(root, "id")),
        ("archive", false) => format!("Archived {tasks} from {} on", field(root, "id")),
        (_, true) => format!("Would make {tasks} ({mode}) of {}", field(root, "original_task_id")),
        (_, false) => format!("Made {tasks} ({mode}), root {}", field(root, "id")),
    }
}

/// How far a tree has come.
pub fn progress(answer: &Value) -> String {
    let fraction = answer["progress"].as_f64().unwrap_or_default();
    format!("{} is done to {:.0} %\n{}", field(answer, "task_id"), fraction * 100.0, counts(answer))
}

/// Tasks as a table.
pub fn list(answer: &Value) -> String {
    let tasks = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if tasks.is_empty() {
        return "No tasks".into();
    }
    let mut lines = table(&["id", "name", "status", "executor", "priority", "created"]);
    for task in tasks {
        let text = |name: &str| comfy_table::Cell::new(field(task, name));
        lines.add_row([
            text("id"),
            text("name"),
            status_cell(&field(task, "status")),
            text("executor"),
            text("priority"),
            comfy_table::Cell::new(short_time(&field(task, "created_at"))),
        ]);
    }
    text_of(&lines)
}

/// One task: what is set, then inputs, params and result as JSON.
pub fn task(task: &Value) -> String {
    const LINES: [&str; 30] = [
        "id",
        "name",
        "description",
        "status",
        "executor",
        "priority",
        "parent_id",
        "task_tree_id",
        "user_id",
        "attempt_id",
        "progress",
        "created_at",
        "started_at",
        "completed_at",
        "original_task_id",
        "origin_type",
        "idempotency_key",
        "blocked_by",
        "last_assigned_node",
        "timeout_ms",
        "schedule_type",
        "schedule_expression",
        "schedule_timezone",
        "schedule_start_at",
        "schedule_end_at",
        "schedule_missed",
        "schedule_overlap",
        "next_run_at",
        "last_run_at",
        "max_runs",
    ];
    const DOCUMENTS: [&str; 6] = ["inputs", "params", "schemas", "metadata", "retry", "result"];
    let says =
        |name: &str| task.get(name).is_some_and(|value| !value.is_null() && *value != serde_json::json!({}));
    let lines = LINES.iter().filter(|name| says(name));
    let mut text: Vec<String> = lines.map(|name| format!("{name:<20} {}", field(task, name))).collect();
    let dependencies: Vec<String> =
        task["dependencies"].as_array().into_iter().flatten().map(|one| field(one, "id")).collect();
    if !dependencies.is_empty() {
        text.push(format!("{:<20} {}", "dependencies", dependencies.join(", ")));
    }
    if let Some(error) = error_of(task) {
        text.push(format!("{:<20} {error}", "error"));
    }
    for name in DOCUMENTS.iter().filter(|name| says(name)) {
        text.push(format!("{name}:\n{:#}", task[*name]));
    }
    text.join("\n")
}

fn error_of(task: &Value) -> Option<String> {
    let message = task.get("error")?.as_str()?;
    let code = task.pointer("/error_info/code").and_then(Value::as_str);
    Some(code.map_or_else(|| message.to_owned(), |code| format!("{message} ({code})")))
}

/// A flat tree as an outline.
pub fn tree(answer: &Value) -> String {
    let tasks = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let id = |task: &'_ Value, name: &str| task.get(name).and_then(Value::as_str).map(str::to_owned);
    let ids: Vec<(String, Option<String>)> =
        tasks.iter().map(|task| (id(task, "id").unwrap_or_default(), id(task, "parent_id"))).collect();
    let prefixes = outline(ids.iter().map(|(id, parent)| (id.as_str(), parent.as_deref())));
    let mut lines = table(&["name", "status", "executor", "took", "id"]);
    for (task, prefix) in tasks.iter().zip(prefixes) {
        let text = |text: String| comfy_table::Cell::new(text);
        lines.add_row([
            text(format!("{prefix}{}", field(task, "name"))),
            status_cell(&field(task, "status")),
            text(field(task, "executor")),
            text(took(task)),
            text(field(task, "id")),
        ]);
    }
    text_of(&lines)
}

fn took(task: &Value) -> String {
    let time =
        |name: &str| task.get(name).and_then(Value::as_str).and_then(|text| Timestamp::parse(text).ok());
    match (time("started_at"), time("completed_at")) {
        (Some(started), Some(completed)) => span(completed.since(started)),
        _ => "-".into(),
    }
}

/// Counts by status.
pub fn counts(answer: &Value) -> String {
    let names = ["pending", "in_progress", "completed", "failed", "cancelled", "total"];
    names.map(|name| format!("{name:<12} {:>8}", field(answer, name))).join("\n")
}

/// What `tasks.execute` says.
pub fn executed(answer: &Value) -> String {
    format!("{} (root {})", field(answer, "message"), field(answer, "root_task_id"))
}

/// What became of each task.
pub fn cancelled(answer: &Value) -> String {
    answer.as_array().into_iter().flatten().map(|one| field(one, "message")).collect::<Vec<_>>().join("\n")
}

/// What was deleted.
pub fn deleted(answer: &Value) -> String {
    match answer.get("deleted_count").and_then(Value::as_u64) {
        Some(1) => format!("Deleted task {}", field(answer, "task_id")),
        _ => {
            format!("Deleted {} tasks from {} down", field(answer, "deleted_count"), field(answer, "task_id"))
        }
    }
}

/// Why a task is not running.
pub fn explanation(answer: &Value) -> String {
    let mut text = vec![format!("{} is {}", field(answer, "task_id"), field(answer, "status"))];
    let blockers = answer.get("blockers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if blockers.is_empty() {
        text.push(field(answer, "summary"));
    }
    text.extend(blockers.iter().map(|one| format!("- {} ({})", field(one, "message"), field(one, "code"))));
    let hooks = answer.get("hooks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    text.extend(hooks.iter().map(|one| {
        let why = one.get("message").map(|_| format!(": {}", field(one, "message"))).unwrap_or_default();
        format!("- hook {} at {}: {}{why}", field(one, "hook"), field(one, "point"), field(one, "decision"))
    }));
    text.join("\n")
}

/// The attempts at a task.
pub fn attempts(answer: &Value) -> String {
    let all = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "No attempts".into();
    }
    let mut lines = table(&["attempt", "status", "node", "started", "took", "plugin", "error"]);
    for one in all {
        let text = |text: String| comfy_table::Cell::new(text);
        let receipt = one.get("receipt").unwrap_or(&Value::Null);
        let plugin = match (field(receipt, "plugin").as_str(), field(receipt, "version").as_str()) {
            ("-", _) => "-".to_owned(),
            (plugin, version) => format!("{plugin}@{version}"),
        };
        let error = one.get("error").map(|error| field(error, "message")).unwrap_or_else(|| "-".into());
        lines.add_row([
            text(field(one, "attempt")),
            status_cell(&field(one, "status")),
            text(field(one, "node")),
            text(short_time(&field(one, "started_at"))),
            text(took(one)),
            text(plugin),
            text(error),
        ]);
    }
    text_of(&lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(id: &str, parent: Option<&str>, name: &str) -> Value {
        json!({
            "id": id, "parent_id": parent, "name": name, "status": "completed", "executor": "e", "priority": 2,
            "created_at": "2026-01-02T03:04:05.5Z", "started_at": "2026-01-02T03:04:05Z",
            "completed_at": "2026-01-02T03:04:05.25Z", "inputs": {"x": 1}, "params": {}, "error": null,
            "dependencies": [{"id": "d", "required": true}],
        })
    }

    #[test]
    fn lists_and_trees_are_tables() {
        let tasks = json!([one("1", None, "root"), one("2", Some("1"), "child")]);
        assert_eq!(
            list(&tasks),
            "ID  NAME   STATUS     EXECUTOR  PRIORITY  CREATED\n\
             1   root   completed  e         2         2026-01-02T03:04:05Z\n\
             2   child  completed  e         2         2026-01-02T03:04:05Z"
        );
        assert_eq!(
            tree(&tasks),
            "NAME      STATUS     EXECUTOR  TOOK   ID\n\
             root      completed  e         250ms  1\n\
             └─ child  completed  e         250ms  2"
        );
        assert_eq!(list(&json!([])), "No tasks");
    }

    #[test]
    fn a_task_shows_what_is_set() {
        let mut it = one("1", None, "root");
        it["error"] = json!("no host");
        it["error_info"] = json!({"code": "http_denied"});
        let text = task(&it);
        assert!(text.contains("error                no host (http_denied)"), "{text}");
        assert!(text.contains("dependencies         d"), "{text}");
        assert!(text.contains("inputs:\n{\n  \"x\": 1\n}"), "{text}");
        assert!(!text.contains("params"), "{text}");
    }

    #[test]
    fn short_answers_are_sentences() {
        assert_eq!(created(&json!([{"id": "r"}, {"id": "c"}])), "Created 2 tasks, root r");
        assert_eq!(created(&json!({"id": "r"})), "Created task r");
        let once =
            |created| json!({"receipt": {"created": created, "root_task_id": "r"}, "tasks": [{"id": "r"}]});
        assert_eq!(created(&once(true)), "Created 1 tasks, root r");
        assert_eq!(created(&once(false)), "The key was used before, for root r");
        let clones = json!([{"id": "n", "original_task_id": "o"}, {"id": "m"}]);
        assert_eq!(cloned(&clones, "copy", false), "Made 2 tasks (copy), root n");
        assert_eq!(cloned(&clones[0], "link", true), "Would make 1 task (link) of o");
        assert_eq!(cloned(&clones, "archive", false), "Archived 2 tasks from n on");
        let some = json!({"task_id": "r", "progress": 0.504, "pending": 1});
        assert!(
            progress(&some).starts_with("r is done to 50 %\npending             1"),
            "{}",
            progress(&some)
        );
        assert_eq!(deleted(&json!({"task_id": "r", "deleted_count": 3})), "Deleted 3 tasks from r down");
        assert_eq!(cancelled(&json!([{"message": "a"}, {"message": "b"}])), "a\nb");
        let why = json!({"task_id": "t", "status": "pending", "summary": "s",
            "blockers": [{"code": "due", "message": "It is put off"}]});
        assert_eq!(explanation(&why), "t is pending\n- It is put off (due)");
        assert!(counts(&json!({"pending": 3, "total": 3})).starts_with("pending             3\n"));
    }

    #[test]
    fn attempts_name_plugin_and_error() {
        let answer = json!([{
            "attempt": 1, "status": "failed", "node": "local", "started_at": "2026-01-02T03:04:05Z",
            "completed_at": "2026-01-02T03:04:06Z", "error": {"message": "no", "code": "c"},
            "receipt": {"plugin": "p", "version": "0.1.0"},
        }]);
        let text = attempts(&answer);
        assert!(text.ends_with("1        failed  local  2026-01-02T03:04:05Z  1.00s  p@0.1.0  no"), "{text}");
    }
}
