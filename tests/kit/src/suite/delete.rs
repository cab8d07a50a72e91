//! `delete`: what goes, what stays, and every reason against it.

use std::sync::Arc;

use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::id::Seq;
use apflow_core::store::{Deleted, Store, TaskFilter};
use serde_json::json;

use super::rig::{Rig, completed, data, failed, names};

async fn refused(rig: &Rig, task: &str) -> String {
    let (before, seq) = (rig.store.subtree(&task.into()).await.unwrap(), rig.last_seq().await);
    let error = rig.store.delete(&task.into(), rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CannotDelete);
    assert_eq!(rig.store.subtree(&task.into()).await.unwrap(), before);
    assert_eq!(rig.last_seq().await, seq);
    error.message
}

/// A tree goes with its root; its events stay, and its ids are free.
pub async fn a_tree_goes_with_its_root(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert("r <- a b; a; b <- a").await;
    rig.insert("s").await;
    rig.wait_ms(5);
    assert_eq!(rig.store.delete(&"r".into(), rig.now).await, Ok(Deleted { deleted: 3 }));
    assert_eq!(rig.statuses(&["r", "a", "b", "s"]).await, "none none none pending");
    assert!(rig.store.subtree(&"r".into()).await.unwrap().is_empty());
    assert_eq!(rig.store.tree_state(&"a".into()).await.unwrap(), None);
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap().total(), 1);
    assert_eq!(rig.log("r", Seq(0)).await, ["tree.created", "tree.deleted"]);
    let event = rig.only_event("r", EventKind::TreeDeleted, None).await;
    assert_eq!((event.at, data(&event)), (rig.now, json!({"tasks": 3})));
    rig.start("r; b").await;
    assert_eq!(rig.drain().await, ["r", "b"]);
    assert_eq!(rig.log("r", Seq(0)).await.iter().filter(|line| *line == "tree.created").count(), 2);
}

/// A part goes alone; its parent knows.
pub async fn a_part_goes_alone(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a; a1^a <- b; b; a2^a1").await;
    assert_eq!(rig.store.delete(&"a1".into(), rig.now).await, Ok(Deleted { deleted: 2 }));
    assert_eq!(rig.statuses(&["r", "a", "a1", "a2", "b"]).await, "pending pending none none pending");
    assert_eq!((rig.task("a").await.has_children, rig.task("r").await.has_children), (false, true));
    assert_eq!(data(&rig.only_event("r", EventKind::TreeDeleted, None).await), json!({"tasks": 2}));
    rig.execute("r").await;
    assert_eq!(rig.drain().await, ["r", "a", "b"]);
}

/// All reasons are in one text.
pub async fn all_reasons_are_told(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a; a; a1^a; a2^a1; b <- a1").await;
    let runs = rig.claim_exactly(&["a", "a1", "a2"]).await;
    rig.turn(vec![failed(&runs[0]), completed(&runs[2])], 0).await;
    let text = refused(&rig, "a").await;
    assert!(text.starts_with("Cannot delete task: "), "{text}");
    assert!(text.contains("task has 2 non-pending children: [a1: in_progress, a2: completed]"), "{text}");
    assert!(text.contains("task status is 'failed' (must be 'pending')"), "{text}");
    assert!(text.contains("task has dependent tasks and cannot be deleted"), "{text}");
    assert!(!text.contains("queued"), "{text}");
}

/// What others depend on stays, also where it is below the named task.
pub async fn dependents_outside_are_a_reason(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a; a1^a; b <- a1?").await;
    for task in ["a", "a1"] {
        let text = refused(&rig, task).await;
        assert_eq!(text, "Cannot delete task: task has dependent tasks and cannot be deleted");
    }
    rig.store.delete(&"b".into(), rig.now).await.unwrap();
    rig.store.delete(&"a".into(), rig.now).await.unwrap();
}

/// What an execution will run stays.
pub async fn armed_tasks_are_a_reason(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a; b1^b").await;
    let text = refused(&rig, "b").await;
    assert_eq!(
        text,
        "Cannot delete task: 2 of its tasks are queued by a running execution (cancel it first)"
    );
    let text = refused(&rig, "r").await;
    assert!(text.contains("4 of its tasks are queued"), "{text}");
}

/// A blocked task may go while the others run.
pub async fn a_blocked_task_may_go(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    rig.fail(&runs[1]).await;
    assert_eq!(rig.store.delete(&"b".into(), rig.now).await, Ok(Deleted { deleted: 1 }));
    let outcome = rig.complete(&runs[..1]).await;
    assert_eq!(outcome.ended.len(), 1);
    assert_eq!(rig.statuses(&["r", "a", "b"]).await, "completed failed none");
}

/// Nobody is blocked by a task that is gone.
pub async fn a_deleted_cause_blocks_no_more(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a; c <- b").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    rig.turn(vec![completed(&runs[0]), failed(&runs[1])], 0).await;
    rig.update("a", super::rig::status_patch(apflow_core::task::TaskStatus::Pending)).await;
    let patch = apflow_core::store::TaskPatch { dependencies: Some(Vec::new()), ..Default::default() };
    rig.update("b", patch).await;
    assert_eq!(rig.task("c").await.blocked_by, Some("a".into()));
    rig.store.delete(&"a".into(), rig.now).await.unwrap();
    assert_eq!(rig.task("c").await.blocked_by, None);
    rig.execute("r").await;
    let runs = rig.claim(10).await;
    assert_eq!(names(&runs), ["b"]);
}

/// There is no such task.
pub async fn an_unknown_task_is_named(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let error = rig.store.delete(&"ghost".into(), rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TaskNotFound);
    assert!(error.message.contains("ghost"), "{error}");
}
