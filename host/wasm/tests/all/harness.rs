//! A set of plugins for one test, and calls of its executors. Compiled code is shared by all tests, so that a component is
//! compiled once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apflow_core::error::TaskError;
use apflow_core::id::{TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::plugin::{Executor, Invocation, Outcome, Plugins, RunContext};
use apflow_wasm::{WasmOptions, WasmPlugins};
use serde_json::Value;
use tempfile::TempDir;

/// A test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of plugins.
pub struct Folder(TempDir);

impl Folder {
    /// With links to these built plugins.
    pub fn with(names: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in names {
            std::os::unix::fs::symlink(apflow_testkit::plugins::dist(name), folder.path().join(name))
                .unwrap();
        }
        folder
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file below it, moved into place whole.
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let place = self.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let beside = tempfile::NamedTempFile::new_in(self.path()).unwrap();
        std::fs::write(beside.path(), bytes).unwrap();
        std::fs::rename(beside.into_temp_path(), place).unwrap();
    }
}

/// The cache that the binary uses: interpreters take long to compile.
fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|base| !base.is_empty()).map(PathBuf::from);
    let base = base.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache"));
    base.join("apflow/components")
}

/// The usual options for a folder, with the operator's word on plugins as in `apflow.toml` below `[plugins]`.
pub fn options(folder: &Folder, policies: &str) -> WasmOptions {
    WasmOptions {
        folders: vec![folder.path().into()],
        cache: Some(cache()),
        policies: toml::from_str(policies).unwrap(),
        max_instances: 50,
        ..WasmOptions::default()
    }
}

/// The built plugins of these names under these policies.
pub async fn plugins(names: &[&str], policies: &str) -> Arc<WasmPlugins> {
    let plugins = WasmPlugins::open(options(&Folder::with(names), policies)).await.unwrap();
    for plugin in &plugins.catalog().plugins {
        assert_eq!(plugin.problem, None, "{} was not loaded", plugin.name);
    }
    plugins
}

/// An executor of the present catalog.
pub fn executor(plugins: &WasmPlugins, id: &str) -> Arc<dyn Executor> {
    let catalog = plugins.catalog();
    Arc::clone(catalog.executors.get(id).unwrap_or_else(|| panic!("no executor {id}")))
}

/// A first attempt at task `task` of tree `tree`.
pub fn invocation(id: &str, inputs: impl Into<Json>) -> Invocation {
    Invocation {
        executor: id.into(),
        task_id: TaskId::new("task"),
        tree_id: TreeId::new("tree"),
        attempt: 1,
        idempotency_key: "task:1".into(),
        timeout: None,
        inputs: inputs.into(),
        params: Json::object(),
        trace_parent: None,
    }
}

/// Runs an executor and waits, but not for ever.
pub async fn call(plugins: &WasmPlugins, id: &str, inputs: Value) -> Outcome {
    let executor = executor(plugins, id);
    let running = executor.execute(invocation(id, inputs), Arc::new(Reports::default()));
    tokio::time::timeout(PATIENCE, running).await.expect("the call ends")
}

/// The result of a call that must complete.
pub async fn result(plugins: &WasmPlugins, id: &str, inputs: Value) -> Value {
    match call(plugins, id, inputs).await.result {
        Ok(json) => json.value(),
        Err(failure) => panic!("{id} failed: {failure:?}"),
    }
}

/// The error of a call that must fail.
pub async fn failure(plugins: &WasmPlugins, id: &str, inputs: Value) -> TaskError {
    match call(plugins, id, inputs).await.result {
        Ok(json) => panic!("{id} gave {json}"),
        Err(failure) => failure.error,
    }
}

/// Progress reports as they came.
#[derive(Debug, Default)]
pub struct Reports(pub Mutex<Vec<(f64, Option<String>)>>);

impl RunContext for Reports {
    fn report(&self, fraction: f64, message: Option<String>, _partial: Option<Json>) {
        self.0.lock().unwrap().push((fraction, message));
    }
}
