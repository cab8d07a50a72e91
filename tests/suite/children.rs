//! Child tasks through the real binary: a task that submits a tree and waits for it, with one slot for everything, through a
//! crash, and when it is cancelled. And what plugins keep in the database: state and checkpoints.

use serde_json::{Value, json};

use crate::harness::{Server, Setup};

const GRANTS: &str = "[plugins.every_call.grants]\ntasks = true\nstate = true\n";

fn host(config: &str) -> Setup {
    Setup { config: format!("{config}\n{GRANTS}"), ..Setup::default() }
}

/// A task that runs this tree as its child and waits.
fn parent(id: &str, child: &Value) -> Value {
    json!({
        "id": id, "name": id, "executor": "every_call",
        "inputs": {"call": "tasks.run", "what": child.to_string(), "then": "only"},
    })
}

/// What `tasks.await-result` gave.
async fn end_of(server: &Server, id: &str) -> Value {
    let task = server.task(id).await;
    let text = task["result"]["ok"].as_str().unwrap_or_else(|| panic!("{task}")).to_owned();
    serde_json::from_str(&text).unwrap()
}

/// Neither the host's only slot nor the executor's only place is held by who waits: three levels run through each.
#[tokio::test]
async fn who_waits_holds_no_slot() {
    let config = "[engine]\nmax_concurrent_runs = 1\n[limits.executors.every_call]\nmax_running = 1\n\
                  [plugins.every_call.limits]\nconcurrent_calls = 1";
    let server = Server::start(host(config)).await;
    let leaf = json!([{"name": "leaf", "executor": "echo", "inputs": {"text": "deep"}}]);
    let middle = json!([parent("middle", &leaf)]);
    server.run(json!([parent("top", &middle)])).await;
    let end = end_of(&server, "top").await;
    assert_eq!((&end["status"], &end["error"]), (&json!("completed"), &Value::Null), "{end}");
    let inner: Value = serde_json::from_str(end["result"]["ok"].as_str().unwrap()).unwrap();
    assert_eq!(inner["status"], "completed", "{inner}");
    assert_eq!(server.task("middle").await["status"], "completed");
}

#[tokio::test]
async fn children_have_limits() {
    let server = Server::start(host("[plugins.every_call.limits]\nchild_depth = 1\nchild_trees = 1")).await;
    let leaf = json!([{"name": "leaf", "executor": "noop_executor"}]);
    let middle = json!([parent("middle", &leaf)]);
    server.run(json!([parent("top", &middle)])).await;
    let refused = server.task("middle").await["result"]["error"].as_str().unwrap().to_owned();
    assert!(refused.contains("nested too deeply: at most 1"), "{refused}");
    let not_a_tree = json!({"id": "bad", "name": "bad", "executor": "every_call",
        "inputs": {"call": "tasks.submit", "what": "[{\"nme\": 1}]", "then": "k"}});
    server.run(json!([not_a_tree])).await;
    let refused = server.task("bad").await["result"]["error"].as_str().unwrap().to_owned();
    assert!(refused.contains("must have a 'name' field"), "{refused}");
    let stranger = json!({"id": "stranger", "name": "stranger", "executor": "every_call",
        "inputs": {"call": "tasks.await-result", "what": "top"}});
    server.run(json!([stranger])).await;
    let refused = server.task("stranger").await["result"]["error"].as_str().unwrap().to_owned();
    assert!(refused.contains("has no child tree 'top'"), "{refused}");
}

/// Children go with their parent, and theirs with them.
#[tokio::test]
async fn a_cancellation_takes_the_children_along() {
    let server = Server::start(host("")).await;
    let leaf = json!([{"id": "leaf", "name": "leaf", "executor": "slow", "inputs": {"ms": 3_600_000}}]);
    let middle = json!([parent("middle", &leaf)]);
    server.tasks("tasks.create", json!([parent("top", &middle)])).await;
    server.tasks("tasks.execute", json!({"task_id": "top", "wait": false})).await;
    server.await_event("tree=leaf", "task.started", Some("leaf")).await;
    server.tasks("tasks.cancel", json!({"task_ids": ["top"]})).await;
    for id in ["top", "middle", "leaf"] {
        assert_eq!(server.task(id).await["status"], "cancelled", "{id}");
    }
}

/// The host dies while a task waits: the next attempt finds the child that there is.
#[tokio::test]
async fn a_crash_makes_no_second_child() {
    let mut server = Server::start(host("")).await;
    let child = json!([{"id": "child", "name": "child", "executor": "slow", "inputs": {"ms": 300}}]);
    server.tasks("tasks.create", json!([parent("top", &child)])).await;
    server.tasks("tasks.execute", json!({"task_id": "top", "wait": false})).await;
    server.await_event("tree=child", "task.started", Some("child")).await;
    server.crash_and_restart().await;
    server.await_event("tree=top", "tree.completed", None).await;
    assert_eq!(end_of(&server, "top").await["status"], "completed");
    let all = server.tasks("tasks.list", json!({"root_only": true})).await;
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
}

/// State outlives the process; a checkpoint is there for the next attempt only.
#[tokio::test]
async fn state_is_kept_and_checkpoints_are_of_a_task() {
    let mut server = Server::start(host("")).await;
    let ask =
        |id: &str, inputs: Value| json!([{"id": id, "name": id, "executor": "every_call", "inputs": inputs}]);
    server.run(ask("put", json!({"call": "state.put", "what": "k", "then": "{\"n\":1}"}))).await;
    server.run(ask("save", json!({"call": "checkpoint.save", "what": "[1]"}))).await;
    assert_eq!(server.task("save").await["result"], json!({"ok": null}));
    server.crash_and_restart().await;
    server.run(ask("get", json!({"call": "state.get", "what": "k"}))).await;
    assert_eq!(server.task("get").await["result"]["ok"][0], "{\"n\":1}");
    server.run(ask("load", json!({"call": "checkpoint.load"}))).await;
    assert_eq!(server.task("load").await["result"], json!({"ok": null}), "another task has none");
}
