//! The log: order, filters, reading on, the end of executions, and the shape of every kind of event.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::event::{Event, EventKind};
use apflow_core::id::{NodeId, Seq, TaskId};
use apflow_core::store::{EventQuery, FinishedRun, ProgressReport, Store, Turn};
use serde_json::{Value, json};

use super::rig::{Rig, broken, completed, completed_with, data, delayed, failed, names, retried};
use crate::history;

fn query(after: Seq, tree: Option<&str>, kinds: &[EventKind], limit: u32) -> EventQuery {
    EventQuery { after, tree: tree.map(Into::into), user_id: None, kinds: kinds.to_vec(), limit }
}

/// Within a turn: progress, ends of runs as given, blocks, ends of trees, claims.
pub async fn order_within_a_turn(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b <- a; c; d <- r").await;
    let runs = rig.claim_exactly(&["r", "a", "c"]).await;
    let seq = rig.last_seq().await;
    let report = ProgressReport {
        key: runs[2].key,
        token: runs[2].token,
        fraction: 0.5,
        data: json!({"fraction": 0.5}).into(),
    };
    let finished = vec![completed(&runs[2]), failed(&runs[1]), completed(&runs[0])];
    let turn = Turn { progress: vec![report], ..rig.asks(&rig.session, finished, 10) };
    let outcome = rig.store.turn(turn).await.unwrap();
    let expected = [
        "task.progress c",
        "task.completed c",
        "task.failed a",
        "task.completed r",
        "task.blocked b",
        "task.started d",
    ];
    assert_eq!(rig.log("r", seq).await, expected);
    assert_eq!((outcome.touched, outcome.last_seq), (vec![runs[0].tree], rig.last_seq().await));
    rig.start("s").await;
    let seq = rig.last_seq().await;
    let outcome = rig.turn(vec![completed(&outcome.claimed[0])], 10).await;
    assert_eq!(names(&outcome.claimed), ["s"]);
    let all = rig.store.events(query(seq, None, &[], 100)).await.unwrap();
    let kinds: Vec<&str> = all.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["task.completed", "tree.failed", "task.started"]);
    assert_eq!((outcome.touched.len(), outcome.ended.len()), (2, 1));
}

/// Positions grow, and the newest one is told.
pub async fn positions_grow(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    assert_eq!(rig.last_seq().await, Seq(0));
    rig.start("r <- a; a").await;
    rig.drain().await;
    let events = history::read_all(&*rig.store).await.unwrap();
    assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert!(events[0].seq > Seq(0));
    assert_eq!(events.last().map(|event| event.seq), Some(rig.last_seq().await));
}

/// By tree, by kind, by both, and up to a limit.
pub async fn filters(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    rig.start("s; b").await;
    rig.drain().await;
    let read = async |tree: Option<&str>, kinds: &[EventKind], limit: u32| -> Vec<String> {
        let events = rig.store.events(query(Seq(0), tree, kinds, limit)).await.unwrap();
        events.iter().map(|event| format!("{} {}", event.tree_id, event.kind)).collect()
    };
    assert_eq!(read(None, &[], 100).await.len(), 14);
    assert_eq!(read(Some("s"), &[], 100).await.len(), 7);
    assert!(read(Some("s"), &[], 100).await.iter().all(|line| line.starts_with("s ")));
    let ends = [EventKind::TreeCompleted, EventKind::TreeFailed];
    assert_eq!(read(None, &ends, 100).await, ["r tree.completed", "s tree.completed"]);
    assert_eq!(read(Some("s"), &ends, 100).await, ["s tree.completed"]);
    assert_eq!(read(None, &[], 3).await, ["r tree.created", "r tree.started", "s tree.created"]);
    assert_eq!(read(Some("s"), &[EventKind::TaskStarted], 1).await, ["s task.started"]);
    assert!(read(Some("ghost"), &[], 100).await.is_empty());
    assert!(read(None, &[], 0).await.is_empty());
}

/// Reading on from the last position neither skips nor repeats, while others write.
pub async fn reading_on_neither_skips_nor_repeats(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let mut seen: Vec<Event> = Vec::new();
    let mut seen_of_tree: Vec<Event> = Vec::new();
    for round in 0..8 {
        rig.start(&format!("r{round} <- a{round}; a{round}; b{round} <- a{round}")).await;
        let runs = rig.claim(2).await;
        rig.complete(&runs).await;
        let after = |seen: &[Event]| seen.last().map_or(Seq(0), |event| event.seq);
        for _ in 0..3 {
            seen.extend(rig.store.events(query(after(&seen), None, &[], 2)).await.unwrap());
            let page = query(after(&seen_of_tree), Some("r0"), &[], 1);
            seen_of_tree.extend(rig.store.events(page).await.unwrap());
        }
    }
    rig.drain().await;
    while let Some(last) = seen.last().map(|event| event.seq) {
        let page = rig.store.events(query(last, None, &[], 5)).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, rig.store.events(query(Seq(0), None, &[], 1_000_000)).await.unwrap());
    assert_eq!(seen_of_tree, rig.events("r0", Seq(0)).await);
    assert_eq!(seen.last().map(|event| event.seq), Some(rig.last_seq().await));
}

