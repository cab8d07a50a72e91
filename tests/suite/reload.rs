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

async fn versions(server: &Server) -> Value {
    let (_, mut answer) = server.rpc("/system", "plugins.history", json!({"name": "noop_executor"})).await;
    answer["result"]["versions"].take()
}

#[tokio::test]
async fn a_version_that_served_before_is_published_again_and_stays_until_other_files_come() {
    let swap = Swap::new();
    let mut server =
        Server::start(Setup { plugins: vec![swap.folder.path().into()], ..Setup::default() }).await;
    let first = plugin(&server, "noop_executor").await["digest"].clone();
    let component = shipped().join("noop_executor/noop_executor.wasm");
    swap.replace(&touched(&component, 2));
    let second = until(&server, "noop_executor", |plugin| plugin["digest"] != first).await["digest"].clone();
    one(&server).await;

    let (_, answer) = server.rpc("/system", "plugins.rollback", json!({"name": "noop_executor"})).await;
    assert_eq!(answer["result"]["digest"], first, "{answer}");
    assert!(first.as_str().unwrap().starts_with(one(&server).await.as_str().unwrap()));
    let versions = versions(&server).await;
    let flags = |at: usize| (versions[at]["serving"].clone(), versions[at]["pinned"].clone());
    assert_eq!(
        (flags(0), flags(1)),
        ((json!(true), json!(true)), (json!(false), json!(false))),
        "{versions}"
    );
    assert_eq!(versions[1]["calls"], 1, "{versions}");

    server.rpc("/system", "system.plugins.reload", json!({})).await;
    assert_eq!(plugin(&server, "noop_executor").await["digest"], first, "a look at the folders leaves it");
    server.crash_and_restart().await;
    let pinned = plugin(&server, "noop_executor").await;
    assert_eq!(pinned["digest"], first, "a restart leaves it");
    assert!(pinned["problem"].as_str().unwrap().contains("(pinned)"), "{pinned}");

    let (_, answer) = server.rpc("/system", "plugins.unpin", json!({"name": "noop_executor"})).await;
    assert_eq!(answer["result"]["loaded"], json!(["noop_executor"]), "{answer}");
    assert_eq!(plugin(&server, "noop_executor").await["digest"], second);

    server.rpc("/system", "plugins.rollback", json!({"name": "noop_executor"})).await;
    swap.replace(&touched(&component, 3));
    let third = until(&server, "noop_executor", |plugin| plugin["problem"].is_null()).await;
    assert!(third["digest"] != first && third["digest"] != second, "other files end the pin: {third}");
}

#[tokio::test]
async fn a_version_that_fails_is_rolled_back_by_itself_and_refused_until_its_bytes_change() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&hostile().join("hostile"), &folder.path().join("hostile"));
    let config = "[sandbox.rollback]\ncalls = 4\nthreshold = 0.5\n".to_owned();
    let setup = Setup { plugins: vec![folder.path().into()], config, ..Setup::default() };
    let mut server = Server::start(setup).await;
    let component = hostile().join("hostile/hostile.wasm");
    let replace = |mark| {
        std::fs::write(folder.path().join(".new"), touched(&component, mark)).unwrap();
        std::fs::rename(folder.path().join(".new"), folder.path().join("hostile/hostile.wasm")).unwrap();
    };
    let fail = async |server: &Server| {
        server.run(json!([{"name": "a", "executor": "trap"}])).await;
    };
    let first = plugin(&server, "hostile").await["digest"].clone();
    for _ in 0..5 {
        fail(&server).await;
    }
    assert_eq!(plugin(&server, "hostile").await["digest"], first, "what replaces nothing is not on trial");

    replace(1);
    let second = until(&server, "hostile", |plugin| plugin["digest"] != first).await["digest"].clone();
    // Refusals by the operator are failures of the task, and not of the plugin.
    server.run(json!([{"name": "a", "executor": "spawn_denied"}])).await;
    for _ in 0..3 {
        fail(&server).await;
    }
    let rolled = until(&server, "hostile", |plugin| plugin["digest"] == first).await;
    let problem = rolled["problem"].as_str().unwrap();
    assert!(problem.contains("3 of the first 4 calls") && problem.contains("(rolled_back)"), "{problem}");
    server.await_log("plugin was rolled back").await;

    server.rpc("/system", "system.plugins.reload", json!({})).await;
    assert_eq!(plugin(&server, "hostile").await["digest"], first);
    server.crash_and_restart().await;
    let after = plugin(&server, "hostile").await;
    assert_eq!((&after["digest"], after["problem"].is_null()), (&first, false), "{after}");

    replace(2);
    let third = until(&server, "hostile", |plugin| plugin["problem"].is_null()).await;
    assert!(third["digest"] != first && third["digest"] != second);
}
