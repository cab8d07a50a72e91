//! Executions that run out of time.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::id::Seq;
use apflow_core::store::{Store, TaskPatch};
use apflow_core::task::TreeStatus;
use serde_json::{Value, json};

use super::rig::{Rig, completed, data, names, retried};
use crate::trees::outline;

/// An outline whose root has a deadline.
fn with_deadline(text: &str, ms: u32) -> Value {
    let mut tasks = outline(text);
    tasks[0]["deadline_ms"] = json!(ms);
    tasks
}

/// Whatever was still to run fails, the run is interrupted, what has completed stays.
pub async fn everything_unfinished_fails(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(with_deadline("r <- a b c; a; b; c; d <- b; e", 1_000), true).await;
    let runs = rig.claim(4).await;
    assert_eq!(names(&runs), ["a", "b", "c", "e"]);
    let late = rig.now.plus(Duration::from_secs(9));
    rig.turn(vec![completed(&runs[0]), retried(&runs[2], late)], 0).await;
    rig.wait_ms(999);
    let none = rig.store.expire(rig.now).await.unwrap();
    assert_eq!((none.interrupted.len(), none.ended.len()), (0, 0));
    assert_eq!(none.next, Some(rig.now.plus(Duration::from_millis(1))));

    rig.wait_ms(1);
    let seq = rig.last_seq().await;
    let done = rig.store.expire(rig.now).await.unwrap();
    assert_eq!(done.next, None);
    assert_eq!(done.interrupted, [(runs[1].key, runs[1].token), (runs[3].key, runs[3].token)]);
    assert_eq!(
        done.ended.iter().map(|end| (end.execution, end.status)).collect::<Vec<_>>(),
        [(1, TreeStatus::Failed)]
    );
    assert_eq!(
        rig.statuses(&["r", "a", "b", "c", "d", "e"]).await,
        "failed completed failed failed failed failed"
    );
    let log = rig.log("r", seq).await;
    assert_eq!(
        log,
        ["task.failed r", "task.failed b", "task.failed c", "task.failed d", "task.failed e", "tree.failed"]
    );
    let event = rig.only_event("r", EventKind::TaskFailed, Some("d")).await;
    assert_eq!((&data(&event)["error"]["code"], event.attempt), (&json!("tree_deadline"), 0));
    let error = rig.task("b").await.error_info.unwrap();
    assert_eq!((error.code.as_str(), &error.data["deadline_ms"]), ("tree_deadline", &json!(1_000)));
    // A run that ends later is refused.
    assert_eq!(rig.complete(&runs[1..2]).await.lost, [(runs[1].key, runs[1].token)]);
    assert_eq!(rig.store.expire(rig.now).await, Ok(Default::default()));
}

/// The next execution has all of its time, and goes on with what has not completed; also twice.
pub async fn executing_again_goes_on(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(with_deadline("r <- a; a; b", 1_000), true).await;
    let run = rig.claim_one("a").await;
    rig.complete(&[run]).await;
    for _ in 0..2 {
        rig.wait_ms(1_000);
        assert_eq!(rig.store.expire(rig.now).await.unwrap().ended.len(), 1);
        rig.wait_ms(5);
        rig.execute("r").await;
        rig.wait_ms(999);
        assert_eq!(rig.store.expire(rig.now).await.unwrap().ended.len(), 0);
    }
    assert_eq!(rig.drain().await, ["r", "b"]);
    assert_eq!(rig.tree_status("r").await, TreeStatus::Completed);
    let attempts = rig.store.attempts(&"b".into()).await.unwrap();
    assert_eq!(attempts.iter().map(|one| one.attempt).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(attempts[0].started_at.is_none() && attempts[2].started_at.is_some());
}

/// A deadline can be changed while the execution is under way, at the root alone.
pub async fn a_deadline_can_be_changed(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(with_deadline("r; a", 1_000), true).await;
    let patch = |ms| TaskPatch { deadline_ms: Some(ms), ..TaskPatch::default() };
    let (code, text) = rig.refused_update("a", patch(Some(5))).await;
    assert_eq!(code, ErrorCode::InvalidTask);
    assert!(text.contains("'a' is not the root"), "{text}");
    assert_eq!(rig.update("r", patch(Some(2_000))).await.deadline_ms, Some(2_000));
    rig.wait_ms(1_500);
    assert_eq!(rig.store.expire(rig.now).await.unwrap().next, Some(rig.now.plus(Duration::from_millis(500))));
    rig.update("r", patch(None)).await;
    rig.wait_ms(10_000);
    assert_eq!(rig.store.expire(rig.now).await, Ok(Default::default()));
    rig.update("r", patch(Some(1))).await;
    assert_eq!(rig.store.expire(rig.now).await.unwrap().ended.len(), 1);
}

/// What waits parked or blocked: the parked fails and leaves its gate, the blocked stays as it is.
pub async fn parked_and_blocked_tasks(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let mut tasks = with_deadline("r; a; b; c <- d; d", 100);
    for i in [1, 2] {
        tasks[i]["concurrency_key"] = json!("k");
    }
    rig.insert_json(tasks, true).await;
    let runs = rig.claim(10).await;
    assert_eq!(names(&runs), ["r", "a", "d"]);
    rig.fail(&runs[2]).await;
    rig.wait_ms(100);
    rig.store.expire(rig.now).await.unwrap();
    assert_eq!(rig.statuses(&["r", "a", "b", "c", "d"]).await, "failed failed failed pending failed");
    let gates = rig.store.gates().await.unwrap();
    assert_eq!((gates[0].running, gates[0].parked), (0, 0));
    assert_eq!(rig.log("r", Seq(0)).await.last().map(String::as_str), Some("tree.failed"));
}
