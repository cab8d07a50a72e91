//! Making, running, stopping and changing tasks.

use apflow_testkit::scripted::{Answer, Gate, ScriptedExecutor};
use apflow_testkit::trees::{chain, flat, outline};
use serde_json::{Value, json};

use crate::setup::start;

#[tokio::test]
async fn one_task_comes_back_as_an_object_and_several_in_pre_order() {
    let server = start(ScriptedExecutor::new()).await;
    let one = server.result("tasks.create", json!({"name": "alone", "executor": "scripted"})).await;
    assert_eq!(
        (&one["status"], &one["priority"], &one["origin_type"]),
        (&json!("pending"), &json!(2), &json!("create"))
    );
    assert_eq!(one["task_tree_id"], one["id"]);
    for field in ["parent_id", "result", "error", "schedule_type", "lease_id", "started_at"] {
        assert_eq!(one.get(field), Some(&Value::Null), "{field}");
    }
    let many = server.result("tasks.create", outline("r <- a; a; b^a")).await;
    let ids: Vec<&str> = many.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["r", "a", "b"]);
    assert_eq!(many[1]["has_children"], true);
    let wrapped = server.result("tasks.create", json!({"tasks": [{"name": "w"}]})).await;
    assert_eq!(wrapped["name"], "w");
}

#[tokio::test]
async fn bad_trees_are_refused_with_their_codes_and_leave_nothing() {
    let server = start(ScriptedExecutor::new()).await;
    for (tasks, status, code, text) in [
        (json!([]), 422, -32012, "cannot be empty"),
        (json!([{"name": "a"}, {"name": "b"}]), 422, -32012, "Multiple root tasks"),
        (json!([{"name": "a", "parent_id": "a"}]), 422, -32012, "No root task"),
        (json!([{"id": "x"}]), 422, -32005, "must have a 'name' field"),
        (
            json!([{"name": "a"}, {"name": "a", "parent_id": "a"}]),
            422,
            -32012,
            "Duplicate task name 'a' at index 1",
        ),
        (outline("r <- a; a <- r"), 422, -32002, "Circular dependency detected"),
        (json!([{"name": "a"}, {"name": "b", "parent_id": "zz"}]), 422, -32010, "index 1 has parent_id 'zz'"),
        (
            json!([{"name": "a", "dependencies": ["zz"]}]),
            422,
            -32011,
            "index 0 has dependency reference 'zz'",
        ),
        (json!([{"name": "a", "colour": 1}]), 422, -32005, "'colour'"),
    ] {
        let (got_status, got, data) = server.refused("tasks.create", tasks.clone()).await;
        assert_eq!((got_status, got), (status, code), "{tasks}: {data}");
        assert!(data["detail"].as_str().unwrap().contains(text), "{data}");
        let (_, got, _) = server.refused("tasks.execute", json!({"tasks": tasks})).await;
        assert_eq!(got, code);
    }
    server.result("tasks.create", json!({"id": "mine", "name": "a"})).await;
    let (status, code, data) = server.refused("tasks.create", json!({"id": "mine", "name": "b"})).await;
    assert_eq!((status, code), (422, -32012));
    assert!(data["detail"].as_str().unwrap().contains("mine"), "{data}");
    assert_eq!(server.result("tasks.count", json!({})).await["total"], 1);
}

