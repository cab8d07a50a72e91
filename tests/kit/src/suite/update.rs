//! `update`: every field, the queue, dependencies, and what is refused without a trace.

use std::sync::Arc;

use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::id::TaskId;
use apflow_core::retry::RetryPolicy;
use apflow_core::store::{Execution, QueuePlace, Store, TaskPatch};
use apflow_core::task::{DependencyKind, TaskStatus};
use serde_json::json;

use super::rig::{Rig, broken, completed, failed, names, retried, status_patch};

fn dependencies(list: &[(&str, bool)]) -> TaskPatch {
    let list =
        list.iter().map(|(id, required)| (TaskId::from(*id), *required, DependencyKind::Result)).collect();
    TaskPatch { dependencies: Some(list), ..TaskPatch::default() }
}

fn priority(priority: u8) -> TaskPatch {
    TaskPatch { priority: Some(priority), ..TaskPatch::default() }
}

/// Every field is changed, or left as it is, or cleared.
pub async fn every_field(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(
        json!([{"id": "r", "name": "r", "inputs": {"i": 1}, "executor": "x", "timeout_ms": 5}]),
        false,
    )
    .await;
    rig.wait_ms(10);
    let before = rig.task("r").await;
    let after = rig.update("r", TaskPatch::default()).await;
    assert_eq!(after.updated_at, rig.now);
    let untouched = apflow_core::task::Task { updated_at: before.updated_at, ..after };
    assert_eq!(untouched, before);

    let retry = RetryPolicy { max_attempts: 3, ..RetryPolicy::default() };
    let patch = TaskPatch {
        name: Some("renamed".into()),
        priority: Some(0),
        inputs: Some(json!({"i": 2}).into()),
        params: Some(json!({"executor_id": "y"}).into()),
        executor: Some(Some("y".into())),
        schemas: Some(json!({"s": 1}).into()),
        metadata: Some(Some(json!({"m": 1}).into())),
        description: Some(Some("words".into())),
        retry: Some(Some(retry)),
        timeout_ms: Some(Some(9)),
        deadline_ms: Some(Some(70)),
        concurrency_key: Some(Some("k".into())),
        dependencies: None,
        status: None,
        schedule: None,
    };
    let task = rig.update("r", patch).await;
    assert_eq!(task, rig.task("r").await);
    assert_eq!((task.name.as_str(), task.priority, task.executor.as_deref()), ("renamed", 0, Some("y")));
    assert_eq!((task.inputs.value(), task.params.value()), (json!({"i": 2}), json!({"executor_id": "y"})));
    assert_eq!((task.schemas.value(), task.metadata.unwrap().value()), (json!({"s": 1}), json!({"m": 1})));
    assert_eq!(
        (task.description.as_deref(), task.retry, task.timeout_ms),
        (Some("words"), Some(retry), Some(9))
    );
    assert_eq!((task.deadline_ms, task.concurrency_key.as_deref()), (Some(70), Some("k")));
    assert_eq!((task.created_at, task.updated_at), (before.created_at, rig.now));

    let clear = TaskPatch {
        executor: Some(None),
        metadata: Some(None),
        description: Some(None),
        retry: Some(None),
        timeout_ms: Some(None),
        deadline_ms: Some(None),
        concurrency_key: Some(None),
        ..TaskPatch::default()
    };
    let task = rig.update("r", clear).await;
    assert_eq!((task.executor, task.metadata, task.description), (None, None, None));
    assert_eq!((task.retry, task.timeout_ms, task.name.as_str()), (None, None, "renamed"));
}

/// A change is logged.
pub async fn a_change_is_logged(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert("r").await;
    rig.wait_ms(3);
    rig.update("r", priority(1)).await;
    let event = rig.only_event("r", EventKind::TaskUpdated, Some("r")).await;
    assert_eq!((event.at, event.attempt, event.executor.as_deref()), (rig.now, 0, Some("scripted")));
}

