//! What is a plugin and what is not: each refusal names the file and the remedy, and the rest serves.

use std::time::Instant;

use apflow_core::plugin::{PluginInfo, Plugins};
use apflow_wasm::{BundledPlugin, WasmOptions, WasmPlugins};
use serde_json::json;

use crate::harness::{Folder, options, plugins, result};

fn component(name: &str) -> Vec<u8> {
    std::fs::read(apflow_testkit::plugins::component(name)).unwrap()
}

fn listed(plugins: &WasmPlugins, name: &str) -> PluginInfo {
    plugins
        .catalog()
        .plugins
        .iter()
        .find(|plugin| plugin.name == name)
        .cloned()
        .unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn all_shipped_plugins_load() {
    let names = [
        "aggregate_results_executor",
        "command_executor",
        "default_policies_hook",
        "json_transform",
        "noop_executor",
        "prometheus_collector",
        "rest_executor",
        "system_info_executor",
        "text_date",
    ];
    let plugins = plugins(&names, "").await;
    let catalog = plugins.catalog();
    assert_eq!(catalog.plugins.len(), names.len());
    assert_eq!((catalog.hooks.len(), catalog.collectors.len()), (1, 1));
    let info = catalog.executors["noop_executor"].info();
    assert_eq!(info.provided_by, "noop_executor@0.1.0");
    assert_eq!(info.input_schema["type"], "object");
    assert_eq!(info.demo_result, Some(json!({"ok": true})));
}

#[tokio::test]
async fn what_is_no_plugin_is_reported_and_the_rest_serves() {
    let folder = Folder::with(&["noop_executor", "wrong_world"]);
    let whole = component("noop_executor");
    folder.put("text.wasm", "this is not a component");
    folder.put("empty.wasm", "");
    folder.put("module.wasm", b"\0asm\x01\0\0\0");
    folder.put("truncated.wasm", &whole[..whole.len() / 2]);
    folder.put("unbuilt/plugin.toml", "[plugin]\n");
    folder
        .put("bad_manifest/plugin.toml", "[plugin]\nname = \"bad_manifest\"\nversion = \"1\"\nkinds = []\n");
    folder.put("bad_manifest/bad_manifest.wasm", &whole);
    folder.put(
        "renamed/plugin.toml",
        std::fs::read(apflow_testkit::plugins::dist("noop_executor/plugin.toml")).unwrap(),
    );
    folder.put("renamed/renamed.wasm", &whole);
    folder.put("kinds/plugin.toml", "[plugin]\nname = \"kinds\"\nversion = \"1\"\nkind = [\"hooks\"]\n");
    folder.put("kinds/kinds.wasm", &whole);
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    for (name, code) in [
        ("text", "not_a_component"),
        ("empty", "not_a_component"),
        ("module", "not_a_component"),
        ("truncated", "malformed"),
        ("unbuilt", "component_missing"),
        ("bad_manifest", "bad_manifest"),
        ("renamed", "name_mismatch"),
        ("kinds", "kind_mismatch"),
        ("wrong_world", "wrong_world"),
    ] {
        let info = listed(&plugins, name);
        let problem = info.problem.clone().unwrap_or_else(|| panic!("{name} has no problem"));
        assert!(problem.contains(&format!("({code})")) && problem.contains(name), "{name}: {problem}");
        assert!(info.executors.is_empty() && info.digest.is_empty());
    }
    assert_eq!(result(&plugins, "noop_executor", json!({})).await, json!({"ok": true}));
    let answer = plugins.reload().await.unwrap();
    assert_eq!(
        (answer["loaded"].as_array().unwrap().len(), answer["failed"].as_array().unwrap().len()),
        (0, 9)
    );
    assert!(answer["failed"][0]["error"].is_string() && answer["failed"][0]["path"].is_string());
}

#[tokio::test]
async fn a_lone_component_asks_for_nothing() {
    let folder = Folder::with(&[]);
    folder.put("noop_executor.wasm", component("noop_executor"));
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    let info = listed(&plugins, "noop_executor");
    assert_eq!((info.version.as_str(), &info.requested, &info.problem), ("0.0.0", &json!({}), &None));
    assert_eq!(result(&plugins, "noop_executor", json!({})).await, json!({"ok": true}));
}

#[tokio::test]
async fn an_executor_of_two_plugins_stays_with_the_first() {
    let folder = Folder::with(&["noop_executor"]);
    folder.put("z_copy.wasm", component("noop_executor"));
    let plugins = WasmPlugins::open(options(&folder, "")).await.unwrap();
    let problem = listed(&plugins, "z_copy").problem.unwrap();
    assert!(problem.contains("(duplicate_executor)") && problem.contains("`noop_executor`"), "{problem}");
    assert_eq!(plugins.catalog().executors["noop_executor"].info().provided_by, "noop_executor@0.1.0");
}

#[tokio::test]
async fn folders_win_over_what_is_bundled() {
    let manifest: &'static str =
        std::fs::read_to_string(apflow_testkit::plugins::dist("noop_executor/plugin.toml")).unwrap().leak();
    let bytes: &'static [u8] = component("noop_executor").leak();
    let bundled = BundledPlugin { name: "noop_executor", manifest, component: bytes };
    let folder = Folder::with(&[]);
    let alone = WasmOptions { bundled: vec![bundled], ..options(&folder, "") };
    let plugins = WasmPlugins::open(alone).await.unwrap();
    assert!(listed(&plugins, "noop_executor").path.starts_with("(bundled)"));
    assert_eq!(result(&plugins, "noop_executor", json!({})).await, json!({"ok": true}));
    let folder = Folder::with(&["noop_executor"]);
    let both = WasmOptions { bundled: vec![bundled], ..options(&folder, "") };
    let plugins = WasmPlugins::open(both).await.unwrap();
    assert!(listed(&plugins, "noop_executor").path.starts_with(folder.path().to_str().unwrap()));
}

#[tokio::test]
async fn compiled_code_is_kept_and_found_again() {
    let cache = tempfile::tempdir().unwrap();
    let folder = Folder::with(&["noop_executor"]);
    let with_cache = || WasmOptions { cache: Some(cache.path().join("new")), ..options(&folder, "") };
    let began = Instant::now();
    WasmPlugins::open(with_cache()).await.unwrap();
    let compiled = began.elapsed();
    let files: Vec<_> = std::fs::read_dir(cache.path().join("new")).unwrap().collect();
    assert_eq!(files.len(), 1);
    let name = files[0].as_ref().unwrap().file_name().into_string().unwrap();
    let began = Instant::now();
    let plugins = WasmPlugins::open(with_cache()).await.unwrap();
    let mapped = began.elapsed();
    assert!(mapped < compiled, "{mapped:?} with the cache, {compiled:?} without");
    assert!(
        name.starts_with(&listed(&plugins, "noop_executor").digest) && name.ends_with(".cwasm"),
        "{name}"
    );
    assert_eq!(result(&plugins, "noop_executor", json!({})).await, json!({"ok": true}));
}

#[tokio::test]
async fn a_file_can_be_looked_at_without_loading_it() {
    let plugins = plugins(&["noop_executor"], "").await;
    let info = plugins.inspect_file(&apflow_testkit::plugins::component("hostile")).await.unwrap();
    assert_eq!((info.name.as_str(), info.kinds.as_slice()), ("hostile", &["executor".to_owned()][..]));
    assert!(info.executors.contains(&"loop_forever".to_owned()) && info.requested["env"].is_array());
    let by_folder = plugins.inspect_file(&apflow_testkit::plugins::dist("hostile")).await.unwrap();
    assert_eq!(by_folder.digest, info.digest);
    let error = plugins.inspect_file(&apflow_testkit::plugins::component("wrong_world")).await.unwrap_err();
    assert_eq!(error.code(), "wrong_world");
    assert!(error.to_string().contains("`greet`"), "{error}");
    assert_eq!(plugins.inspect_file("/no/such.wasm".as_ref()).await.unwrap_err().code(), "unreadable");
    assert_eq!(plugins.catalog().plugins.len(), 1, "nothing was published");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error() {
    let missing = WasmOptions { folders: vec!["/no/such/folder".into()], ..WasmOptions::default() };
    let error = WasmPlugins::open(missing).await.unwrap_err();
    assert_eq!(error.code(), "unreadable");
    assert!(error.to_string().starts_with("/no/such/folder"), "{error}");
}
