//! Hosts as embedders use them, on real databases, with executors in Rust.

use apflow_core::json::Json;
use apflow_core::plugin::{ExecutorInfo, Invocation, Outcome, RunContext};
use async_trait::async_trait;
use serde_json::json;

use super::*;

#[derive(Debug)]
struct Double(ExecutorInfo);

#[async_trait]
impl Executor for Double {
    fn info(&self) -> &ExecutorInfo {
        &self.0
    }

    async fn execute(&self, call: Invocation, _: Arc<dyn RunContext>) -> Outcome {
        let number = call.inputs.value()["number"].as_i64().unwrap_or_default();
        Outcome::completed(Json::from(json!({ "number": number * 2 })))
    }
}

async fn host(database: &str) -> Result<Host> {
    let mut config = Config::default();
    config.sandbox.bundled = false;
    // A folder without plugins, so that the test does not depend on what is built.
    let none = tempfile::tempdir().unwrap();
    config.sandbox.folders = vec![none.path().to_path_buf()];
    config.sandbox.watch = false;
    let double = Arc::new(Double(ExecutorInfo::native("double")));
    Host::builder().config(config).database(database).executor(double).start().await
}

fn tree() -> Value {
    json!([
        {"name": "twice", "executor": "double", "inputs": {"number": 3}},
        {"name": "again", "executor": "double", "parent_id": "twice",
         "inputs": {"number": {"$from": "twice", "pointer": "/number"}}},
    ])
}

#[tokio::test]
async fn a_tree_runs_and_gives_typed_results() {
    let host = host("sqlite::memory:").await.unwrap();
    let finished = host.run(tree()).await.unwrap();
    assert_eq!(finished.status, TreeStatus::Completed);
    assert_eq!(finished.result::<Value>().unwrap(), json!({"number": 6}));
    assert_eq!(finished.result_of::<Value>("again").unwrap(), json!({"number": 12}));
    let missing = finished.result_of::<Value>("nobody").unwrap_err();
    assert_eq!(missing.code, ErrorCode::TaskNotFound);
    let misfit = finished.result_of::<Vec<u8>>("again").unwrap_err();
    assert!(misfit.message.contains("'again'"), "{misfit}");
    host.stop().await;
}

#[tokio::test]
async fn a_tree_that_fails_is_no_error_of_the_host() {
    let host = host("sqlite::memory:").await.unwrap();
    let finished = host.run(json!({"name": "a", "executor": "nobody"})).await.unwrap();
    assert_eq!(finished.status, TreeStatus::Failed);
    assert_eq!(finished.root().unwrap().status, TaskStatus::Failed);
    assert_eq!(finished.result::<Value>().unwrap_err().code, ErrorCode::DependencyNotSatisfied);
    host.stop().await;
}

#[tokio::test]
async fn two_hosts_live_in_one_process_but_not_on_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (one, two) = (host(&url("one.db")).await.unwrap(), host(&url("two.db")).await.unwrap());
    let (a, b) = tokio::join!(one.run(tree()), two.run(tree()));
    assert_eq!((a.unwrap().status, b.unwrap().status), (TreeStatus::Completed, TreeStatus::Completed));
    let taken = host(&url("one.db")).await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::StoreUnavailable);
    assert!(taken.message.contains("one.db"), "{taken}");
    one.stop().await;
    let again = host(&url("one.db")).await.unwrap();
    assert_eq!(again.engine().count(apflow_core::store::TaskFilter::default()).await.unwrap().completed, 2);
    again.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn the_default_folder_is_made_and_ignores_itself() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join(".apflow/apflow.db");
    let host = host(&format!("sqlite:{}", database.display())).await.unwrap();
    host.stop().await;
    assert!(database.is_file());
    assert_eq!(std::fs::read_to_string(folder.path().join(".apflow/.gitignore")).unwrap(), "*\n");
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("sub/a.db");
    let mut config = Config::default();
    config.engine.lease_ms = 1;
    let url = format!("sqlite:{}", database.display());
    let error = Host::builder().config(config).database(url).start().await.unwrap_err();
    assert!(error.message.starts_with("engine.lease_ms is '1'"), "{error}");
    assert!(!folder.path().join("sub").exists());
}