/// A new definition is what the next claim gets.
pub async fn a_claim_gets_the_new_definition(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a; a").await;
    let patch = TaskPatch {
        inputs: Some(json!({"new": 1}).into()),
        executor: Some(Some("other".into())),
        name: Some("fresh".into()),
        ..TaskPatch::default()
    };
    rig.update("r", patch).await;
    rig.update("a", TaskPatch { name: Some("first".into()), ..TaskPatch::default() }).await;
    let runs = rig.claim_exactly(&["first"]).await;
    rig.complete(&runs).await;
    let run = rig.claim_one("fresh").await;
    assert_eq!((run.inputs.value(), run.executor.as_deref()), (json!({"new": 1}), Some("other")));
    assert_eq!(run.dependencies[0].name, "first");
}

/// A new priority moves a task that is ready, and counts for one that waits, is delayed or is rescued.
pub async fn priority_moves_in_the_queue(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r; a; b; c <- r; d").await;
    let held = rig.claim_exactly(&["r", "a", "b", "d"]).await;
    rig.turn(vec![retried(&held[1], rig.now), retried(&held[2], rig.now), retried(&held[3], rig.now)], 0)
        .await;
    rig.update("b", priority(0)).await;
    assert_eq!(rig.place("b").await, QueuePlace::Ready(0));
    assert_eq!(rig.place("a").await, QueuePlace::Ready(1));
    rig.update("c", priority(1)).await;
    rig.update("d", priority(3)).await;
    let outcome = rig.turn(vec![completed(&held[0])], 10).await;
    assert_eq!(names(&outcome.claimed), ["b", "c", "a", "d"]);

    // Of tasks that run, or wait until later, the priority counts when they are ready again.
    rig.update("d", priority(0)).await;
    let due = rig.now.plus(std::time::Duration::from_millis(5));
    rig.turn(vec![retried(&outcome.claimed[2], due), retried(&outcome.claimed[3], due)], 0).await;
    rig.update("a", priority(3)).await;
    rig.wait_ms(5);
    rig.claim_exactly(&["d", "a"]).await;
    rig.update("a", priority(0)).await;
    rig.update("b", priority(3)).await;
    rig.session = rig.open("node-1", 60_000).await;
    rig.claim_exactly(&["a", "d", "c", "b"]).await;
}

/// New dependencies gate from the next execution on; the old ones do not.
pub async fn dependencies_of_an_unarmed_task(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a; b <- a; c").await;
    let task = rig.update("b", dependencies(&[("c", false), ("r", true), ("c", true)])).await;
    let edges: Vec<_> = task.dependencies.iter().map(|d| (d.id.as_str(), d.required)).collect();
    assert_eq!(edges, [("c", false), ("r", true)]);
    rig.execute("r").await;
    let runs = rig.claim_exactly(&["r", "a", "c"]).await;
    let outcome = rig.turn(vec![completed(&runs[0]), failed(&runs[2])], 10).await;
    assert_eq!(names(&outcome.claimed), ["b"]);
}

/// A task that is blocked may get others and is blocked no more.
pub async fn dependencies_of_a_blocked_task(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    rig.fail(&runs[1]).await;
    let task = rig.update("b", dependencies(&[])).await;
    assert_eq!((task.blocked_by, task.dependencies.len()), (None, 0));
    assert_eq!(rig.place("b").await, QueuePlace::NotArmed);
    // The execution does not take it up again, and has failed all the same.
    assert!(rig.claim(10).await.is_empty());
    let outcome = rig.complete(&runs[..1]).await;
    assert_eq!(outcome.ended[0].status, apflow_core::task::TreeStatus::Failed);
    assert!(matches!(rig.execute("b").await, Execution::Started { .. }));
    rig.claim_exactly(&["b"]).await;
}

/// Dependencies are refused where they would not be true, and nothing changes.
pub async fn bad_dependencies_change_nothing(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r <- a; a; b <- r").await;
    rig.insert("s").await;
    let with_name = |patch: TaskPatch| TaskPatch { name: Some("changed".into()), ..patch };
    let (code, text) = rig.refused_update("a", with_name(dependencies(&[("ghost", true)]))).await;
    assert_eq!(code, ErrorCode::InvalidDependency);
    assert!(text.contains("ghost"), "{text}");
    let (code, text) = rig.refused_update("a", with_name(dependencies(&[("s", true)]))).await;
    assert_eq!(code, ErrorCode::InvalidDependency);
    assert!(text.contains("'s'"), "{text}");
    for circle in [("a", "a"), ("a", "b"), ("a", "r"), ("r", "b")] {
        let (code, text) = rig.refused_update(circle.0, with_name(dependencies(&[(circle.1, false)]))).await;
        assert_eq!(code, ErrorCode::CircularDependency);
        assert!(text.starts_with("Circular dependency detected involving task '"), "{text}");
    }
}

