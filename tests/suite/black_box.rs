//! The black-box cases about the envelope, reading, updating and deleting, by their numbers in the list of cases that
//! every server of this wire contract passes.

use serde_json::{Value, json};

use crate::harness::{info, server, with};

/// Every field that a task object has.
const FIELDS: &[&str] = &[
    "id",
    "parent_id",
    "task_tree_id",
    "user_id",
    "name",
    "status",
    "priority",
    "dependencies",
    "inputs",
    "params",
    "schemas",
    "result",
    "error",
    "progress",
    "created_at",
    "started_at",
    "updated_at",
    "completed_at",
    "has_children",
    "original_task_id",
    "origin_type",
    "has_references",
    "schedule_type",
    "schedule_expression",
    "schedule_enabled",
    "schedule_start_at",
    "schedule_end_at",
    "next_run_at",
    "last_run_at",
    "max_runs",
    "run_count",
    "lease_id",
    "lease_expires_at",
    "placement_constraints",
    "attempt_id",
    "idempotency_key",
    "last_assigned_node",
];

#[tokio::test]
async fn case_01_health() {
    let server = server().await;
    let (status, answer) = server.rpc("/system", "system.health", json!({})).await;
    assert_eq!(status, 200);
    let health = &answer["result"];
    assert_eq!(health["status"], "healthy");
    assert!(health["version"].is_string() && health["timestamp"].is_string());
    assert_eq!(health["running_tasks_count"], 0);
}

#[tokio::test]
async fn case_02_executors() {
    let server = server().await;
    let (_, answer) = server.rpc("/system", "system.executors", json!({})).await;
    let list = answer["result"]["executors"].as_array().unwrap();
    assert_eq!(answer["result"]["count"], list.len());
    assert_eq!(answer["result"]["restricted"], false);
    for executor in list {
        for field in ["id", "name", "description", "tags", "dependencies", "available"] {
            assert!(executor.get(field).is_some(), "{field} is missing in {executor}");
        }
    }
    let ids: Vec<&str> = list.iter().map(|one| one["id"].as_str().unwrap()).collect();
    for id in ["system_info_executor", "command_executor", "rest_executor", "aggregate_results_executor"] {
        assert!(ids.contains(&id), "{id} is missing in {ids:?}");
    }
}

#[tokio::test]
async fn case_03_unknown_method() {
    let server = server().await;
    for (path, method, text) in [
        ("/tasks", "tasks.nothing", "Unknown task method: tasks.nothing"),
        ("/system", "system.nothing", "Unknown system method: system.nothing"),
    ] {
        let (status, answer) = server.rpc(path, method, json!({})).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32601)), "{answer}");
        assert_eq!(answer["error"]["data"]["detail"], text);
    }
}

#[tokio::test]
async fn case_04_not_json() {
    let (_, text) = server().await.post("/tasks", "not json").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["error"]["code"], -32700, "{answer}");
    assert_eq!(answer["id"], Value::Null);
}

#[tokio::test]
async fn batches_and_notifications() {
    let server = server().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tasks.count", "params": {}},
        {"jsonrpc": "2.0", "method": "tasks.create", "params": info("notified")},
        {"jsonrpc": "2.0", "id": "x", "method": "tasks.nothing"},
        3,
    ]);
    let (status, text) = server.post("/tasks", batch.to_string()).await;
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!((status, answers.len()), (200, 3), "{text}");
    let by_id = |id: Value| answers.iter().find(|one| one["id"] == id).unwrap();
    assert!(by_id(json!(1))["result"]["total"].is_number());
    assert_eq!(by_id(json!("x"))["error"]["code"], -32601);
    assert_eq!(by_id(Value::Null)["error"]["code"], -32600);
    let note = json!({"jsonrpc": "2.0", "method": "tasks.create", "params": info("second")});
    let (status, text) = server.post("/tasks", note.to_string()).await;
    assert!((202..=204).contains(&status) && text.is_empty(), "{status} {text}");
    assert_eq!(server.total().await, 2);
}

#[tokio::test]
async fn case_05_create_one_object() {
    let server = server().await;
    let task = server.tasks("tasks.create", info("one")).await;
    for field in FIELDS {
        assert!(task.get(field).is_some(), "{field} is missing in {task}");
    }
    assert_eq!((&task["status"], &task["origin_type"]), (&json!("pending"), &json!("create")));
    assert_eq!(task["priority"], 2);
    assert_eq!(task["task_tree_id"], task["id"]);
    assert_eq!(server.task(task["id"].as_str().unwrap()).await, task);
    assert_eq!(server.task("unknown").await, Value::Null);
}