#[tokio::test]
async fn plain_execution_answers_with_the_outcome() {
    let script = ScriptedExecutor::new().on("bad", [Answer::fail("it cannot")]);
    let server = start(script).await;
    let done = server.result("tasks.execute", json!({"tasks": outline("r <- a; a")})).await;
    assert_eq!(
        (&done["success"], &done["status"], &done["protocol"]),
        (&json!(true), &json!("completed"), &json!("jsonrpc"))
    );
    assert_eq!(
        (&done["root_task_id"], &done["task_id"], &done["execution"]),
        (&json!("r"), &json!("r"), &json!(1))
    );
    assert_eq!(done["tree_id"], "r");
    assert_eq!(server.status_of("r").await, "completed");

    server.result("tasks.create", outline("top <- bad; bad; good")).await;
    let failed = server.result("tasks.execute", json!({"task_id": "top"})).await;
    assert_eq!((&failed["success"], &failed["status"]), (&json!(false), &json!("failed")));
    assert_eq!(
        (server.status_of("top").await, server.status_of("good").await),
        ("pending".into(), "completed".into())
    );
    let top = server.result("tasks.get", json!({"id": "top"})).await;
    assert_eq!(top["blocked_by"], "bad");
    let (status, code, data) = server.refused("tasks.execute", json!({"task_id": "nobody"})).await;
    assert_eq!((status, code, &data["task_id"]), (404, -32001, &json!("nobody")));
}

#[tokio::test]
async fn a_completed_tree_runs_again_only_if_asked() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.execute", json!({"tasks": outline("r <- a; a")})).await;
    let nothing = server.result("tasks.execute", json!({"task_id": "r"})).await;
    assert_eq!(
        (&nothing["success"], &nothing["status"], &nothing["execution"]),
        (&json!(true), &json!("completed"), &Value::Null)
    );
    assert!(nothing["message"].as_str().unwrap().contains("\"rerun\": true"));
    let again = server.result("tasks.execute", json!({"task_id": "r", "rerun": true})).await;
    assert_eq!((&again["status"], &again["execution"]), (&json!("completed"), &json!(2)));
    assert_eq!(server.result("tasks.attempts", json!({"task_id": "a"})).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn execution_can_be_started_only_and_is_not_started_twice() {
    let gate = Gate::new();
    let server = start(ScriptedExecutor::new().on("a", [Answer::Echo.behind(&gate)])).await;
    let started = server.result("tasks.execute", json!({"tasks": outline("r <- a; a"), "wait": false})).await;
    assert_eq!((&started["success"], &started["status"]), (&json!(true), &json!("started")));
    gate.arrivals(1).await;
    let twice = server.result("tasks.execute", json!({"task_id": "r", "use_streaming": true})).await;
    assert_eq!((&twice["success"], &twice["status"]), (&json!(false), &json!("already_running")));
    assert_eq!((&twice["root_task_id"], &twice["execution"]), (&json!("r"), &json!(1)));
    assert_eq!(server.result("tasks.running.count", json!({})).await["count"], 1);
    let running = server.result("tasks.running.list", json!({"limit": 5})).await;
    assert_eq!(running[0]["id"], "a");
    let status = server.result("tasks.running.status", json!({"context_ids": "a,r,zz"})).await;
    let found: Vec<_> =
        status.as_array().unwrap().iter().map(|one| (&one["status"], &one["is_running"])).collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(found, [(&json!("in_progress"), &yes), (&json!("pending"), &no), (&json!("not_found"), &no)]);
    let why = server.result("tasks.explain", json!({"task_id": "r"})).await;
    assert_eq!(
        (&why["blockers"][0]["code"], &why["blockers"][0]["data"]["task_id"]),
        (&json!("dependency"), &json!("a"))
    );
    gate.open();
}

#[tokio::test]
async fn a_child_brings_only_what_it_needs() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.create", outline("r <- a b; a <- c; b; c")).await;
    let done = server.result("tasks.execute", json!({"task_id": "a"})).await;
    assert_eq!(
        (&done["task_id"], &done["root_task_id"], &done["status"]),
        (&json!("a"), &json!("r"), &json!("completed"))
    );
    for (id, status) in [("a", "completed"), ("c", "completed"), ("b", "pending"), ("r", "pending")] {
        assert_eq!(server.status_of(id).await, status, "{id}");
    }
}

