//! What a plugin is allowed changes while it runs: at once, without loading it anew, and kept for the next start.

use std::sync::Arc;

use apflow_core::json::Json;
use apflow_core::plugin::{GrantChange, Plugins, RunContext};
use apflow_wasm::{WasmOptions, WasmPlugins};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::{Folder, PATIENCE, executor, failure, invocation, options, result};

/// A variable that every process of a test run has.
const VARIABLE: &str = "PATH";
const ASKS: &str = "\n[requests]\nenv = [\"PATH\"]\nprocess = [\"true\"]\n";

/// The hostile plugin, asking for what the tests grant it.
fn folder() -> Folder {
    let folder = Folder::with(&[]);
    let manifest = std::fs::read_to_string(apflow_testkit::plugins::dist("hostile/plugin.toml")).unwrap();
    let about = manifest.split("[requests]").next().unwrap();
    folder.put("hostile/plugin.toml", format!("{about}{ASKS}"));
    folder.put("hostile/hostile.wasm", std::fs::read(apflow_testkit::plugins::component("hostile")).unwrap());
    folder
}

async fn change(plugins: &WasmPlugins, change: GrantChange) {
    plugins.change_grants("hostile", change).await.unwrap();
}

async fn seen(plugins: &WasmPlugins) -> Value {
    result(plugins, "read_env", json!({"name": VARIABLE})).await["value"].clone()
}

fn env() -> Value {
    json!({ "env": [VARIABLE] })
}

#[tokio::test]
async fn grants_count_from_the_next_request_on() {
    let folder = folder();
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    let loaded = plugins.catalog().plugins[0].loaded_at;
    assert_eq!(failure(&plugins, "spawn_denied", json!({})).await.code, "process_denied");
    change(&plugins, GrantChange::Add(json!({"process": ["true"]}))).await;
    assert_eq!(result(&plugins, "spawn_denied", json!({})).await, json!(0));
    let info = plugins.catalog().plugins[0].clone();
    assert_eq!(info.granted, json!({"process": ["true"]}), "the list shows what counts now");
    assert_eq!(info.loaded_at, loaded, "nothing was loaded anew");
    change(&plugins, GrantChange::Remove(json!({"process": ["true"]}))).await;
    assert_eq!(failure(&plugins, "spawn_denied", json!({})).await.code, "process_denied");
}

#[tokio::test]
async fn an_instance_that_is_kept_does_not_keep_what_was_revoked() {
    let folder = folder();
    let plugins = WasmPlugins::open(options(&folder, "[hostile]\nisolation = \"shared\"\n")).await.unwrap();
    assert_eq!(seen(&plugins).await, Value::Null);
    change(&plugins, GrantChange::Add(env())).await;
    assert!(seen(&plugins).await.is_string());
    change(&plugins, GrantChange::RemoveAll).await;
    assert_eq!(seen(&plugins).await, Value::Null);
}

/// Hears when a call has come so far as to report.
#[derive(Default)]
struct Begun(Notify);

impl RunContext for Begun {
    fn report(&self, _: f64, _: Option<String>, _: Option<Json>) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_running_call_that_holds_what_was_revoked_is_ended() {
    let folder = folder();
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    change(&plugins, GrantChange::Add(env())).await;
    let begun = Arc::new(Begun::default());
    let executor = executor(&plugins, "slow");
    let inputs = json!({"ms": 100_000, "busy": true, "reports": 10_000});
    let sink = Arc::clone(&begun);
    let call = tokio::spawn(async move { executor.execute(invocation("slow", inputs), sink).await });
    begun.0.notified().await;
    change(&plugins, GrantChange::Remove(env())).await;
    let outcome = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(outcome.result.unwrap_err().error.code, "grants_revoked");
}

#[tokio::test]
async fn the_grants_file_counts_before_the_configuration() {
    let (folder, state) = (folder(), tempfile::tempdir().unwrap());
    let file = state.path().join("grants.toml");
    let configured = "[hostile.grants]\nprocess = [\"true\"]\n";
    let open = || {
        let options = WasmOptions { grants_file: Some(file.clone()), ..options(&folder, configured) };
        WasmPlugins::open(options)
    };
    let plugins = open().await.unwrap();
    assert_eq!(plugins.policy("hostile").await.unwrap().origin, "configuration");
    change(&plugins, GrantChange::Add(env())).await;
    drop(plugins);
    let plugins = open().await.unwrap();
    let policy = plugins.policy("hostile").await.unwrap();
    let both = json!({"env": [VARIABLE], "process": ["true"]});
    assert_eq!(
        (policy.origin.as_str(), policy.allowed, policy.effective),
        ("grants file", both.clone(), both)
    );

    // Somebody else has changed the file, as a command without a server does.
    std::fs::write(&file, "[hostile]\n").unwrap();
    plugins.reload().await.unwrap();
    assert_eq!(plugins.policy("hostile").await.unwrap().allowed, json!({}));
    change(&plugins, GrantChange::Reset).await;
    assert_eq!(plugins.policy("hostile").await.unwrap().origin, "configuration");

    std::fs::write(&file, "[hostile]\nhtpp = []\n").unwrap();
    assert!(plugins.reload().await.unwrap_err().message.contains("htpp"));
    assert_eq!(open().await.unwrap_err().code(), "grants_file", "a host does not start without its grants");
}
