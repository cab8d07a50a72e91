//! Attempts: what is kept of them, retries and delays, and how the task shows the newest one.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::event::EventKind;
use apflow_core::id::NodeId;
use apflow_core::store::{ExecuteRequest, FinishedRun, QueuePlace, RunOutcome, Store, TaskPatch};
use apflow_core::task::TaskStatus;
use serde_json::json;

use super::rig::{Rig, broken, completed, data, delayed, ended, failed, names, retried};

/// A completed task shows its result, and its attempt is kept with everything that came with it.
pub async fn a_completion_is_kept(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    rig.wait_ms(10);
    let run = rig.claim_one("r").await;
    let began = rig.now;
    rig.wait_ms(10);
    let finished = FinishedRun {
        inputs: Some(json!({"resolved": true}).into()),
        receipt: Some(json!({"cpu_us": 5}).into()),
        ..ended(&run, RunOutcome::Completed { result: json!({"url": "x"}).into() })
    };
    rig.turn(vec![finished], 0).await;
    let task = rig.task("r").await;
    assert_eq!((task.status, task.progress, task.attempt), (TaskStatus::Completed, 1.0, 1));
    assert_eq!(task.result.unwrap().value(), json!({"url": "x"}));
    assert_eq!(task.inputs.value(), json!({"resolved": true}));
    assert_eq!((task.error, task.error_info), (None, None));
    assert_eq!((task.started_at, task.completed_at, task.updated_at), (Some(began), Some(rig.now), rig.now));
    let attempts = rig.store.attempts(&"r".into()).await.unwrap();
    let [attempt] = &attempts[..] else { panic!("{attempts:?}") };
    assert_eq!((attempt.attempt, attempt.status), (1, TaskStatus::Completed));
    assert_eq!(attempt.node, Some(NodeId::from("node-1")));
    assert_eq!((attempt.started_at, attempt.completed_at), (Some(began), rig.now));
    assert_eq!(attempt.result.as_ref().unwrap().value(), json!({"url": "x"}));
    assert_eq!(attempt.inputs.as_ref().unwrap().value(), json!({"resolved": true}));
    assert_eq!((attempt.receipt.as_ref().unwrap().value(), &attempt.error), (json!({"cpu_us": 5}), &None));
}

/// A failed task shows why.
pub async fn a_failure_is_kept(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r").await;
    let run = rig.claim_one("r").await;
    let finished = FinishedRun { receipt: Some(json!({"cpu_us": 5}).into()), ..failed(&run) };
    rig.turn(vec![finished], 0).await;
    let task = rig.task("r").await;
    assert_eq!((task.status, task.result, task.completed_at), (TaskStatus::Failed, None, Some(rig.now)));
    assert_eq!((task.error, task.error_info), (Some(broken()), Some(broken())));
    let attempt = rig.store.attempts(&"r".into()).await.unwrap().remove(0);
    assert_eq!((attempt.status, attempt.error, attempt.inputs), (TaskStatus::Failed, Some(broken()), None));
    assert_eq!(attempt.receipt.unwrap().value(), json!({"cpu_us": 5}));
    assert!(rig.claim(1).await.is_empty());
}

/// A retry waits until it is due, without standing in anybody's way, and shows why it failed.
pub async fn a_retry_waits_until_it_is_due(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r:0").await;
    let run = rig.claim_one("r").await;
    let due = rig.now.plus(Duration::from_millis(100));
    let outcome = rig.turn(vec![retried(&run, due)], 1).await;
    assert!(outcome.claimed.is_empty() && outcome.ended.is_empty());
    assert_eq!((outcome.more, outcome.next_due), (false, Some(due)));
    let task = rig.task("r").await;
    assert_eq!((task.status, task.attempt, task.completed_at), (TaskStatus::Pending, 1, None));
    assert_eq!((task.error, task.last_assigned_node), (Some(broken()), Some(NodeId::from("node-1"))));
    assert_eq!(rig.place("r").await, QueuePlace::Delayed(due));
    let event = rig.only_event("r", EventKind::TaskRetrying, Some("r")).await;
    assert_eq!((event.attempt, data(&event)), (1, json!({"error": broken(), "due": due})));
    rig.start("s:3").await;
    rig.claim_exactly(&["s"]).await;

    rig.wait_ms(99);
    assert_eq!(rig.turn(Vec::new(), 1).await.next_due, Some(due));
    rig.wait_ms(1);
    let outcome = rig.turn(Vec::new(), 1).await;
    assert_eq!((names(&outcome.claimed), outcome.next_due), (vec!["r"], None));
    let run = &outcome.claimed[0];
    assert_eq!((run.attempt, run.tries, run.execution), (2, 2, 1));
    assert_eq!(rig.task("r").await.error, None);
    rig.complete(&outcome.claimed).await;
    let kept: Vec<_> =
        rig.store.attempts(&"r".into()).await.unwrap().iter().map(|a| (a.attempt, a.status)).collect();
    assert_eq!(kept, [(1, TaskStatus::Failed), (2, TaskStatus::Completed)]);
}

/// A retry without a wait may run again in the same turn, and stands by its own due time.
pub async fn a_retry_that_is_due_runs_at_once(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r; a").await;
    let run = rig.claim_one("r").await;
    rig.wait_ms(5);
    rig.start("b").await;
    rig.wait_ms(5);
    let outcome = rig.turn(vec![retried(&run, rig.now)], 10).await;
    assert_eq!(names(&outcome.claimed), ["a", "b", "r"]);
}