#[tokio::test]
async fn cancelling_gives_one_entry_for_each_id() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.create", json!({"id": "p", "name": "p", "executor": "scripted"})).await;
    server.result("tasks.execute", json!({"tasks": outline("done")})).await;
    let params = json!({"task_ids": "p,done,zz,p", "force": true});
    let entries = server.result("tasks.cancel", params).await;
    let entries = entries.as_array().unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|one| (one["task_id"].as_str().unwrap(), one["status"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("p", "cancelled"), ("done", "failed"), ("zz", "failed")]);
    assert_eq!((&entries[1]["current_status"], &entries[1]["force"]), (&json!("completed"), &json!(true)));
    assert!(entries[1]["message"].as_str().unwrap().contains("already completed, cannot cancel"));
    assert!(entries[2]["message"].as_str().unwrap().contains("not found"));
    let task = server.result("tasks.get", json!({"task_id": "p"})).await;
    assert_eq!((&task["status"], &task["error"]), (&json!("cancelled"), &json!("Force cancelled by user")));
    let alias = server.result("tasks.running.cancel", json!({"task_id": "p"})).await;
    assert_eq!(alias[0]["current_status"], "cancelled");
}

#[tokio::test]
async fn a_running_task_is_cancelled_for_good() {
    let gate = Gate::new();
    let server = start(ScriptedExecutor::new().on("a", [Answer::Echo.behind(&gate)])).await;
    server.result("tasks.execute", json!({"tasks": outline("r <- a; a"), "wait": false})).await;
    gate.arrivals(1).await;
    let entries = server.result("tasks.cancel", json!({"task_ids": ["a"], "error_message": "enough"})).await;
    assert_eq!(entries[0]["status"], "cancelled");
    gate.open();
    let after = server.result("tasks.get", json!({"task_id": "a"})).await;
    assert_eq!((&after["status"], &after["error"]), (&json!("cancelled"), &json!("enough")));
    assert_eq!(server.status_of("r").await, "cancelled");
}

