//! `cancel`: whom it takes, what it interrupts, and how trees end by it.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, TaskId};
use apflow_core::store::{CancelResult, Execution, QueuePlace, Store};
use apflow_core::task::{TaskStatus, TreeStatus};
use serde_json::json;

use super::rig::{Rig, completed, data, delayed, failed, names, retried};

fn cancelled() -> TaskError {
    TaskError::new(FailureKind::Cancelled, "cancelled", "stop it")
}

/// A task that waits for its turn is taken out of the queue.
pub async fn a_pending_task(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let seq = rig.last_seq().await;
    let done = rig.cancel(&["a"], true).await;
    assert_eq!(done.results, [("a".into(), CancelResult::Cancelled)]);
    assert_eq!((done.interrupted.len(), done.ended.len(), done.touched.len()), (0, 0, 1));
    let task = rig.task("a").await;
    assert_eq!((task.status, task.completed_at), (TaskStatus::Cancelled, Some(rig.now)));
    assert_eq!((task.error, task.attempt, task.started_at), (Some(cancelled()), 0, None));
    let attempt = rig.store.attempts(&"a".into()).await.unwrap().remove(0);
    assert_eq!((attempt.attempt, attempt.status), (0, TaskStatus::Cancelled));
    assert_eq!((attempt.node, attempt.started_at, attempt.completed_at), (None, None, rig.now));
    assert_eq!(rig.log("r", seq).await, ["task.cancelled a"]);
    let event = rig.only_event("r", EventKind::TaskCancelled, Some("a")).await;
    assert_eq!((event.attempt, event.started_at), (0, None));
    assert_eq!(
        data(&event),
        json!({"error": {"kind": "cancelled", "code": "cancelled", "message": "stop it"}})
    );
    rig.claim_exactly(&["r"]).await;
}

/// A run is interrupted, its token is revoked, and the task stays cancelled whatever the run still says.
pub async fn a_running_task_stays_cancelled(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r; a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    let began = rig.now;
    rig.wait_ms(5);
    let done = rig.cancel(&["r"], false).await;
    assert_eq!(done.interrupted, [(runs[0].key, runs[0].token)]);
    let outcome = rig.turn(vec![completed(&runs[0])], 10).await;
    assert_eq!(outcome.lost, [(runs[0].key, runs[0].token)]);
    let task = rig.task("r").await;
    assert_eq!((task.status, task.result, task.error), (TaskStatus::Cancelled, None, Some(cancelled())));
    assert_eq!((task.started_at, task.completed_at, task.attempt), (Some(began), Some(rig.now), 1));
    let attempt = rig.store.attempts(&"r".into()).await.unwrap().remove(0);
    assert_eq!((attempt.attempt, attempt.status), (1, TaskStatus::Cancelled));
    assert_eq!((attempt.started_at, attempt.node), (Some(began), Some("node-1".into())));
    let event = rig.only_event("r", EventKind::TaskCancelled, Some("r")).await;
    assert_eq!((event.attempt, event.started_at), (1, Some(began)));
}

/// Every task of the request gets its answer, in its order.
pub async fn answers_are_in_order(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b; c").await;
    let runs = rig.claim_exactly(&["r", "a", "b", "c"]).await;
    rig.turn(vec![completed(&runs[1]), failed(&runs[2])], 0).await;
    rig.cancel(&["c"], false).await;
    let seq = rig.last_seq().await;
    let done = rig.cancel(&["ghost", "b", "r", "a", "c"], false).await;
    let expected = [
        ("ghost".into(), CancelResult::NotFound),
        ("b".into(), CancelResult::Finished(TaskStatus::Failed)),
        ("r".into(), CancelResult::Cancelled),
        ("a".into(), CancelResult::Finished(TaskStatus::Completed)),
        ("c".into(), CancelResult::Finished(TaskStatus::Cancelled)),
    ];
    assert_eq!(done.results, expected);
    assert_eq!(rig.log("r", seq).await, ["task.cancelled r", "tree.failed"]);
    let done = rig.cancel(&["ghost", "a"], true).await;
    assert!(done.touched.is_empty() && done.ended.is_empty() && done.interrupted.is_empty());
}

/// With `cascade` everything below and everything that requires what is cancelled goes too; siblings go on.
pub async fn cascade_takes_descendants_and_dependents(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a x; a; a1^a; d <- a1; o <- a1?; x").await;
    let runs = rig.claim(10).await;
    assert_eq!(names(&runs), ["a", "a1", "x"]);
    let seq = rig.last_seq().await;
    let done = rig.cancel(&["a"], true).await;
    assert_eq!(done.results.len(), 1);
    assert_eq!(done.interrupted, [(runs[0].key, runs[0].token), (runs[1].key, runs[1].token)]);
    assert_eq!(
        rig.statuses(&["r", "a", "a1", "d", "o", "x"]).await,
        "cancelled cancelled cancelled cancelled pending in_progress"
    );
    let expected = ["task.cancelled r", "task.cancelled a", "task.cancelled a1", "task.cancelled d"];
    assert_eq!(rig.log("r", seq).await, expected);
    let optional = rig.claim_exactly(&["o"]).await;
    let rest: Vec<_> = optional.iter().chain(&runs[2..]).cloned().collect();
    let outcome = rig.complete(&rest).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Cancelled);
}

