//! A node whose session was taken over loses its runs and goes on with a new session.

use std::sync::Arc;

use apflow_core::id::NodeId;
use apflow_core::task::TreeStatus;
use apflow_testkit::scripted::{Answer, CallEnd, Gate, ScriptedExecutor, catalog_of};
use serde_json::json;

use crate::setup::start;

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
