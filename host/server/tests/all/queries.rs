//! Reading tasks, the log, and what the host has.

use apflow_testkit::scripted::ScriptedExecutor;
use apflow_testkit::trees::{chain, outline};
use serde_json::{Value, json};

use crate::setup::start;

fn ids(tasks: &Value) -> Vec<&str> {
    tasks.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tree_is_shown_nested_or_flat_from_any_task() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.create", outline("r; a; b^a; c^a; d")).await;
    let tree = server.result("tasks.tree", json!({"root_id": "r"})).await;
    assert_eq!(tree["task"]["id"], "r");
    assert_eq!(tree["children"][0]["children"][1]["task"]["id"], "c");
    let flat = server.result("tasks.tree", json!({"task_id": "a", "format": "flat"})).await;
    assert_eq!(ids(&flat), ["a", "b", "c"]);
    assert_eq!(server.refused("tasks.tree", json!({"task_id": "zz"})).await.1, -32001);
    assert_eq!(server.result("tasks.detail", json!({"task_id": "zz"})).await, Value::Null);
}

#[tokio::test]
async fn a_deep_tree_is_refused_nested_and_given_flat() {
    let server = start(ScriptedExecutor::new()).await;
    let deep: Vec<Value> = (0..1_000)
        .map(|i| json!({"id": format!("t{i}"), "name": format!("t{i}"), "parent_id": (i > 0).then(|| format!("t{}", i - 1))}))
        .collect();
    server.result("tasks.create", json!(deep)).await;
    let (status, code, data) = server.refused("tasks.tree", json!({"task_id": "t0"})).await;
    assert_eq!((status, code, &data["limit"]), (413, -32102, &json!(500)));
    assert!(data["detail"].as_str().unwrap().contains("\"format\": \"flat\""), "{data}");
    let flat = server.result("tasks.tree", json!({"task_id": "t0", "format": "flat"})).await;
    assert_eq!(flat.as_array().unwrap().len(), 1_000);
    // 500 levels can still be shown; the reader here gives up at 128, so only the text is looked at.
    let shown = server.call("tasks.tree", json!({"task_id": "t500"})).await;
    assert_eq!(shown.text.matches("\"children\":").count(), 500);
}

#[tokio::test]
async fn lists_show_roots_newest_first_and_filter() {
    let server = start(ScriptedExecutor::new()).await;
    server
        .result("tasks.create", json!({"id": "one", "name": "one", "user_id": "u", "executor": "scripted"}))
        .await;
    server.result("tasks.create", outline("two; kid")).await;
    server.result("tasks.execute", json!({"task_id": "one"})).await;
    assert_eq!(ids(&server.result("tasks.list", json!({})).await), ["two", "one"]);
    let all = server.result("tasks.list", json!({"root_only": false, "limit": 2, "offset": 0})).await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(ids(&server.result("tasks.list", json!({"status": "completed"})).await), ["one"]);
    assert_eq!(ids(&server.result("tasks.list", json!({"user_id": "u"})).await), ["one"]);
    assert_eq!(ids(&server.result("tasks.list", json!({"limit": 1, "offset": 1})).await), ["one"]);
    let counts = server.result("tasks.count", json!({})).await;
    assert_eq!(
        (&counts["pending"], &counts["completed"], &counts["total"]),
        (&json!(2), &json!(1), &json!(3))
    );
    let roots = server.result("tasks.count", json!({"root_only": true, "user_id": "u"})).await;
    assert_eq!(
        (&roots["total"], &roots["user_id"], &roots["root_only"]),
        (&json!(1), &json!("u"), &json!(true))
    );
}

#[tokio::test]
async fn children_come_by_priority() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.create", outline("r; a:3; b:0; c:1")).await;
    assert_eq!(ids(&server.result("tasks.children", json!({"parent_id": "r"})).await), ["b", "c", "a"]);
    assert_eq!(server.result("tasks.children", json!({"task_id": "a"})).await, json!([]));
    assert_eq!(server.refused("tasks.children", json!({"task_id": "zz"})).await.1, -32001);
}