#[tokio::test]
async fn case_34_status_changes_are_checked() {
    let server = server().await;
    server.run(json!([with(info("a"), json!({"id": "a"}))])).await;
    let before = server.task("a").await;
    for status in ["pending", "banana", "in_progress", "failed"] {
        let (code, text) = server.refused("tasks.update", json!({"task_id": "a", "status": status})).await;
        assert_eq!(code, -32006, "{text}");
    }
    assert_eq!(server.task("a").await, before);
}

#[tokio::test]
async fn updates_are_all_or_nothing() {
    let server = server().await;
    server.tasks("tasks.create", with(info("a"), json!({"id": "a"}))).await;
    let changes = json!({"task_id": "a", "name": "b", "parent_id": "x", "user_id": "y", "priority": 9});
    let (_, text) = server.refused("tasks.update", changes).await;
    assert!(text.starts_with("Update failed:\n- "), "{text}");
    for field in ["parent_id", "user_id", "priority"] {
        assert!(text.contains(field), "{field} is missing in {text}");
    }
    assert_eq!(server.task("a").await["name"], "a");
    let changes = json!({"task_id": "a", "name": "b", "priority": 0, "metadata": {"k": 1}});
    let updated = server.tasks("tasks.update", changes).await;
    assert_eq!(
        (&updated["name"], &updated["priority"], &updated["metadata"]["k"]),
        (&json!("b"), &json!(0), &json!(1))
    );
}

#[tokio::test]
async fn case_35_delete_a_pending_tree() {
    let server = server().await;
    let child = |name: &str| with(info(name), json!({"id": name, "parent_id": "r"}));
    server.tasks("tasks.create", json!([with(info("r"), json!({"id": "r"})), child("a"), child("b")])).await;
    let deleted = server.tasks("tasks.delete", json!({"task_id": "r"})).await;
    assert_eq!(
        (&deleted["deleted_count"], &deleted["children_deleted"]),
        (&json!(3), &json!(2)),
        "{deleted}"
    );
    assert_eq!(server.task("r").await, Value::Null);
    assert_eq!(server.total().await, 0);
    let (code, text) = server.refused("tasks.delete", json!({"task_id": "r"})).await;
    assert_eq!(code, -32001, "{text}");
}

#[tokio::test]
async fn delete_of_a_finished_task_says_why_not() {
    let server = server().await;
    server.run(json!([with(info("a"), json!({"id": "a"}))])).await;
    let (code, text) = server.refused("tasks.delete", json!({"task_id": "a"})).await;
    assert_eq!(code, -32009);
    assert!(
        text.starts_with("Cannot delete task: ") && text.contains("task status is 'completed'"),
        "{text}"
    );
}

#[tokio::test]
async fn lists_and_counts_agree() {
    let server = server().await;
    server.run(json!([with(info("done"), json!({"id": "done"}))])).await;
    let child = with(info("child"), json!({"parent_id": "open"}));
    server.tasks("tasks.create", json!([with(info("open"), json!({"id": "open"})), child])).await;
    let roots = server.tasks("tasks.list", json!({})).await;
    let ids: Vec<&str> = roots.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["open", "done"]);
    let count = server.tasks("tasks.count", json!({})).await;
    assert_eq!((&count["pending"], &count["completed"], &count["total"]), (&json!(2), &json!(1), &json!(3)));
    let pending = server.tasks("tasks.list", json!({"root_only": false, "status": "pending"})).await;
    assert_eq!(pending.as_array().unwrap().len(), 2);
    let children = server.tasks("tasks.children", json!({"parent_id": "open"})).await;
    assert_eq!(children[0]["name"], "child");
    let tree = server.tasks("tasks.tree", json!({"task_id": "open"})).await;
    assert_eq!(tree["children"][0]["task"]["name"], "child", "{tree}");
}

#[tokio::test]
async fn explain_names_what_a_task_waits_for() {
    let server = server().await;
    let first = with(info("first"), json!({"id": "first", "parent_id": "second"}));
    let second =
        with(info("second"), json!({"id": "second", "dependencies": ["first"], "executor": "nobody"}));
    server.tasks("tasks.create", json!([second, first])).await;
    let why = server.tasks("tasks.explain", json!({"task_id": "second"})).await;
    let codes: Vec<&str> =
        why["blockers"].as_array().unwrap().iter().map(|b| b["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["not_executed", "executor_not_found"], "{why}");
}

#[tokio::test]
async fn probes_discovery_and_figures() {
    let server = server().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
    let (status, methods) = server.get("/tasks/methods").await;
    assert!(status == 200 && methods.contains("tasks.execute"), "{methods}");
    server.run(json!([info("counted")])).await;
    // The collector is fed beside the way of tasks; asked again until it has heard of this one.
    let began = std::time::Instant::now();
    loop {
        let (status, text) = server.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        if text.contains("system_info_executor") {
            break;
        }
        assert!(began.elapsed() < crate::harness::PATIENCE, "{text}");
    }
}
