//! kill -9 in the middle of a tree: after a restart it finishes by itself, and every task is completed once on the
//! record.

use serde_json::{Value, json};

use crate::black_box_execute::count_events;
use crate::harness::{Server, info, server, server_on_postgres, with};

fn big_tree(tasks: usize) -> Value {
    let child = |i: usize| {
        // Ten layers: each task needs the one ten places before it, so that a crash finds some waiting.
        let needs: Vec<String> = (i >= 100).then(|| format!("t{}", i - 100)).into_iter().collect();
        json!({"name": format!("t{i}"), "id": format!("t{i}"), "parent_id": "root", "executor": "slow",
               "inputs": {"ms": 2}, "dependencies": needs})
    };
    let all: Vec<String> = (0..tasks).map(|i| format!("t{i}")).collect();
    let root = json!({"name": "root", "id": "root", "executor": "noop_executor", "dependencies": all});
    json!(std::iter::once(root).chain((0..tasks).map(child)).collect::<Vec<_>>())
}

#[tokio::test]
async fn case_57_a_killed_server_goes_on_after_restart() {
    goes_on_after_restarts(server().await).await;
}

#[tokio::test]
async fn case_57_on_postgres_a_killed_server_goes_on_after_restart() {
    goes_on_after_restarts(server_on_postgres().await).await;
}

async fn goes_on_after_restarts(mut server: Server) {
    server.tasks("tasks.create", big_tree(1000)).await;
    server.tasks("tasks.execute", json!({"task_id": "root", "wait": false})).await;
    for round in 1..=3 {
        // Awaits a task of the middle, so that the kill falls into the run wherever the machine is.
        let middle = format!("t{}", round * 250);
        server.await_event("tree=root", "task.completed", Some(&middle)).await;
        server.crash_and_restart().await;
    }
    server.await_event("tree=root", "tree.completed", None).await;
    let count = server.tasks("tasks.count", json!({})).await;
    assert_eq!((&count["completed"], &count["total"]), (&json!(1001), &json!(1001)), "{count}");
    let completed = count_events(&server, "task.completed").await;
    assert_eq!((completed.len(), completed.values().max()), (1001, Some(&1)));
    let again = server.tasks("tasks.execute", json!({"task_id": "root"})).await;
    assert_eq!(again["status"], "completed");
}

#[tokio::test]
async fn a_graceful_stop_loses_nothing_and_exits_with_zero() {
    let server = server().await;
    server.run(json!([with(info("a"), json!({"id": "a"}))])).await;
    assert_eq!(server.terminate(), Some(0));
}
