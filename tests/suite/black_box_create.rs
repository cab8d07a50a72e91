//! The black-box cases about creating trees.

use serde_json::{Value, json};

use crate::harness::{Server, info, server, with};

#[tokio::test]
async fn case_06_flat_array_in_pre_order() {
    let server = server().await;
    let tasks = json!([
        with(info("child 1"), json!({"id": "c1", "parent_id": "root"})),
        with(info("root"), json!({"id": "root"})),
        with(info("child 2"), json!({"id": "c2", "parent_id": "root"})),
    ]);
    let created = server.tasks("tasks.create", tasks).await;
    let ids: Vec<&str> =
        created.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["root", "c1", "c2"]);
    assert_eq!((&created[0]["has_children"], &created[1]["has_children"]), (&json!(true), &json!(false)));
    assert!(created.as_array().unwrap().iter().all(|task| task["task_tree_id"] == "root"));
}

#[tokio::test]
async fn case_07_references_by_name_become_ids() {
    let server = server().await;
    let tasks = json!([
        with(info("root"), json!({"id": "r", "dependencies": ["a", {"id": "b", "required": false}, "ID-A"]})),
        with(info("a"), json!({"id": "ID-A", "parent_id": "root"})),
        with(info("b"), json!({"id": "ID-B", "parent_id": "root"})),
    ]);
    let created = server.tasks("tasks.create", tasks).await;
    assert_eq!(
        created[0]["dependencies"],
        json!([
            {"id": "ID-A", "required": true, "type": "result"},
            {"id": "ID-B", "required": false, "type": "result"},
        ])
    );
    assert_eq!(created[1]["parent_id"], "r");
}

#[tokio::test]
async fn case_08_taken_ids() {
    let server = server().await;
    let tree = || json!([with(info("a"), json!({"id": "mine"})), with(info("b"), json!({"parent_id": "a"}))]);
    server.tasks("tasks.create", tree()).await;
    let before = server.task("mine").await;
    let (code, text) = server.refused("tasks.create", tree()).await;
    assert_eq!(code, -32012);
    assert!(text.contains("already exists") && text.contains("mine"), "{text}");
    assert_eq!((server.total().await, server.task("mine").await), (2, before));
}

/// A refused creation: code, a part of the text, and nothing left behind.
async fn check(server: &Server, tasks: Value, code: i64, part: &str) {
    for method in ["tasks.create", "tasks.execute"] {
        let params = if method == "tasks.create" { tasks.clone() } else { json!({ "tasks": tasks }) };
        let (found, text) = server.refused(method, params).await;
        assert!(text.contains(part), "{method}: {text}");
        assert_eq!(found, code, "{method}: {text}");
    }
    assert_eq!(server.total().await, 0);
}

#[tokio::test]
async fn case_09_malformed_arrays() {
    let server = server().await;
    let a = || info("a");
    check(&server, json!([a(), info("b")]), -32012, "Multiple root tasks found").await;
    check(&server, json!([with(a(), json!({"parent_id": "a"}))]), -32012, "No root task found").await;
    check(&server, json!([]), -32012, "Tasks array cannot be empty").await;
    check(&server, json!([{"id": "x"}]), -32005, "Task at index 0 must have a 'name' field").await;
    check(
        &server,
        json!([a(), with(a(), json!({"parent_id": "a"}))]),
        -32012,
        "Duplicate task name 'a' at index 1",
    )
    .await;
    let twice = json!([with(a(), json!({"id": "x"})), with(info("b"), json!({"id": "x", "parent_id": "a"}))]);
    check(&server, twice, -32012, "Duplicate task id 'x' at index 1").await;
}

#[tokio::test]
async fn case_10_cycles() {
    let server = server().await;
    let task = |name: &str, needs: &str| with(info(name), json!({"parent_id": "r", "dependencies": [needs]}));
    let two = json!([info("r"), task("a", "b"), task("b", "a")]);
    check(&server, two, -32002, "Circular dependency detected").await;
    let three = json!([info("r"), task("a", "b"), task("b", "c"), task("c", "a")]);
    check(&server, three, -32002, "Circular dependency detected").await;
}

#[tokio::test]
async fn case_11_unknown_parent_and_dependency() {
    let server = server().await;
    let parent = json!([info("r"), with(info("a"), json!({"parent_id": "zz"}))]);
    check(&server, parent, -32010, "Task at index 1 has parent_id 'zz'").await;
    let dependency = json!([info("r"), with(info("a"), json!({"parent_id": "r", "dependencies": ["zz"]}))]);
    check(&server, dependency, -32011, "Task at index 1 has dependency reference 'zz'").await;
}

#[tokio::test]
async fn case_12_mixed_owners() {
    let server = server().await;
    let tasks = json!([
        with(info("r"), json!({"user_id": "a"})),
        with(info("c"), json!({"user_id": "b", "parent_id": "r"})),
    ]);
    check(&server, tasks, -32012, "All tasks must have the same user_id").await;
}

#[tokio::test]
async fn inputs_that_break_the_executors_schema_are_refused_at_once() {
    let server = server().await;
    let wrong = json!([{"name": "a", "executor": "rest_executor", "inputs": {"url": 3}}]);
    check(&server, wrong, -32005, "inputs/url of executor 'rest_executor'").await;
    let unknown_field = json!([with(info("a"), json!({"colour": "red"}))]);
    check(&server, unknown_field, -32005, "'colour'").await;
}
