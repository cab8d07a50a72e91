//! A node whose session was taken over loses its runs and goes on with a new session.

use std::sync::Arc;

use apflow_core::clock::Clock;
use apflow_core::event::EventKind;
use apflow_core::id::NodeId;
use apflow_core::plugin::FixedPlugins;
use apflow_core::task::TreeStatus;
use apflow_engine::{Engine, EngineOptions};
use apflow_testkit::scripted::{Answer, CallEnd, Gate, ScriptedExecutor, catalog_of};
use serde_json::json;

use crate::setup::{start, start_with};

#[tokio::test]
async fn a_lost_session_interrupts_runs_and_the_task_runs_again() {
    let gate = Gate::new();
    let executor = Arc::new(ScriptedExecutor::new().on("a", [Answer::Echo.behind(&gate), Answer::Echo]));
    let fixture = start(catalog_of([Arc::clone(&executor) as _])).await;
    let tree = json!([{"name": "a", "id": "a", "executor": apflow_testkit::trees::EXECUTOR}]);
    let started = fixture.engine.submit(tree).await.unwrap();
    gate.arrivals(1).await;
    // Another life of the same node opens a session: the first one is void.
    let now = apflow_core::clock::Clock::now(fixture.clock.as_ref());
    let until = now.plus(std::time::Duration::from_secs(60));
    let opened = fixture.store.open_session(&NodeId::from("local"), until, now).await.unwrap();
    assert_eq!(opened.rescued, 1);
    fixture.engine.nudge();
    let end = fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(end.status, TreeStatus::Completed);
    let calls = executor.calls_of("a");
    assert_eq!((calls[0].end, calls[1].end), (CallEnd::Dropped, CallEnd::Returned));
    let attempts = fixture.engine.attempts(&"a".into()).await.unwrap();
    assert_eq!(attempts.iter().filter(|one| one.status.as_str() == "completed").count(), 1);
}

#[tokio::test]
async fn a_host_that_only_answers_hears_of_what_another_does() {
    let executor = Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo));
    let catalog = catalog_of([Arc::clone(&executor) as _]);
    let front = EngineOptions { max_concurrent_runs: 0, ..EngineOptions::default() };
    let front = start_with(Arc::clone(&catalog), front).await;
    let tree = json!([{"name": "a", "id": "a", "executor": apflow_testkit::trees::EXECUTOR}]);
    let started = front.engine.submit(tree).await.unwrap();
    assert_eq!(executor.order(), Vec::<String>::new());

    let back = EngineOptions { node: NodeId::from("back"), ..EngineOptions::default() };
    let clock: Arc<dyn Clock> = Arc::clone(&front.clock) as _;
    let plugins = Arc::new(FixedPlugins(catalog));
    let back = Engine::start(Arc::clone(&front.store), plugins, clock, back).await.unwrap();
    let end = front.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!(end.status, TreeStatus::Completed);
    front.event(EventKind::TreeCompleted, None).await;
    assert_eq!(
        (executor.order(), front.engine.health().await.running_tasks_count),
        (vec!["a".to_owned()], 0)
    );
    back.stop().await;
}
