//! From submission to the end: order, bounds, inputs, retries, timeouts.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::breaker::BreakerPolicy;
use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::store::Execution;
use apflow_core::task::{TaskStatus, TreeStatus};
use apflow_engine::EngineOptions;
use apflow_testkit::scripted::{Answer, CallEnd, Gate, ScriptedExecutor, catalog_of};
use serde_json::{Value, json};

use crate::setup::{start, start_with};

fn task(name: &str, more: Value) -> Value {
    let mut task = json!({"name": name, "id": name, "executor": apflow_testkit::trees::EXECUTOR});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

#[tokio::test]
async fn strict_order_with_one_place() {
    let executor = Arc::new(ScriptedExecutor::new());
    let options = EngineOptions { max_concurrent_runs: 1, ..EngineOptions::default() };
    let fixture = start_with(catalog_of([Arc::clone(&executor) as _]), options).await;
    let child = |name: &str, priority: u8| task(name, json!({"parent_id": "root", "priority": priority}));
    let root = task("root", json!({"dependencies": ["p0", "p1", "p2", "p3"]}));
    let tree = json!([root, child("p3", 3), child("p0", 0), child("p2", 2), child("p1", 1)]);
    assert_eq!(fixture.run(tree).await, TreeStatus::Completed);
    assert_eq!(executor.order(), ["p0", "p1", "p2", "p3", "root"]);
    assert_eq!(executor.peak(), 1);
}

#[tokio::test]
async fn runs_at_the_same_time_are_bounded() {
    let gate = Gate::new();
    let executor = Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo.behind(&gate)));
    let options = EngineOptions { max_concurrent_runs: 4, ..EngineOptions::default() };
    let fixture = start_with(catalog_of([Arc::clone(&executor) as _]), options).await;
    let mut tree = vec![task("root", json!({}))];
    tree.extend((0..20).map(|i| task(&format!("t{i}"), json!({"parent_id": "root"}))));
    let started = fixture.engine.submit(json!(tree)).await.unwrap();
    gate.arrivals(4).await;
    let waiting = fixture.engine.explain(&"t19".into()).await.unwrap();
    assert_eq!((waiting.blockers[0].code, waiting.position), ("limit", Some(16)), "{waiting:?}");
    gate.open();
    fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(executor.peak(), 4);
}

#[tokio::test]
async fn inputs_of_a_dependent_are_resolved_and_kept_with_the_attempt() {
    let executor = ScriptedExecutor::new().otherwise(Answer::Echo);
    let fixture = start(catalog_of([Arc::new(executor) as _])).await;
    let tree = json!([
        task("sum", json!({"inputs": {"x": {"$from": "source", "pointer": "/a"}, "own": true}})),
        task("source", json!({"parent_id": "sum", "inputs": {"a": 7}})),
    ]);
    assert_eq!(fixture.run(tree).await, TreeStatus::Completed);
    let sum = fixture.task("sum").await;
    assert_eq!(sum.inputs.value(), json!({"x": 7, "own": true}));
    assert_eq!(sum.result.unwrap().value(), json!({"x": 7, "own": true}));
    let attempts = fixture.engine.attempts(&"sum".into()).await.unwrap();
    assert_eq!(attempts[0].inputs.as_ref().unwrap().value(), json!({"x": 7, "own": true}));
}

#[tokio::test]
async fn a_retryable_failure_waits_for_its_backoff() {
    let executor = ScriptedExecutor::new().on("flaky", [Answer::retryable("busy"), Answer::Echo]);
    let fixture = start(catalog_of([Arc::new(executor) as _])).await;
    let retry = json!({"max_attempts": 2, "backoff": "fixed", "base_ms": 60_000, "jitter": 0});
    let started = fixture.engine.submit(json!([task("flaky", json!({ "retry": retry }))])).await.unwrap();
    fixture.event(EventKind::TaskRetrying, Some("flaky")).await;
    let waiting = fixture.engine.explain(&"flaky".into()).await.unwrap();
    assert_eq!((waiting.status, waiting.blockers[0].code), (TaskStatus::Pending, "due"));
    fixture.advance(Duration::from_secs(60));
    let end = fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(end.status, TreeStatus::Completed);
    let attempts = fixture.engine.attempts(&"flaky".into()).await.unwrap();
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [TaskStatus::Failed, TaskStatus::Completed]);
}

