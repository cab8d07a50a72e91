//! The store fails under a running host: callers are told so with a stable code, nothing is torn, and the host goes on
//! by itself when the store is back.

use apflow_testkit::postgres;
use serde_json::json;

use crate::harness::{Server, Setup, with};

/// A task that waits for so long.
fn slow(id: &str, ms: u32) -> serde_json::Value {
    json!({"id": id, "name": id, "executor": "slow", "inputs": {"ms": ms}})
}

/// A host on a database server of the test's own. Its lease is short, so that an outage is longer.
async fn on_own_server(server: &postgres::Server) -> Server {
    let config = "[engine]\nlease_ms = 600\n".to_owned();
    Server::start(Setup { config, database: Some(server.database()), ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_were_stopped_for_their_lease_run_again_when_the_database_is_back() {
    let postgres = postgres::Server::own();
    let server = on_own_server(&postgres).await;
    let tree = json!([with(slow("root", 1), json!({"dependencies": ["long"]})),
                      with(slow("long", 2_000), json!({"parent_id": "root"}))]);
    server.tasks("tasks.execute", json!({"tasks": tree, "wait": false})).await;
    server.await_event("tree=root", "task.started", Some("long")).await;
    postgres.stop();
    server.await_log("all runs of this node are stopped").await;
    postgres.restart();
    server.await_event("tree=root", "tree.completed", None).await;
    let attempts = server.tasks("tasks.attempts", json!({"task_id": "long"})).await;
    assert_eq!(attempts.as_array().unwrap().len(), 1, "an attempt that was taken back leaves no record: {attempts}");
    server.await_event("tree=root", "task.rescued", Some("long")).await;
}