/// The earliest of the delayed is told.
pub async fn next_due_is_the_earliest(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b").await;
    let runs = rig.claim_exactly(&["r", "a", "b"]).await;
    let at = |millis| rig.now.plus(Duration::from_millis(millis));
    let finished = vec![retried(&runs[0], at(30)), delayed(&runs[1], at(10)), retried(&runs[2], at(20))];
    assert_eq!(rig.turn(finished, 5).await.next_due, Some(at(10)));
}

/// A delayed run was no attempt: nothing is kept, and its number is used again.
pub async fn a_delay_is_no_attempt(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    let first = rig.claim_one("r").await;
    let due = rig.now.plus(Duration::from_millis(50));
    let outcome = rig.turn(vec![delayed(&first, due)], 1).await;
    assert_eq!((outcome.claimed.len(), outcome.next_due), (0, Some(due)));
    let task = rig.task("r").await;
    assert_eq!((task.status, task.attempt, task.started_at), (TaskStatus::Pending, 0, None));
    assert!(rig.store.attempts(&"r".into()).await.unwrap().is_empty());
    let event = rig.only_event("r", EventKind::TaskDelayed, Some("r")).await;
    assert_eq!((event.attempt, data(&event)), (1, json!({"due": due})));
    let put_off = rig.store.queue_facts(&"r".into()).await.unwrap().unwrap().put_off;
    assert_eq!(put_off.map(|data| data.value()), Some(json!({"due": due})));
    rig.wait_ms(50);
    let second = rig.claim_one("r").await;
    assert_eq!((second.attempt, second.tries), (1, 1));
    assert!(second.token > first.token);
    assert_eq!(rig.turn(vec![completed(&first)], 0).await.lost.len(), 1);
    assert_eq!(rig.complete(&[second]).await.ended.len(), 1);
}

/// Numbers of attempts go on over executions; tries begin anew.
pub async fn numbers_go_on_over_executions(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r").await;
    for (attempt, tries, retry) in [(1, 1, true), (2, 2, false), (3, 1, true), (4, 2, true), (5, 3, false)] {
        let run = rig.claim_one("r").await;
        assert_eq!((run.attempt, run.tries), (attempt, tries));
        if retry {
            rig.turn(vec![retried(&run, rig.now)], 0).await;
        } else {
            rig.fail(&run).await;
            rig.execute("r").await;
        }
    }
    let attempts = rig.store.attempts(&"r".into()).await.unwrap();
    assert_eq!(attempts.iter().map(|a| a.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(attempts.iter().all(|a| a.status == TaskStatus::Failed && a.error == Some(broken())));
}

/// The inputs of the newest attempt are shown until the owner writes others or another attempt begins.
pub async fn resolved_inputs_are_shown_until_something_newer(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(json!([{"id": "r", "name": "r", "inputs": {"own": 1}}]), true).await;
    let shown = |inputs: &str| -> serde_json::Value { serde_json::from_str(inputs).unwrap() };
    let fail_with =
        |run, inputs: serde_json::Value| FinishedRun { inputs: Some(inputs.into()), ..failed(run) };
    let run = rig.claim_one("r").await;
    rig.turn(vec![fail_with(&run, json!({"resolved": 1}))], 0).await;
    assert_eq!(rig.task("r").await.inputs.value(), shown(r#"{"resolved": 1}"#));
    rig.wait_ms(1);
    let patch = TaskPatch { inputs: Some(json!({"own": 2}).into()), ..TaskPatch::default() };
    assert_eq!(rig.update("r", patch).await.inputs.value(), shown(r#"{"own": 2}"#));
    rig.wait_ms(1);
    rig.execute("r").await;
    rig.wait_ms(1);
    let run = rig.claim_one("r").await;
    assert_eq!(run.inputs.value(), shown(r#"{"own": 2}"#));
    assert_eq!(rig.task("r").await.inputs.value(), shown(r#"{"own": 2}"#));
    rig.wait_ms(1);
    rig.turn(vec![fail_with(&run, json!({"resolved": 2}))], 0).await;
    assert_eq!(rig.task("r").await.inputs.value(), shown(r#"{"resolved": 2}"#));
}

/// While the newest attempt runs, nothing of an older one is shown.
pub async fn a_new_attempt_begins_clean(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    rig.drain().await;
    rig.wait_ms(5);
    let request = ExecuteRequest { task: "r".into(), rerun_completed: true, now: rig.now };
    rig.store.execute(request).await.unwrap();
    let task = rig.task("r").await;
    assert_eq!((task.status, task.completed_at, task.progress), (TaskStatus::Pending, None, 0.0));
    rig.wait_ms(5);
    rig.claim_one("r").await;
    let task = rig.task("r").await;
    assert_eq!((task.attempt, task.result, task.error, task.progress), (2, None, None, 0.0));
    assert_eq!((task.started_at, task.completed_at), (Some(rig.now), None));
}

/// Nobody has tried a task that is not there.
pub async fn an_unknown_task_has_none(store: Arc<dyn Store>) {
    assert!(store.attempts(&"ghost".into()).await.unwrap().is_empty());
}
