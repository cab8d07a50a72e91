//! Cancellation reaches what runs, and nothing late can undo it.

use std::sync::Arc;

use apflow_core::event::EventKind;
use apflow_core::store::CancelResult;
use apflow_core::task::{TaskStatus, TreeStatus};
use apflow_testkit::scripted::{Answer, CallEnd, Gate, ScriptedExecutor, catalog_of};
use serde_json::json;

use crate::setup::start;

const EXECUTOR: &str = apflow_testkit::trees::EXECUTOR;

#[tokio::test]
async fn a_running_task_is_interrupted_and_its_dependents_never_start() {
    let gate = Gate::new();
    let executor = Arc::new(ScriptedExecutor::new().on("running", [Answer::Echo.behind(&gate)]));
    let fixture = start(catalog_of([Arc::clone(&executor) as _])).await;
    let tree = json!([
        {"name": "root", "id": "root", "executor": EXECUTOR, "dependencies": ["running"]},
        {"name": "running", "id": "running", "executor": EXECUTOR, "parent_id": "root"},
        {"name": "sibling", "id": "sibling", "executor": EXECUTOR, "parent_id": "root"},
    ]);
    let started = fixture.engine.submit(tree).await.unwrap();
    gate.arrivals(1).await;
    fixture.event(EventKind::TaskCompleted, Some("sibling")).await;
    let answer = fixture.engine.cancel(vec!["running".into()], true, Some("enough".into())).await.unwrap();
    assert_eq!(answer, [("running".into(), CancelResult::Cancelled)]);
    let end = fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(end.status, TreeStatus::Cancelled);
    gate.open();
    for id in ["running", "root"] {
        let task = fixture.task(id).await;
        assert_eq!(task.status, TaskStatus::Cancelled, "{id}");
        assert_eq!(task.error.unwrap().message, "enough");
    }
    // The interruption is on its way when `cancel` returns; the runtime carries it out at its next step.
    while executor.calls_of("running")[0].end == CallEnd::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(executor.calls_of("running")[0].end, CallEnd::Dropped);
    assert!(executor.calls_of("root").is_empty());
    assert_eq!(fixture.engine.health().await.running_tasks_count, 0);
}

#[tokio::test]
async fn finished_and_unknown_tasks_say_so() {
    let fixture = start(catalog_of([Arc::new(ScriptedExecutor::new()) as _])).await;
    fixture.run(json!([{"name": "a", "id": "a", "executor": EXECUTOR}])).await;
    let answer = fixture.engine.cancel(vec!["a".into(), "b".into()], true, None).await.unwrap();
    let results: Vec<_> = answer.into_iter().map(|one| one.1).collect();
    assert_eq!(results, [CancelResult::Finished(TaskStatus::Completed), CancelResult::NotFound]);
}

#[tokio::test]
async fn stop_gives_unfinished_work_back() {
    let gate = Gate::new();
    let executor = Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo.behind(&gate)));
    let options = apflow_engine::EngineOptions {
        stop_grace: std::time::Duration::from_millis(1),
        ..apflow_engine::EngineOptions::default()
    };
    let fixture = crate::setup::start_with(catalog_of([Arc::clone(&executor) as _]), options).await;
    fixture.engine.submit(json!([{"name": "a", "id": "a", "executor": EXECUTOR}])).await.unwrap();
    gate.arrivals(1).await;
    fixture.engine.stop().await;
    assert_eq!(executor.calls_of("a")[0].end, CallEnd::Dropped);
    assert_eq!(fixture.task("a").await.status, TaskStatus::Pending);
    assert!(fixture.engine.submit(json!([{"name": "b"}])).await.is_err(), "a stopped engine takes no work");
}
