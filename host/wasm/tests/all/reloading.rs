//! Plugins are replaced while the host runs: by themselves when files change, or when told to. A broken one changes
//! nothing, and a run keeps the version it began with.

use std::sync::Arc;
use std::time::Instant;

use apflow_core::plugin::{PluginInfo, Plugins};
use apflow_wasm::{WasmOptions, WasmPlugins};
use serde_json::json;
use tokio::sync::watch;

use crate::harness::{Folder, PATIENCE, Reports, call, executor, invocation, options, result};

/// The component with a custom section at its end: other bytes, same behaviour.
fn marked(name: &str, mark: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(apflow_testkit::plugins::component(name)).unwrap();
    bytes.extend([0, 3, 1, b'v', mark]);
    bytes
}

fn manifest(name: &str) -> Vec<u8> {
    std::fs::read(apflow_testkit::plugins::dist(&format!("{name}/plugin.toml"))).unwrap()
}

/// A folder with its own copy of a plugin.
fn copy_of(name: &str) -> Folder {
    let folder = Folder::with(&[]);
    folder.put(&format!("{name}/plugin.toml"), manifest(name));
    folder.put(&format!("{name}/{name}.wasm"), marked(name, 0));
    folder
}

async fn watched(folder: &Folder) -> Arc<WasmPlugins> {
    WasmPlugins::open(WasmOptions { watch: true, ..options(folder, "") }).await.unwrap()
}

/// Waits until the plugin is as it should be, by the generations that are published.
async fn until(
    plugins: &WasmPlugins,
    name: &str,
    holds: impl Fn(Option<&PluginInfo>) -> bool,
) -> Option<PluginInfo> {
    let mut generation: watch::Receiver<u64> = plugins.generation();
    let wait = async {
        loop {
            generation.borrow_and_update();
            let catalog = plugins.catalog();
            let found = catalog.plugins.iter().find(|plugin| plugin.name == name);
            if holds(found) {
                return found.cloned();
            }
            generation.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{name}: {:?}", plugins.catalog().plugins))
}

#[tokio::test]
async fn a_changed_file_goes_live_and_a_broken_one_does_not() {
    let folder = copy_of("noop_executor");
    let plugins = watched(&folder).await;
    let first = plugins.catalog().plugins[0].digest.clone();
    let began = Instant::now();
    folder.put("noop_executor/noop_executor.wasm", marked("noop_executor", 1));
    let second = until(&plugins, "noop_executor", |one| one.unwrap().digest != first).await.unwrap();
    println!("from save to live, compilation included: {:?}", began.elapsed());
    let receipt = call(&plugins, "noop_executor", json!({})).await.receipt.unwrap();
    assert!(second.digest.starts_with(&receipt.digest));

    folder.put("noop_executor/noop_executor.wasm", "broken");
    let broken = until(&plugins, "noop_executor", |one| one.unwrap().problem.is_some()).await.unwrap();
    assert_eq!(broken.digest, second.digest, "the old version serves on");
    assert!(broken.problem.unwrap().contains("(not_a_component)"));
    assert_eq!(result(&plugins, "noop_executor", json!({})).await, json!({"ok": true}));

    folder.put("noop_executor/noop_executor.wasm", marked("noop_executor", 1));
    let mended = until(&plugins, "noop_executor", |one| one.unwrap().problem.is_none()).await.unwrap();
    assert_eq!(mended.digest, second.digest);
}

#[tokio::test]
async fn a_changed_manifest_goes_live_and_only_the_changed_plugin_is_loaded() {
    let folder = copy_of("noop_executor");
    folder.put("hostile/plugin.toml", manifest("hostile"));
    folder.put("hostile/hostile.wasm", marked("hostile", 0));
    let plugins = watched(&folder).await;
    let before = plugins.catalog();
    let text = String::from_utf8(manifest("noop_executor")).unwrap().replace("0.1.0", "0.2.0");
    folder.put("noop_executor/plugin.toml", text);
    until(&plugins, "noop_executor", |one| one.unwrap().version == "0.2.0").await;
    let after = plugins.catalog();
    assert_eq!(after.executors["noop_executor"].info().provided_by, "noop_executor@0.2.0");
    let loaded = |catalog: &apflow_core::plugin::Catalog| {
        catalog.plugins.iter().find(|plugin| plugin.name == "hostile").unwrap().loaded_at
    };
    assert_eq!(loaded(&before), loaded(&after));
}

#[tokio::test]
async fn plugins_come_and_go_with_their_files() {
    let folder = Folder::with(&["noop_executor"]);
    let plugins = watched(&folder).await;
    folder.put("hostile.wasm", marked("hostile", 0));
    until(&plugins, "hostile", |one| one.is_some()).await;
    assert_eq!(result(&plugins, "echo", json!({"a": 1})).await, json!({"a": 1}));
    std::fs::remove_file(folder.path().join("hostile.wasm")).unwrap();
    until(&plugins, "hostile", |one| one.is_none()).await;
    assert!(!plugins.catalog().executors.contains_key("echo"));
}

#[tokio::test]
async fn without_watching_a_reload_says_what_changed() {
    let folder = copy_of("noop_executor");
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    let generation = plugins.generation();
    let before = *generation.borrow();
    assert_eq!(plugins.reload().await.unwrap()["loaded"], json!([]));
    assert_eq!(*generation.borrow(), before, "nothing changed, nothing is published");
    folder.put("noop_executor/noop_executor.wasm", marked("noop_executor", 7));
    assert_eq!(plugins.reload().await.unwrap()["loaded"], json!(["noop_executor"]));
    assert_eq!(*generation.borrow(), before + 1);
    std::fs::remove_dir_all(folder.path().join("noop_executor")).unwrap();
    assert_eq!(plugins.reload().await.unwrap()["removed"], json!(["noop_executor"]));
    assert!(plugins.catalog().executors.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_keeps_the_version_it_began_with() {
    let folder = copy_of("hostile");
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    let old = executor(&plugins, "slow");
    let first = plugins.catalog().plugins[0].digest.clone();
    let call_of_old = invocation("slow", json!({"ms": 500, "reports": 1}));
    let running = tokio::spawn(async move { old.execute(call_of_old, Arc::new(Reports::default())).await });
    folder.put("hostile/hostile.wasm", marked("hostile", 9));
    plugins.reload().await.unwrap();
    let outcome = running.await.unwrap();
    assert!(outcome.result.is_ok());
    assert!(first.starts_with(&outcome.receipt.unwrap().digest));
    let new = call(&plugins, "echo", json!({})).await.receipt.unwrap();
    assert!(!first.starts_with(&new.digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_under_load_lose_nothing() {
    let folder = copy_of("noop_executor");
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    let load = {
        let plugins = Arc::clone(&plugins);
        tokio::spawn(async move {
            for _ in 0..500 {
                assert_eq!(result(&plugins, "noop_executor", json!({})).await, json!({"ok": true}));
            }
        })
    };
    for mark in 1..=5 {
        folder.put("noop_executor/noop_executor.wasm", marked("noop_executor", mark));
        assert_eq!(plugins.reload().await.unwrap()["loaded"], json!(["noop_executor"]));
    }
    load.await.unwrap();
}
