//! Plugins that misbehave: each gives its typed failure in the task, naming the limit and its key, while a healthy
//! tree beside it completes.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Server, Setup, hostile, info, server, shipped, with};

/// Small limits, so that breaking them is quick.
const TIGHT: &str = r#"
[plugins.hostile.limits]
deadline_ms = 300
memory_bytes = 33554432
output_bytes = 65536
log_lines = 10
"#;

async fn tight() -> Server {
    Server::start(Setup { config: TIGHT.into(), ..Setup::default() }).await
}

async fn outcome(server: &Server, executor: &str, inputs: Value) -> Value {
    server.run(json!([{"name": executor, "id": executor, "executor": executor, "inputs": inputs}])).await;
    server.task(executor).await
}

#[tokio::test]
async fn every_limit_is_a_failure_that_names_itself() {
    let server = tight().await;
    for (executor, code, key) in [
        ("loop_forever", "deadline_exceeded", "limits.deadline_ms"),
        ("eat_memory", "memory_limit", "limits.memory_bytes"),
        ("huge_output", "output_limit", "limits.output_bytes"),
        ("trap", "trap", "trap"),
        ("bad_output", "bad_output", "JSON"),
        ("ask_denied_host", "http_denied", "plugins.hostile.grants"),
        ("spawn_denied", "process_denied", "plugins.hostile.grants"),
    ] {
        let task = outcome(&server, executor, json!({})).await;
        assert_eq!(task["status"], "failed", "{executor}: {task}");
        assert_eq!(task["error_info"]["code"], code, "{executor}: {task}");
        let text = task["error"].as_str().unwrap();
        assert!(text.contains(key), "{executor}: {text}");
        assert!(
            !text.contains("wasmtime") && !text.contains(".rs:"),
            "{executor} shows the host's inside: {text}"
        );
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_the_call_goes_on() {
    let server = tight().await;
    let task = outcome(&server, "log_flood", json!({})).await;
    assert_eq!(task["status"], "completed", "{task}");
    let log = std::fs::read_to_string(server.path("server.log")).unwrap();
    let lines = log.lines().filter(|line| line.contains("flood")).count();
    assert!(lines <= 20, "{lines} lines of the flood reached the log");
    assert!(log.contains("limits.log_lines"), "the log does not say that lines were dropped:\n{log}");
}

#[tokio::test]
async fn what_was_not_granted_is_not_there() {
    let server = tight().await;
    let env = outcome(&server, "read_env", json!({"name": "PATH"})).await;
    assert_eq!(env["result"]["value"], Value::Null, "{env}");
    let file = outcome(&server, "read_file", json!({"path": "/etc/hostname"})).await;
    assert!(file["status"] == "failed" || file["result"]["content"].is_null(), "{file}");
}

#[tokio::test]
async fn a_healthy_tree_completes_beside_loops_and_traps() {
    let server = tight().await;
    let bad = ["loop_forever", "eat_memory", "trap", "huge_output"];
    for (i, executor) in bad.iter().cycle().take(12).enumerate() {
        let task = json!([{"name": format!("bad {i}"), "executor": executor}]);
        server.tasks("tasks.execute", json!({"tasks": task, "wait": false})).await;
    }
    let mut tree = vec![with(info("root"), json!({"id": "root"}))];
    tree.extend((0..100).map(|i| with(info(&format!("c{i}")), json!({"parent_id": "root"}))));
    assert_eq!(server.run(json!(tree)).await["status"], "completed");
    let (_, health) = server.rpc("/system", "system.health", json!({})).await;
    assert_eq!(health["result"]["status"], "healthy");
}

#[tokio::test]
async fn files_that_are_no_plugins_are_reported_and_the_rest_serves() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.wasm"), "this is not a component").unwrap();
    let whole = std::fs::read(shipped().join("noop_executor/noop_executor.wasm")).unwrap();
    std::fs::write(folder.path().join("truncated.wasm"), &whole[..whole.len() / 2]).unwrap();
    let wrong = hostile().join("wrong_world");
    copy_folder(&wrong, &folder.path().join("wrong_world"));
    let plugins = vec![shipped(), folder.path().to_owned()];
    let server = Server::start(Setup { plugins, ..Setup::default() }).await;
    let (_, answer) = server.rpc("/system", "system.plugins", json!({})).await;
    let text = answer["result"].to_string();
    for (name, code) in [("text", "not_a_component"), ("truncated", ""), ("wrong_world", "wrong_world")] {
        assert!(text.contains(name) && text.contains(code), "{name} is not reported: {text}");
    }
    assert_eq!(server.run(json!([info("a")])).await["status"], "completed");
}

#[tokio::test]
async fn hooks_decide_and_a_broken_one_fails_closed() {
    let server = server().await;
    let vetoed = json!([{"name": "a", "id": "a", "executor": "echo", "metadata": {"veto": true}}]);
    server.run(vetoed).await;
    let task = server.task("a").await;
    assert_eq!(
        (&task["status"], &task["error_info"]["data"]["hook"]),
        (&json!("failed"), &json!("veto_hook")),
        "{task}"
    );
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
