//! Limits across trees on the real server: keys, rules of the configuration, deadlines; over restarts and two hosts.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;

use apflow_testkit::postgres::Database;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, binary, server};

/// A tree of slow tasks with one key; its root waits for them.
fn keyed_tree(name: &str, tasks: usize) -> Value {
    let id = |i: usize| format!("{name}-{i}");
    let all: Vec<String> = (0..tasks).map(id).collect();
    let root = json!({"id": name, "name": name, "executor": "noop_executor", "dependencies": all});
    let task = |i: usize| {
        json!({"id": id(i), "name": id(i), "parent_id": name, "executor": "slow", "inputs": {"ms": 5},
               "concurrency_key": "printer"})
    };
    std::iter::once(root).chain((0..tasks).map(task)).collect()
}

/// The most tasks of executor `slow` that ran at a time, by the log.
async fn most_at_once(server: &Server) -> usize {
    let log = server.tasks("events.list", json!({"limit": 1000})).await;
    let mut running: HashMap<String, i32> = HashMap::new();
    let mut most = 0;
    for event in log["events"].as_array().unwrap().iter().filter(|event| event["executor"] == "slow") {
        let task = event["task_id"].as_str().unwrap().to_owned();
        match event["kind"].as_str().unwrap() {
            "task.started" => {
                running.insert(task, 1);
            }
            "task.completed" | "task.rescued" => {
                running.remove(&task);
            }
            _ => {}
        }
        most = most.max(running.len());
    }
    most
}

async fn limits(server: &Server) -> Value {
    server.rpc("/system", "system.limits", json!({})).await.1["result"]["limits"].clone()
}

#[tokio::test]
async fn tasks_with_a_key_run_one_at_a_time_also_over_a_crash() {
    let mut server = server().await;
    for name in ["a", "b"] {
        server.tasks("tasks.create", keyed_tree(name, 30)).await;
        server.tasks("tasks.execute", json!({"task_id": name, "wait": false})).await;
    }
    server.await_event("tree=a", "task.completed", Some("a-10")).await;
    let printer = limits(&server).await[0].clone();
    assert_eq!(
        (&printer["scope"], &printer["name"], &printer["max_running"]),
        (&json!("key"), &json!("printer"), &json!(1))
    );
    server.crash_and_restart().await;
    for name in ["a", "b"] {
        server.await_event(&format!("tree={name}"), "tree.completed", None).await;
    }
    assert_eq!(most_at_once(&server).await, 1);
    let printer = limits(&server).await[0].clone();
    assert_eq!((&printer["running"], &printer["parked"]), (&json!(0), &json!(0)), "{printer}");
}

#[tokio::test]
async fn rules_of_the_configuration_bound_two_hosts_on_one_database() {
    let database = Arc::new(Database::new());
    let host = |node: &str| Setup {
        config: format!(
            "[engine]\nnode = \"{node}\"\n[limits.executors.slow]\nmax_running = 3\n[limits.keys.printer]\nrate = \"100000/s\"\n"
        ),
        database: Some(Arc::clone(&database)),
        ..Setup::default()
    };
    let (one, two) = (Server::start(host("one")).await, Server::start(host("two")).await);
    for name in ["a", "b"] {
        one.tasks("tasks.create", keyed_tree(name, 60)).await;
        one.tasks("tasks.execute", json!({"task_id": name, "wait": false})).await;
    }
    for name in ["a", "b"] {
        two.await_event(&format!("tree={name}"), "tree.completed", None).await;
    }
    let most = most_at_once(&one).await;
    assert!((1..=3).contains(&most), "{most}");
    let limits = limits(&two).await;
    assert_eq!((&limits[0]["name"], &limits[0]["max_running"]), (&json!("slow"), &json!(3)), "{limits}");
    assert_eq!(
        (&limits[1]["name"], &limits[1]["max_running"]),
        (&json!("printer"), &Value::Null),
        "{limits}"
    );
}

#[tokio::test]
async fn an_executor_without_places_is_shown_on_the_command_line() {
    let config = "[limits.executors.noop_executor]\nmax_running = 0\n".to_owned();
    let server = Server::start(Setup { config, ..Setup::default() }).await;
    server.tasks("tasks.create", json!({"id": "t", "name": "t", "executor": "noop_executor"})).await;
    server.tasks("tasks.execute", json!({"task_id": "t", "wait": false})).await;
    let parked = |limits: &Value| limits[0]["parked"] == 1;
    while !parked(&limits(&server).await) {
        tokio::task::yield_now().await;
    }
    let told = server.tasks("tasks.explain", json!({"task_id": "t"})).await;
    assert_eq!(told["blockers"][0]["code"], "gate", "{told}");
    let listed = Command::new(binary()).args(["limits", "list", "--server", &server.url]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(
        text.lines().any(|line| {
            line.split_whitespace().collect::<Vec<_>>() == ["executor", "noop_executor", "0", "0", "any", "1"]
        }),
        "{text}"
    );
    let answer = server.tasks("tasks.cancel", json!({"task_ids": ["t"]})).await;
    assert_eq!(answer[0]["status"], "cancelled", "{answer}");
}

#[tokio::test]
async fn a_tree_that_runs_out_of_time_fails_and_goes_on() {
    let server = server().await;
    let tree = json!([
        {"id": "r", "name": "r", "executor": "noop_executor", "dependencies": ["s"], "deadline_ms": 400},
        {"id": "s", "name": "s", "parent_id": "r", "executor": "slow", "inputs": {"ms": 60_000}},
    ]);
    server.tasks("tasks.create", tree).await;
    server.tasks("tasks.execute", json!({"task_id": "r", "wait": false})).await;
    server.await_event("tree=r", "tree.failed", None).await;
    let task = server.task("s").await;
    assert_eq!((&task["status"], &task["error_info"]["code"]), (&json!("failed"), &json!("tree_deadline")));
    server.tasks("tasks.update", json!({"task_id": "s", "inputs": {"ms": 1}})).await;
    server.tasks("tasks.update", json!({"task_id": "r", "deadline_ms": 60_000})).await;
    server.tasks("tasks.execute", json!({"task_id": "r", "wait": false})).await;
    server.await_event("tree=r", "tree.completed", None).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let server = server().await;
    for (task, words) in [
        (json!({"name": "t", "concurrency_key": ""}), "concurrency_key"),
        (json!({"name": "t", "concurrency_key": 7}), "a string is expected"),
        (json!({"name": "t", "concurrency_key": "k".repeat(201)}), "at most 200"),
        (json!({"name": "t", "deadline_ms": 0}), "deadline_ms"),
        (json!([{"name": "r"}, {"name": "t", "parent_id": "r", "deadline_ms": 5}]), "not the root"),
    ] {
        let (_, text) = server.refused("tasks.create", task).await;
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(server.total().await, 0);
}
