//! Hosts that share a database: names, and words that they send each other.

use std::process::Command;
use std::sync::Arc;

use apflow_testkit::postgres::Database;
use serde_json::json;

use crate::faults::refused_start;
use crate::harness::{Server, Setup, binary};

fn host(database: &Arc<Database>, node: &str, runs: u32) -> Setup {
    Setup {
        config: format!("[engine]\nnode = \"{node}\"\nmax_concurrent_runs = {runs}\n"),
        database: Some(Arc::clone(database)),
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_name_is_of_one_host_and_free_again_when_it_is_killed() {
    let database = Arc::new(Database::new());
    let mut one = Server::start(host(&database, "same", 4)).await;
    let mut command = Command::new(binary());
    command.env("APFLOW_ENGINE_NODE", "same");
    let (code, refused) = refused_start(command, &database.url);
    assert_eq!(code, Some(2), "{refused}");
    assert!(refused.contains("engine.node is 'same': another host"), "{refused}");
    one.crash_and_restart().await;
    one.run(json!([{"id": "t", "name": "t", "executor": "noop_executor"}])).await;
}

/// The task runs at the one host that takes tasks, and is cancelled through the other.
#[tokio::test]
async fn a_cancellation_reaches_the_run_on_another_host() {
    let database = Arc::new(Database::new());
    let (worker, door) =
        (Server::start(host(&database, "worker", 4)).await, Server::start(host(&database, "door", 0)).await);
    let task = json!([{"id": "t", "name": "t", "executor": "slow", "inputs": {"ms": 3_600_000}}]);
    door.tasks("tasks.create", task).await;
    door.tasks("tasks.execute", json!({"task_id": "t", "wait": false})).await;
    door.await_event("tree=t", "task.started", Some("t")).await;
    let running = async || {
        worker.rpc("/system", "system.health", json!({})).await.1["result"]["running_tasks_count"].clone()
    };
    assert_eq!(running().await, 1);
    let answer = door.tasks("tasks.cancel", json!({"task_ids": ["t"]})).await;
    assert_eq!(answer[0]["status"], "cancelled", "{answer}");
    // It would take an hour by itself.
    while running().await != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(worker.task("t").await["status"], "cancelled");
}

/// Both hosts run parts of it; whoever waits at one of them hears at once of an end that the other recorded.
#[tokio::test]
async fn an_end_on_another_host_is_heard_of() {
    let database = Arc::new(Database::new());
    let (worker, door) =
        (Server::start(host(&database, "worker", 4)).await, Server::start(host(&database, "door", 0)).await);
    let tree = json!([{"id": "t", "name": "t", "executor": "noop_executor"}]);
    door.tasks("tasks.create", tree).await;
    let ended = door.tasks("tasks.execute", json!({"task_id": "t", "wait": true})).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(worker.task("t").await["status"], "completed");
}
