//! Plugins are replaced while the server runs; a broken one changes nothing.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Server, Setup, hostile, shipped};
use crate::hostile::copy_folder;

/// A folder with the two versions' files, of which one is live as `swapped`.
struct Swap {
    folder: tempfile::TempDir,
}

impl Swap {
    fn new() -> Self {
        let swap = Self { folder: tempfile::tempdir().unwrap() };
        copy_folder(&shipped().join("noop_executor"), &swap.folder.path().join("noop_executor"));
        swap
    }

    fn live(&self) -> std::path::PathBuf {
        self.folder.path().join("noop_executor/noop_executor.wasm")
    }

    /// As an author's build would: written beside, then moved over.
    fn replace(&self, bytes: &[u8]) {
        let beside = self.folder.path().join("noop_executor/.new");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, self.live()).unwrap();
    }
}

/// The same component with a custom section at its end: other bytes, same behaviour.
fn touched(path: &Path, mark: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend([0, 3, 1, b'v', mark]);
    bytes
}

async fn plugin(server: &Server, name: &str) -> Value {
    let (_, answer) = server.rpc("/system", "system.plugins", json!({})).await;
    let list = answer["result"]["plugins"].as_array().unwrap().clone();
    list.into_iter().find(|plugin| plugin["name"] == name).unwrap_or_default()
}

/// Asks until the answer holds; the server has no event for plugins, so this asks again and again without waiting.
async fn until(server: &Server, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let found = plugin(server, name).await;
        if holds(&found) {
            return found;
        }
        assert!(began.elapsed() < crate::harness::PATIENCE, "it did not happen: {found}");
    }
}

async fn one(server: &Server) -> Value {
    let task = json!([{"name": "a", "executor": "noop_executor"}]);
    let answer = server.run(task).await;
    assert_eq!(answer["status"], "completed", "{answer}");
    let id = answer["root_task_id"].as_str().unwrap();
    let attempts = server.tasks("tasks.attempts", json!({"task_id": id})).await;
    attempts[0]["receipt"]["digest"].clone()
}

#[tokio::test]
async fn a_changed_file_is_live_without_a_stop_and_a_broken_one_is_not() {
    let swap = Swap::new();
    let server = Server::start(Setup { plugins: vec![swap.folder.path().into()], ..Setup::default() }).await;
    let first = one(&server).await;
    let digest = plugin(&server, "noop_executor").await["digest"].clone();

    swap.replace(&touched(&shipped().join("noop_executor/noop_executor.wasm"), 2));
    let second = until(&server, "noop_executor", |plugin| plugin["digest"] != digest).await;
    let by_task = one(&server).await;
    assert_ne!(by_task, first);
    assert!(second["digest"].as_str().unwrap().starts_with(by_task.as_str().unwrap()));

    swap.replace(b"broken");
    let broken = until(&server, "noop_executor", |plugin| !plugin["problem"].is_null()).await;
    assert_eq!(broken["digest"], second["digest"], "the old version serves on");
    assert_eq!(one(&server).await, by_task);
}

#[tokio::test]
async fn swaps_under_load_lose_nothing() {
    let swap = Swap::new();
    let plugins = vec![swap.folder.path().to_owned(), hostile()];
    let server = Server::start(Setup { plugins, ..Setup::default() }).await;
    let mut tree = vec![json!({"name": "root", "id": "root", "executor": "noop_executor"})];
    tree.extend(
        (0..2000).map(|i| json!({"name": format!("c{i}"), "parent_id": "root", "executor": "noop_executor"})),
    );
    server.tasks("tasks.execute", json!({"tasks": tree, "wait": false})).await;
    for mark in 0..20 {
        let before = plugin(&server, "noop_executor").await["digest"].clone();
        swap.replace(&touched(&shipped().join("noop_executor/noop_executor.wasm"), mark));
        until(&server, "noop_executor", |plugin| plugin["digest"] != before).await;
        one(&server).await;
    }
    server.await_event("tree=root", "tree.completed", None).await;
    let count = server.tasks("tasks.count", json!({})).await;
    assert_eq!((&count["completed"], &count["total"]), (&json!(2021), &json!(2021)), "{count}");
}
