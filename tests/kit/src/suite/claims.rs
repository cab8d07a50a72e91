//! Claims: order, limits, what a claim carries, what a run looks like while it is held.

use std::collections::BTreeSet;
use std::sync::Arc;

use apflow_core::event::EventKind;
use apflow_core::id::{NodeId, Seq, Token};
use apflow_core::lease::Session;
use apflow_core::store::{ProgressReport, Store, Turn};
use apflow_core::task::{DependencyKind, TaskStatus};
use serde_json::json;

use super::rig::{LONG, Rig, START, completed, completed_with, data, names};

/// 0 leaves first, then older trees, then the order of insertion.
pub async fn order_is_priority_then_due_then_insertion(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert("late:1").await;
    rig.start("p:2; q:1; r:3; s:0; t:2").await;
    rig.wait_ms(1);
    rig.execute("late").await;
    rig.start("u:0; v:2").await;
    rig.claim_exactly(&["s", "u", "q", "late", "p", "t", "v", "r"]).await;
}

/// A task that is released stands where its execution was armed, not where it was released.
pub async fn released_tasks_keep_the_place_of_their_tree(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("b <- a; a").await;
    let run = rig.claim_one("a").await;
    rig.wait_ms(5);
    rig.start("x").await;
    rig.wait_ms(5);
    let outcome = rig.turn(vec![completed(&run)], 10).await;
    assert_eq!(names(&outcome.claimed), ["b", "x"]);
}

/// No more than asked for, from the head of the queue; `more` says whether something is left.
pub async fn limits_and_more(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b; c; d").await;
    let outcome = rig.turn(Vec::new(), 0).await;
    assert_eq!((names(&outcome.claimed).len(), outcome.more), (0, true));
    assert!(outcome.touched.is_empty());
    let outcome = rig.turn(Vec::new(), 3).await;
    assert_eq!((names(&outcome.claimed), outcome.more), (vec!["r", "a", "b"], true));
    let outcome = rig.turn(Vec::new(), 2).await;
    assert_eq!((names(&outcome.claimed), outcome.more), (vec!["c", "d"], false));
    assert!(rig.claim(5).await.is_empty());
}

/// A claim carries everything that a run needs.
pub async fn a_claim_carries_the_definition(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let tasks = json!([{
        "id": "r", "name": "root", "task_tree_id": "T", "user_id": "ann", "priority": 1, "executor": "x",
        "inputs": {"i": 1}, "params": {"p": 2}, "schemas": {"s": 3}, "metadata": {"m": 4}, "timeout_ms": 500,
        "retry": {"max_attempts": 2}, "dependencies": ["b", {"id": "a", "type": "reference"}],
    }, {"id": "a", "name": "first", "parent_id": "r", "executor": "y", "schemas": {"output_schema": {}}},
       {"id": "b", "name": "second", "parent_id": "r"}]);
    let inserted = rig.insert_json(tasks, true).await;
    let runs = rig.claim_exactly(&["first", "second"]).await;
    assert_eq!((runs[1].executor.as_deref(), runs[1].user_id.as_deref()), (None, Some("ann")));
    assert!(runs[0].dependencies.is_empty() && runs[0].metadata.is_none() && runs[0].retry.is_none());
    rig.turn(vec![completed_with(&runs[0], json!({"v": 1})), completed_with(&runs[1], json!(null))], 0).await;
    let run = rig.claim_one("root").await;
    assert_eq!((run.tree, run.tree_id.as_str(), run.id.as_str()), (inserted.tree, "T", "r"));
    assert_eq!((run.execution, run.attempt, run.tries, run.priority), (1, 1, 1, 1));
    assert_eq!((run.user_id.as_deref(), run.executor.as_deref()), (Some("ann"), Some("x")));
    assert_eq!((run.inputs.value(), run.params.value()), (json!({"i": 1}), json!({"p": 2})));
    assert_eq!((run.schemas.value(), run.metadata.unwrap().value()), (json!({"s": 3}), json!({"m": 4})));
    assert_eq!((run.timeout_ms, run.retry.map(|retry| retry.max_attempts)), (Some(500), Some(2)));
    let [second, first] = &run.dependencies[..] else { panic!("{:?}", run.dependencies) };
    assert_eq!(
        (second.id.as_str(), second.name.as_str(), second.kind),
        ("b", "second", DependencyKind::Result)
    );
    assert_eq!((second.status, second.executor.as_deref()), (TaskStatus::Completed, None));
    assert_eq!(second.result.as_ref().unwrap().as_str(), "null");
    assert_eq!((first.id.as_str(), first.kind), ("a", DependencyKind::Reference));
    assert_eq!((first.executor.as_deref(), first.schemas.value()), (Some("y"), json!({"output_schema": {}})));
    assert_eq!(first.result.as_ref().unwrap().value(), json!({"v": 1}));
}