#[tokio::test]
async fn permanent_failures_and_used_up_policies_are_final() {
    let executor = ScriptedExecutor::new()
        .on("permanent", [Answer::fail("no"), Answer::Echo])
        .on("once", [Answer::retryable("busy"), Answer::Echo]);
    let fixture = start(catalog_of([Arc::new(executor) as _])).await;
    let retry = json!({"max_attempts": 5, "base_ms": 0});
    assert_eq!(fixture.run(json!([task("permanent", json!({ "retry": retry }))])).await, TreeStatus::Failed);
    assert_eq!(fixture.run(json!([task("once", json!({}))])).await, TreeStatus::Failed);
    assert_eq!(fixture.task("once").await.error.unwrap().code, "scripted");
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_interrupted() {
    let executor = Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo.behind(&Gate::new())));
    let fixture = start(catalog_of([Arc::clone(&executor) as _])).await;
    assert_eq!(fixture.run(json!([task("slow", json!({"timeout_ms": 1}))])).await, TreeStatus::Failed);
    assert_eq!(fixture.task("slow").await.error.unwrap().code, "timeout");
    assert_eq!(executor.calls_of("slow")[0].end, CallEnd::Dropped);
}

#[tokio::test]
async fn what_is_wrong_with_inputs_is_found_before_anything_is_stored() {
    let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
    let executor = ScriptedExecutor::new().with_schemas(schema, json!({}));
    let fixture = start(catalog_of([Arc::new(executor) as _])).await;
    let error = fixture.engine.submit(json!([task("a", json!({"inputs": {"n": "x"}}))])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidTask);
    assert!(error.message.contains("inputs/n"), "{error}");
    assert_eq!(fixture.engine.count(Default::default()).await.unwrap().total(), 0);
    // What comes from another task is checked when it is there.
    let tree = json!([
        task("late", json!({"inputs": {"n": {"$from": "source"}}})),
        task("source", json!({"parent_id": "late", "inputs": {"n": 1}})),
    ]);
    assert_eq!(fixture.run(tree).await, TreeStatus::Failed);
    assert_eq!(fixture.task("late").await.error.unwrap().code, "schema_violation");
}

#[tokio::test]
async fn unknown_executors_fail_when_they_run_and_are_refused_by_a_check() {
    let fixture = start(catalog_of([])).await;
    let tree = json!([{"name": "a", "id": "a", "executor": "nobody"}]);
    assert_eq!(fixture.engine.check(tree.clone()).unwrap_err().code, ErrorCode::ExecutorNotFound);
    assert_eq!(fixture.run(tree).await, TreeStatus::Failed);
    let failed = fixture.task("a").await;
    assert!(failed.error.unwrap().message.contains("nobody"));
    assert!(failed.result.unwrap().value()["error"].is_string());
    assert_eq!(fixture.run(json!([{"name": "b", "id": "b"}])).await, TreeStatus::Failed);
    assert!(fixture.task("b").await.error.unwrap().message.starts_with("Executor ID not specified"));
}

#[tokio::test]
async fn executing_again() {
    let executor = ScriptedExecutor::new().on("root", [Answer::fail("first"), Answer::Echo]);
    let fixture = start(catalog_of([Arc::new(executor) as _])).await;
    assert_eq!(fixture.run(json!([task("root", json!({}))])).await, TreeStatus::Failed);
    let Execution::Started { tree, root, execution, .. } =
        fixture.engine.execute(&"root".into(), false).await.unwrap()
    else {
        panic!("a failed task runs again")
    };
    assert_eq!(fixture.engine.wait(tree, execution, &root).await.unwrap().status, TreeStatus::Completed);
    let nothing = fixture.engine.execute(&"root".into(), false).await.unwrap();
    assert!(matches!(nothing, Execution::NothingToRun { status: TreeStatus::Completed, .. }), "{nothing:?}");
}