#[tokio::test]
async fn a_failed_task_is_mended_and_the_tree_resumed() {
    let script = ScriptedExecutor::new().on("bad", [Answer::fail("no"), Answer::Echo]);
    let server = start(script).await;
    let first = server.result("tasks.execute", json!({"tasks": outline("r <- bad ok; bad; ok")})).await;
    assert_eq!(first["status"], "failed");
    let changed = server.result("tasks.update", json!({"task_id": "bad", "inputs": {"x": 2}})).await;
    assert_eq!(changed["inputs"], json!({"x": 2}));
    let second = server.result("tasks.execute", json!({"task_id": "r"})).await;
    assert_eq!((&second["status"], &second["execution"]), (&json!("completed"), &json!(2)));
    assert_eq!(server.result("tasks.attempts", json!({"id": "ok"})).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn forbidden_changes_change_nothing() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.execute", json!({"tasks": outline("r")})).await;
    for (changes, code) in [
        (json!({"status": "pending"}), -32006),
        (json!({"status": "banana"}), -32006),
        (json!({"parent_id": "x", "user_id": "y"}), -32005),
        (json!({"name": "new", "priority": 9}), -32005),
    ] {
        let mut params = changes.clone();
        params["task_id"] = json!("r");
        let (_, got, data) = server.refused("tasks.update", params).await;
        assert_eq!(got, code, "{changes}: {data}");
    }
    let (_, _, data) =
        server.refused("tasks.update", json!({"id": "r", "parent_id": "x", "user_id": "y"})).await;
    let text = data["detail"].as_str().unwrap();
    assert!(
        text.starts_with("Update failed:") && text.contains("parent_id") && text.contains("user_id"),
        "{text}"
    );
    let task = server.result("tasks.get", json!({"task_id": "r"})).await;
    assert_eq!(
        (&task["status"], &task["name"], &task["parent_id"]),
        (&json!("completed"), &json!("r"), &Value::Null)
    );
}

#[tokio::test]
async fn every_documented_change_is_possible() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.create", outline("r; a; b")).await;
    let operations = server.result("system.operations", json!({})).await;
    let update = operations["operations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "tasks.update")
        .unwrap();
    let changes = json!({
        "task_id": "a", "name": "n", "status": "pending", "priority": 0, "inputs": {"x": 1}, "params": {"p": 1},
        "executor": "scripted", "schemas": {}, "dependencies": ["b"], "description": "d", "metadata": {"m": 1},
        "retry": {"max_attempts": 2}, "timeout_ms": 5, "concurrency_key": "k",
    });
    // Of a root only.
    let schedule = json!({
        "task_id": "r", "schedule_type": "daily", "schedule_expression": "09:00", "schedule_enabled": true,
        "schedule_start_at": "2030-01-01T00:00:00Z", "schedule_end_at": "2031-01-01T00:00:00Z",
        "schedule_timezone": "Asia/Tokyo", "schedule_missed": "all", "schedule_overlap": "queue", "max_runs": 9,
        "next_run_at": "2030-06-01T00:00:00Z", "last_run_at": "2029-01-01T00:00:00Z", "run_count": 2,
        "deadline_ms": 9,
    });
    let documented: Vec<&String> = update["params"]["properties"].as_object().unwrap().keys().collect();
    let mut sent: Vec<&String> =
        [&changes, &schedule].iter().flat_map(|one| one.as_object().unwrap().keys()).collect();
    sent.sort();
    sent.dedup();
    let mut documented_sorted = documented.clone();
    documented_sorted.sort();
    assert_eq!(documented_sorted, sent);
    let task = server.result("tasks.update", changes.clone()).await;
    for field in ["name", "priority", "inputs", "description", "metadata", "timeout_ms", "concurrency_key"] {
        assert_eq!(task[field], changes[field], "{field}");
    }
    assert_eq!(task["dependencies"][0]["id"], "b");
    let task = server.result("tasks.update", schedule.clone()).await;
    for (field, value) in schedule.as_object().unwrap().iter().filter(|(field, _)| *field != "task_id") {
        assert_eq!(task[field], *value, "{field}");
    }
}

#[tokio::test]
async fn deleting_counts_and_refuses_with_reasons() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.create", outline("r; a; b")).await;
    let gone = server.result("tasks.delete", json!({"task_id": "r"})).await;
    assert_eq!(gone, json!({"success": true, "task_id": "r", "deleted_count": 3, "children_deleted": 2}));
    assert_eq!(server.result("tasks.get", json!({"task_id": "r"})).await, Value::Null);
    server.result("tasks.execute", json!({"tasks": outline("done")})).await;
    let (status, code, data) = server.refused("tasks.delete", json!({"task_id": "done"})).await;
    assert_eq!((status, code), (409, -32009));
    assert!(data["detail"].as_str().unwrap().contains("completed"), "{data}");
    assert_eq!(server.refused("tasks.delete", json!({"task_id": "r"})).await.1, -32001);
}

#[tokio::test]
async fn a_thousand_side_by_side_and_a_thousand_in_a_row_complete() {
    let server = start(ScriptedExecutor::new()).await;
    for tasks in [flat(1000), chain(1000)] {
        let done = server.result("tasks.execute", json!({"tasks": tasks})).await;
        assert_eq!(done["status"], "completed");
    }
    let counts = server.result("tasks.count", json!({"statuses": "completed,failed"})).await;
    assert_eq!(
        (&counts["completed"], &counts["failed"], &counts["total"]),
        (&json!(2001), &json!(0), &json!(2001))
    );
}

#[tokio::test]
async fn an_unknown_executor_fails_the_task_and_is_named() {
    let server = start(ScriptedExecutor::new()).await;
    let done = server
        .result("tasks.execute", json!({"tasks": [{"id": "t", "name": "t", "executor": "nope"}]}))
        .await;
    assert_eq!((&done["success"], &done["status"]), (&json!(false), &json!("failed")));
    let task = server.result("tasks.get", json!({"task_id": "t"})).await;
    assert!(task["error"].as_str().unwrap().contains("nope"), "{task}");
    assert!(task["result"]["error"].is_string(), "{task}");
}