/// What one node has claimed no other gets.
pub async fn two_nodes_share_without_overlap(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(crate::trees::flat(39), true).await;
    let other = rig.open("node-2", 60_000).await;
    let mut seen = BTreeSet::new();
    for session in [&rig.session, &other, &rig.session, &other, &rig.session] {
        let outcome = rig.turn_of(session, Vec::new(), 9).await;
        seen.extend(outcome.claimed.into_iter().map(|run| run.name));
    }
    assert_eq!(seen.len(), 40);
}

/// Claims of two nodes at the same time do not overlap either.
pub async fn concurrent_claims_do_not_overlap(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(crate::trees::flat(99), true).await;
    let other = rig.open("node-2", 60_000).await;
    let mut seen = Vec::new();
    // A store may give fewer than asked for while the other node asks, so this takes more than five rounds at times.
    for _ in 0..100 {
        let (one, two) = tokio::join!(
            rig.store.turn(rig.asks(&rig.session, Vec::new(), 10)),
            rig.store.turn(rig.asks(&other, Vec::new(), 10)),
        );
        seen.extend(one.unwrap().claimed.into_iter().chain(two.unwrap().claimed).map(|run| run.name));
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (100, 100));
}

/// While a run holds a task, the task shows the run.
pub async fn a_held_task_shows_its_run(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    rig.wait_ms(7);
    let run = rig.claim_one("r").await;
    let task = rig.task("r").await;
    assert_eq!((task.status, task.attempt, task.progress), (TaskStatus::InProgress, 1, 0.0));
    assert_eq!(task.lease_id, Some(run.token.0.to_string()));
    assert_eq!(task.lease_expires_at, Some(START.plus(LONG)));
    assert_eq!(task.last_assigned_node, Some(NodeId::from("node-1")));
    assert_eq!((task.started_at, task.updated_at, task.completed_at), (Some(rig.now), rig.now, None));
    rig.complete(&[run]).await;
    let task = rig.task("r").await;
    assert_eq!((task.lease_id, task.lease_expires_at), (None, None));
    assert_eq!(task.last_assigned_node, Some(NodeId::from("node-1")));
}

/// Progress of the current run is shown and logged before ends of runs; that of others is dropped.
pub async fn progress_is_for_the_current_run(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    let report = |fraction: f64, token| ProgressReport {
        key: runs[0].key,
        token,
        fraction,
        data: json!({"fraction": fraction, "message": "half"}).into(),
    };
    let seq = rig.last_seq().await;
    let stale = Token(runs[0].token.0 + 1);
    let ask = |progress, finished| Turn { progress, ..rig.asks(&rig.session, finished, 0) };
    let outcome = rig.store.turn(ask(vec![report(0.5, runs[0].token), report(0.9, stale)], vec![])).await;
    assert_eq!(outcome.unwrap().touched, [runs[0].tree]);
    assert_eq!(rig.task("r").await.progress, 0.5);
    let event = rig.only_event("r", EventKind::TaskProgress, Some("r")).await;
    assert_eq!(
        (event.attempt, event.started_at, data(&event)),
        (1, Some(rig.now), json!({"fraction": 0.5, "message": "half"}))
    );
    rig.store.turn(ask(vec![report(0.75, runs[0].token)], vec![completed(&runs[0])])).await.unwrap();
    assert_eq!(rig.log("r", seq).await, ["task.progress r", "task.progress r", "task.completed r"]);
    assert_eq!(rig.task("r").await.progress, 1.0);
    let seq = rig.last_seq().await;
    rig.store.turn(ask(vec![report(0.1, runs[0].token)], vec![])).await.unwrap();
    assert_eq!((rig.task("r").await.progress, rig.last_seq().await), (1.0, seq));
}

/// An idle store answers an idle turn.
pub async fn nothing_to_do(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let outcome = rig.turn(Vec::new(), 10).await;
    assert_eq!((outcome.more, outcome.next_due, outcome.last_seq), (false, None, Seq(0)));
    let nobody = Session { node: NodeId::from("nobody"), epoch: 1 };
    assert!(rig.store.turn(rig.asks(&nobody, Vec::new(), 1)).await.is_err());
}