/// A task that is armed, or has finished, keeps its dependencies.
pub async fn dependencies_of_other_tasks_stay(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a; a; b; c; d").await;
    let runs = rig.claim(3).await;
    assert_eq!(names(&runs), ["a", "b", "c"]);
    let later = rig.now.plus(std::time::Duration::from_secs(1));
    rig.turn(vec![completed(&runs[1]), retried(&runs[2], later)], 0).await;
    for (task, state) in
        [("r", "waiting"), ("a", "running"), ("b", "completed"), ("c", "delayed"), ("d", "ready")]
    {
        let (code, text) = rig.refused_update(task, dependencies(&[])).await;
        assert_eq!(code, ErrorCode::InvalidDependency, "{state}");
        assert!(text.contains(&format!("'{task}'")), "{text}");
    }
}

/// While a dependent runs, the dependencies of what it waited for stay.
pub async fn dependencies_stay_while_a_dependent_runs(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a?; c").await;
    let runs = rig.claim_exactly(&["r", "a", "c"]).await;
    rig.fail(&runs[1]).await;
    let run = rig.claim_one("b").await;
    rig.update("a", status_patch(TaskStatus::Pending)).await;
    let (code, text) = rig.refused_update("a", dependencies(&[("c", true)])).await;
    assert_eq!(code, ErrorCode::InvalidDependency);
    assert!(text.contains("task 'b', which depends on it, is in progress"), "{text}");
    rig.complete(&[run]).await;
    rig.update("a", dependencies(&[("c", true)])).await;
}

/// An owner puts a failed task back: pending, with its history, not armed.
pub async fn a_failed_task_becomes_pending(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r <- a; a").await;
    let run = rig.claim_one("a").await;
    rig.fail(&run).await;
    rig.wait_ms(5);
    let task = rig.update("a", status_patch(TaskStatus::Pending)).await;
    assert_eq!((task.status, task.completed_at, task.attempt), (TaskStatus::Pending, None, 1));
    assert_eq!(rig.place("a").await, QueuePlace::NotArmed);
    let attempts = rig.store.attempts(&"a".into()).await.unwrap();
    assert_eq!((attempts.len(), attempts[0].error.clone()), (1, Some(broken())));
    let filter = apflow_core::store::TaskFilter { statuses: vec![TaskStatus::Failed], ..Default::default() };
    assert_eq!(rig.store.count(filter).await.unwrap().total(), 0);
    assert!(rig.claim(10).await.is_empty());
    rig.execute("r").await;
    assert_eq!(rig.drain().await, ["a", "r"]);
    assert_eq!(rig.task("a").await.attempt, 2);
}

/// Every other status belongs to the holder of the lease, or to `cancel`.
pub async fn other_statuses_are_refused(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b; c; d").await;
    let runs = rig.claim(4).await;
    rig.turn(vec![completed(&runs[1]), failed(&runs[2])], 0).await;
    rig.cancel(&["c"], false).await;
    let allowed = |task: &str, to: TaskStatus| task == "b" && to == TaskStatus::Pending;
    for task in ["r", "a", "b", "c", "d"] {
        for to in TaskStatus::ALL.into_iter().filter(|to| !allowed(task, *to)) {
            let patch = TaskPatch { priority: Some(0), ..status_patch(to) };
            let (code, text) = rig.refused_update(task, patch).await;
            assert_eq!(code, ErrorCode::InvalidTransition, "{task} to {to}: {text}");
        }
    }
}

/// There is no such task.
pub async fn an_unknown_task_is_named(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let error = rig.store.update(&"ghost".into(), priority(1), rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TaskNotFound);
    assert!(error.message.contains("ghost"), "{error}");
}
