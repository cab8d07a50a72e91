//! Limits across trees and deadlines, through the engine: who runs, who is told to wait and why.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::event::EventKind;
use apflow_core::gate::{GateLimits, GateRule, GateScope, Rate};
use apflow_core::task::{TaskStatus, TreeStatus};
use apflow_engine::EngineOptions;
use apflow_testkit::scripted::{Answer, CallEnd, Gate, ScriptedExecutor, catalog_of};
use apflow_testkit::trees::EXECUTOR;
use serde_json::{Value, json};

use crate::setup::{start, start_with};

fn tree(tasks: usize, more: Value) -> Value {
    let task = |i: usize| {
        let mut task = json!({"name": format!("t{i}"), "id": format!("t{i}"), "executor": EXECUTOR});
        if i > 0 {
            task["parent_id"] = json!("t0");
        }
        task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        task
    };
    (0..tasks).map(task).collect()
}

fn of_executor(limits: GateLimits) -> EngineOptions {
    let rule = GateRule { scope: GateScope::Executor, name: EXECUTOR.into(), limits };
    EngineOptions { gate_rules: Some(vec![rule]), ..EngineOptions::default() }
}

#[tokio::test]
async fn a_key_is_a_mutual_exclusion() {
    let executor = Arc::new(ScriptedExecutor::new());
    let fixture = start(catalog_of([Arc::clone(&executor) as _])).await;
    assert_eq!(fixture.run(tree(20, json!({"concurrency_key": "k"}))).await, TreeStatus::Completed);
    assert_eq!((executor.peak(), executor.order().len()), (1, 20));
}

#[tokio::test]
async fn an_executor_has_so_many_places_and_explain_says_so() {
    let gate = Gate::new();
    let executor = Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo.behind(&gate)));
    let options = of_executor(GateLimits { max_running: Some(3), rate: None });
    let fixture = start_with(catalog_of([Arc::clone(&executor) as _]), options).await;
    let started = fixture.engine.submit(tree(10, json!({}))).await.unwrap();
    gate.arrivals(3).await;
    let waiting = fixture.engine.explain(&"t9".into()).await.unwrap();
    assert_eq!((waiting.blockers[0].code, waiting.position), ("gate", Some(6)), "{waiting:?}");
    assert_eq!(waiting.blockers[0].data["max_running"], 3);
    assert!(waiting.summary.contains("3 of 3 tasks of executor 'scripted'"), "{}", waiting.summary);
    gate.open();
    fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(executor.peak(), 3);
}

#[tokio::test]
async fn a_rate_is_kept_by_the_clock() {
    let executor = Arc::new(ScriptedExecutor::new());
    let rate = Some(Rate { spacing: 60_000_000, burst: 2 });
    let options = of_executor(GateLimits { max_running: None, rate });
    let fixture = start_with(catalog_of([Arc::clone(&executor) as _]), options).await;
    let started = fixture.engine.submit(tree(4, json!({}))).await.unwrap();
    fixture.event(EventKind::TaskCompleted, Some("t1")).await;
    let waiting = fixture.engine.explain(&"t3".into()).await.unwrap();
    assert!(waiting.summary.contains("lets the next one start at"), "{}", waiting.summary);
    assert_eq!(executor.order(), ["t0", "t1"]);
    fixture.advance(Duration::from_secs(60));
    fixture.event(EventKind::TaskCompleted, Some("t2")).await;
    assert_eq!(executor.order(), ["t0", "t1", "t2"]);
    fixture.advance(Duration::from_secs(60));
    let end = fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(end.status, TreeStatus::Completed);
}

#[tokio::test]
async fn an_execution_that_runs_out_of_time_is_interrupted_and_goes_on_later() {
    let gate = Gate::new();
    let executor = Arc::new(ScriptedExecutor::new().on("t1", [Answer::Echo.behind(&gate), Answer::Echo]));
    let fixture = start(catalog_of([Arc::clone(&executor) as _])).await;
    let mut tasks = tree(2, json!({}));
    tasks[0]["deadline_ms"] = json!(5_000);
    let started = fixture.engine.submit(tasks).await.unwrap();
    gate.arrivals(1).await;
    fixture.event(EventKind::TaskCompleted, Some("t0")).await;
    fixture.advance(Duration::from_secs(5));
    let end = fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(end.status, TreeStatus::Failed);
    let late = fixture.task("t1").await;
    assert_eq!((late.status, late.error_info.unwrap().code), (TaskStatus::Failed, "tree_deadline".into()));
    while executor.calls_of("t1")[0].end == CallEnd::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(executor.calls_of("t1")[0].end, CallEnd::Dropped);

    let again = fixture.engine.execute(&"t0".into(), false).await.unwrap();
    let end = fixture.engine.wait(started.tree, 2, &started.root).await.unwrap();
    assert_eq!(end.status, TreeStatus::Completed, "{again:?}");
}

#[tokio::test]
async fn begun_executions_go_first_where_that_is_wanted() {
    let gate = Gate::new();
    let executor = Arc::new(ScriptedExecutor::new().on("t0", [Answer::Echo.behind(&gate)]));
    let options = EngineOptions { max_concurrent_runs: 1, started_first: true, ..EngineOptions::default() };
    let fixture = start_with(catalog_of([Arc::clone(&executor) as _]), options).await;
    let slow = fixture.engine.submit(tree(3, json!({"priority": 3}))).await.unwrap();
    gate.arrivals(1).await;
    let urgent = json!([{"name": "u", "id": "u", "executor": EXECUTOR, "priority": 0}]);
    let urgent = fixture.engine.submit(urgent).await.unwrap();
    gate.open();
    for started in [slow, urgent] {
        fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    }
    assert_eq!(executor.order(), ["t0", "t1", "t2", "u"]);
}