/// Without it, dependents are blocked as after a failure.
pub async fn without_cascade_dependents_are_blocked(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- b; a; b <- a; c^a; o <- a?").await;
    let seq = rig.last_seq().await;
    rig.cancel(&["a"], false).await;
    assert_eq!(rig.statuses(&["r", "a", "b", "c", "o"]).await, "pending cancelled pending pending pending");
    assert_eq!(rig.log("r", seq).await, ["task.cancelled a", "task.blocked r", "task.blocked b"]);
    assert_eq!(rig.task("r").await.blocked_by, Some(TaskId::from("a")));
    let runs = rig.claim_exactly(&["c", "o"]).await;
    let outcome = rig.complete(&runs).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Failed);
}

/// The whole tree by its root: one end, as cancelled.
pub async fn a_tree_ends_once(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a; a; b <- a").await;
    rig.claim_exactly(&["a"]).await;
    let done = rig.cancel(&["r"], true).await;
    let [end] = &done.ended[..] else { panic!("{done:?}") };
    assert_eq!((end.tree_id.as_str(), end.execution, end.status), ("r", 1, TreeStatus::Cancelled));
    let log = rig.log("r", Seq(0)).await;
    assert_eq!(log.iter().filter(|line| line.starts_with("tree.cancelled")).count(), 1);
    assert_eq!(log.last().unwrap(), "tree.cancelled");
    let again = rig.cancel(&["r"], true).await;
    assert_eq!(again.results, [("r".into(), CancelResult::Finished(TaskStatus::Cancelled))]);
    assert!(again.ended.is_empty());
    assert_eq!(rig.turn(Vec::new(), 10).await.ended, []);
}

/// A tree that is not executed can be cancelled; it has no execution to end, and what is cancelled never runs.
pub async fn what_is_not_armed(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a; b <- a").await;
    let seq = rig.last_seq().await;
    let done = rig.cancel(&["a"], true).await;
    assert!(done.ended.is_empty());
    assert_eq!(rig.log("r", seq).await, ["task.cancelled a", "task.cancelled b"]);
    assert_eq!(rig.tree_status("r").await, TreeStatus::Pending);
    assert!(matches!(rig.execute("r").await, Execution::Started { .. }));
    assert_eq!(rig.drain().await, ["r"]);
    assert_eq!(rig.tree_status("r").await, TreeStatus::Completed);
    assert!(matches!(rig.execute("r").await, Execution::NothingToRun { status: TreeStatus::Completed, .. }));
}

/// A task that waits for its next attempt gets an entry with a number of its own.
pub async fn between_two_attempts(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    let later = rig.now.plus(Duration::from_secs(1));
    rig.turn(vec![retried(&runs[0], later), delayed(&runs[1], later)], 0).await;
    let done = rig.cancel(&["r", "a"], false).await;
    assert_eq!((done.interrupted.len(), done.ended.len()), (0, 1));
    let numbers = |id: &'static str| {
        let store = Arc::clone(&rig.store);
        async move {
            let attempts = store.attempts(&id.into()).await.unwrap();
            attempts.iter().map(|a| (a.attempt, a.status)).collect::<Vec<_>>()
        }
    };
    assert_eq!(numbers("r").await, [(1, TaskStatus::Failed), (2, TaskStatus::Cancelled)]);
    assert_eq!(numbers("a").await, [(0, TaskStatus::Cancelled)]);
    let task = rig.task("r").await;
    assert_eq!((task.attempt, task.error, task.started_at), (2, Some(cancelled()), None));
    assert_eq!(rig.turn(Vec::new(), 1).await.next_due, None);
}

/// Tasks of several trees in one request.
pub async fn several_trees_at_once(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    rig.start("s; b").await;
    let done = rig.cancel(&["s", "r"], true).await;
    assert_eq!((done.results.len(), done.ended.len(), done.touched.len()), (2, 2, 2));
    assert!(done.ended.iter().all(|end| end.status == TreeStatus::Cancelled));
    assert!(rig.claim(10).await.is_empty());
}

/// A task that another one of the request takes with it is answered as cancelled too, and cancelled once.
pub async fn one_takes_the_other(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a").await;
    let done = rig.cancel(&["a", "b", "a"], true).await;
    assert!(done.results.iter().all(|(_, result)| *result == CancelResult::Cancelled));
    assert_eq!(done.results.len(), 3);
    rig.only_event("r", EventKind::TaskCancelled, Some("b")).await;
    rig.only_event("r", EventKind::TaskCancelled, Some("a")).await;
}

/// A blocked task that is cancelled while the execution runs counts as cancelled.
pub async fn a_blocked_task_counts_as_cancelled(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a").await;
    rig.cancel(&["a"], false).await;
    assert_eq!(rig.place("b").await, QueuePlace::Blocked);
    rig.cancel(&["b"], false).await;
    let task = rig.task("b").await;
    assert_eq!((task.status, task.blocked_by), (TaskStatus::Cancelled, None));
    let runs = rig.claim_exactly(&["r"]).await;
    let outcome = rig.complete(&runs).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Cancelled);
}

/// A failure beside a cancellation makes the tree failed.
pub async fn a_failure_outweighs_a_cancellation(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    rig.cancel(&["a"], false).await;
    let outcome = rig.fail(&runs[0]).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Failed);
}