#[tokio::test]
async fn progress_is_in_the_log() {
    let gate = Gate::new();
    let executor = ScriptedExecutor::new().otherwise(Answer::Echo.behind(&gate).reporting(0.25));
    let fixture = start(catalog_of([Arc::new(executor) as _])).await;
    let started = fixture.engine.submit(json!([task("a", json!({}))])).await.unwrap();
    let event = fixture.event(EventKind::TaskProgress, Some("a")).await;
    assert_eq!(event.data.unwrap().value()["fraction"], 0.25);
    assert_eq!(fixture.task("a").await.progress, 0.25);
    gate.open();
    fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(fixture.task("a").await.progress, 1.0);
}

#[tokio::test]
async fn a_panic_in_a_native_executor_fails_the_task_and_frees_its_place() {
    let fixture = start(catalog_of([Arc::new(Panics(ScriptedExecutor::new())) as _])).await;
    assert_eq!(fixture.run(json!([task("a", json!({}))])).await, TreeStatus::Failed);
    assert_eq!(fixture.task("a").await.error.unwrap().code, "internal");
    assert_eq!(fixture.engine.health().await.running_tasks_count, 0);
}

#[derive(Debug)]
struct Panics(ScriptedExecutor);

#[async_trait::async_trait]
impl apflow_core::plugin::Executor for Panics {
    fn info(&self) -> &apflow_core::plugin::ExecutorInfo {
        self.0.info()
    }

    async fn execute(
        &self,
        _: apflow_core::plugin::Invocation,
        _: Arc<dyn apflow_core::plugin::RunContext>,
    ) -> apflow_core::plugin::Outcome {
        panic!("as the test wants")
    }
}

#[tokio::test]
async fn an_executor_that_only_fails_is_left_alone_for_a_while() {
    let executor = ScriptedExecutor::new().on("bad1", [Answer::retryable("down")]);
    let executor = Arc::new(executor.on("bad2", [Answer::retryable("down")]).otherwise(Answer::Echo));
    let breaker = BreakerPolicy { failures: 2, cool_down: Duration::from_secs(30) };
    let options = EngineOptions { max_concurrent_runs: 1, breaker, ..EngineOptions::default() };
    let fixture = start_with(catalog_of([Arc::clone(&executor) as _]), options).await;
    let child = |name: &str, priority: u8| task(name, json!({"parent_id": "root", "priority": priority}));
    let root = task("root", json!({"priority": 3}));
    let tree = json!([root, child("bad1", 0), child("bad2", 1), child("good", 2)]);
    let started = fixture.engine.submit(tree).await.unwrap();
    fixture.event(EventKind::TaskDelayed, Some("good")).await;
    let waiting = fixture.engine.explain(&"good".into()).await.unwrap();
    let codes: Vec<_> = waiting.blockers.iter().map(|one| one.code).collect();
    assert_eq!((waiting.status, codes), (TaskStatus::Pending, vec!["due", "circuit_open"]));
    assert_eq!(executor.order(), ["bad1", "bad2"]);
    fixture.advance(Duration::from_secs(30));
    fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(executor.order(), ["bad1", "bad2", "good", "root"]);
    assert_eq!(
        fixture.engine.attempts(&"good".into()).await.unwrap().len(),
        1,
        "to be put off is no attempt"
    );
}

#[tokio::test]
async fn who_waits_for_an_older_execution_is_told_how_that_one_ended() {
    let executor = ScriptedExecutor::new().on("a", [Answer::fail("no"), Answer::Echo]);
    let fixture = start(catalog_of([Arc::new(executor) as _])).await;
    let started = fixture.engine.submit(json!([task("a", json!({}))])).await.unwrap();
    fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    fixture.engine.execute(&"a".into(), false).await.unwrap();
    let of = async |execution| {
        let end = fixture.engine.wait(started.tree, execution, &started.root).await.unwrap();
        (end.execution, end.status)
    };
    assert_eq!(of(2).await, (2, TreeStatus::Completed));
    assert_eq!(of(1).await, (1, TreeStatus::Failed));
}