#[tokio::test]
async fn the_log_is_read_page_by_page() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.execute", json!({"tasks": chain(3)})).await;
    server.result("tasks.execute", json!({"tasks": outline("other")})).await;
    let mut kinds = Vec::new();
    let mut after = json!(0);
    loop {
        let page = server.result("events.list", json!({"tree": "step-3", "after": after, "limit": 2})).await;
        kinds.extend(
            page["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned()),
        );
        after = page["next_after"].clone();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(kinds.len(), 2 + 3 * 2 + 1, "{kinds:?}");
    assert_eq!((kinds[0].as_str(), kinds.last().unwrap().as_str()), ("tree.created", "tree.completed"));
    let of_task = server.result("events.list", json!({"task_id": "step-2"})).await;
    let kinds: Vec<&Value> =
        of_task["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["task.started", "task.completed"]);
    assert_eq!(server.refused("events.list", json!({"task": "zz"})).await.1, -32001);
}

#[tokio::test]
async fn the_host_says_what_it_has() {
    let server = start(ScriptedExecutor::new()).await;
    let executors = server.result("system.executors", json!({})).await;
    assert_eq!((&executors["count"], &executors["restricted"]), (&json!(1), &json!(false)));
    let one = &executors["executors"][0];
    assert_eq!(
        (&one["id"], &one["dependencies"], &one["available"]),
        (&json!("scripted"), &json!([]), &json!(true))
    );
    assert!(one["name"].is_string() && one["description"].is_string() && one["tags"].is_array());
    assert_eq!(
        server.result("system.plugins", json!({})).await,
        json!({"plugins": [], "count": 0, "collectors": []})
    );
    assert_eq!(server.result("system.plugins.reload", Value::Null).await, json!({}));
    let operations = server.result("system.operations", json!({})).await;
    let listed = operations["operations"].as_array().unwrap();
    assert_eq!(operations["count"], listed.len());

    let methods = server.get("/tasks/methods").await.json();
    let behind_tasks = listed.iter().filter(|one| one["door"] == "task").count();
    assert_eq!(methods["total"], behind_tasks);
    let by_category = methods["methods"].as_object().unwrap();
    assert_eq!(by_category.values().map(|list| list.as_array().unwrap().len()).sum::<usize>(), behind_tasks);
    let execute =
        by_category["agent_action"].as_array().unwrap().iter().find(|one| one["method"] == "tasks.execute");
    assert_eq!(execute.unwrap()["supports_streaming"], true);
}

/// What an operation gives fits the schema that it declares.
#[tokio::test]
async fn results_fit_their_schemas() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.execute", json!({"tasks": outline("r <- a; a")})).await;
    let operations = server.result("system.operations", json!({})).await;
    for (method, params) in [
        ("tasks.create", json!({"name": "x"})),
        ("tasks.create", outline("p; q")),
        ("tasks.get", json!({"task_id": "r"})),
        ("tasks.get", json!({"task_id": "zz"})),
        ("tasks.tree", json!({"task_id": "r"})),
        ("tasks.tree", json!({"task_id": "r", "format": "flat"})),
        ("tasks.list", json!({})),
        ("tasks.children", json!({"task_id": "r"})),
        ("tasks.count", json!({"user_id": "u"})),
        ("tasks.attempts", json!({"task_id": "a"})),
        ("tasks.explain", json!({"task_id": "a"})),
        ("tasks.running.list", json!({})),
        ("tasks.running.status", json!({"task_ids": "a,zz"})),
        ("tasks.running.count", json!({})),
        ("tasks.execute", json!({"task_id": "r"})),
        ("tasks.execute", json!({"task_id": "r", "rerun": true})),
        ("tasks.update", json!({"task_id": "q", "priority": 1})),
        ("tasks.cancel", json!({"task_ids": "q,zz"})),
        ("tasks.delete", json!({"task_id": "q2"})),
        ("events.list", json!({"limit": 3})),
        ("system.health", json!({})),
        ("system.executors", json!({})),
        ("system.plugins", json!({})),
        ("system.operations", json!({})),
    ] {
        if method == "tasks.delete" {
            server.result("tasks.create", json!({"id": "q2", "name": "q2"})).await;
        }
        let result = server.result(method, params).await;
        let listed =
            operations["operations"].as_array().unwrap().iter().find(|one| one["name"] == method).unwrap();
        let validator = jsonschema::validator_for(&listed["result"]).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&result)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{method}: {errors:?}");
    }
}