/// Each execution ends once, however it ends, and its events carry its number.
pub async fn each_execution_ends_once(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    rig.turn(vec![failed(&runs[0]), completed(&runs[1])], 0).await;
    rig.execute("r").await;
    rig.drain().await;
    rig.insert("s; b").await;
    rig.execute("s").await;
    rig.cancel(&["s"], true).await;
    rig.turn(Vec::new(), 10).await;
    let of =
        [EventKind::TreeStarted, EventKind::TreeCompleted, EventKind::TreeFailed, EventKind::TreeCancelled];
    let events = rig.store.events(query(Seq(0), None, &of, 100)).await.unwrap();
    let told: Vec<_> = events.iter().map(|e| (e.tree_id.as_str(), e.kind.as_str(), e.attempt)).collect();
    let expected = [
        ("r", "tree.started", 1),
        ("r", "tree.failed", 1),
        ("r", "tree.started", 2),
        ("r", "tree.completed", 2),
        ("s", "tree.started", 1),
        ("s", "tree.cancelled", 1),
    ];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event.task_id.is_none()));
}

/// Every kind has the fields and the data that its documentation says.
pub async fn shapes(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert("r; a; b; c; d <- c; e").await;
    rig.wait_ms(1);
    rig.execute("r").await;
    let runs = rig.claim(10).await;
    assert_eq!(names(&runs), ["r", "a", "b", "c", "e"]);
    let began = rig.now;
    rig.wait_ms(1);
    let due = rig.now.plus(Duration::from_secs(60));
    let receipt = || Some(json!({"wall_us": 7}).into());
    let finished = vec![
        FinishedRun { receipt: receipt(), ..completed_with(&runs[0], json!({"x": [1]})) },
        FinishedRun { receipt: receipt(), ..retried(&runs[1], due) },
        delayed(&runs[2], due),
        FinishedRun { receipt: receipt(), ..failed(&runs[3]) },
    ];
    rig.turn(finished, 0).await;
    rig.store.open_session(&NodeId::from("node-1"), due, rig.now).await.unwrap();
    rig.cancel(&["e"], false).await;

    let check = async |kind: EventKind, task: Option<&str>, attempt: u32, run: bool, expected: Value| {
        let event = rig.only_event("r", kind, task).await;
        assert_eq!((event.tree_id.as_str(), event.attempt, data(&event)), ("r", attempt, expected), "{kind}");
        assert_eq!(event.task_id.as_ref().map(TaskId::as_str), task);
        assert_eq!(event.executor.as_deref(), task.map(|_| "scripted"), "{kind}");
        assert_eq!(event.started_at, run.then_some(began), "{kind}");
    };
    let receipt = json!({"wall_us": 7});
    check(EventKind::TreeCreated, None, 0, false, json!({"tasks": 6})).await;
    check(EventKind::TreeStarted, None, 1, false, json!({"tasks": 6})).await;
    check(EventKind::TaskStarted, Some("r"), 1, true, Value::Null).await;
    check(EventKind::TaskCompleted, Some("r"), 1, true, json!({"result": {"x": [1]}, "receipt": receipt}))
        .await;
    let again = json!({"error": broken(), "due": due, "receipt": receipt});
    check(EventKind::TaskRetrying, Some("a"), 1, true, again).await;
    check(EventKind::TaskDelayed, Some("b"), 1, true, json!({"due": due})).await;
    check(EventKind::TaskFailed, Some("c"), 1, true, json!({"error": broken(), "receipt": receipt})).await;
    check(EventKind::TaskBlocked, Some("d"), 0, false, json!({"blocked_by": "c"})).await;
    check(EventKind::TaskRescued, Some("e"), 1, true, Value::Null).await;
    let stopped = json!({"error": {"kind": "cancelled", "code": "cancelled", "message": "stop it"}});
    check(EventKind::TaskCancelled, Some("e"), 2, false, stopped).await;
}

/// Ends of trees say no more than that.
pub async fn ends_have_no_data(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    rig.wait_ms(4);
    rig.drain().await;
    let event = rig.only_event("r", EventKind::TreeCompleted, None).await;
    assert_eq!((event.attempt, event.at, event.data), (1, rig.now, None));
}

/// Results that a task had before are still in the log after it ran again.
pub async fn the_log_does_not_change(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r").await;
    let run = rig.claim_one("r").await;
    rig.turn(vec![completed_with(&run, json!("first"))], 0).await;
    let before = rig.events("r", Seq(0)).await;
    let request =
        apflow_core::store::ExecuteRequest { task: "r".into(), rerun_completed: true, now: rig.now };
    rig.store.execute(request).await.unwrap();
    let run = rig.claim_one("r").await;
    rig.turn(vec![completed_with(&run, json!("second"))], 0).await;
    let after = rig.events("r", Seq(0)).await;
    assert_eq!(after[..before.len()], before);
    let results: Vec<Value> = after
        .iter()
        .filter(|e| e.kind == EventKind::TaskCompleted)
        .map(|e| data(e)["result"].clone())
        .collect();
    assert_eq!(results, [json!("first"), json!("second")]);
}
