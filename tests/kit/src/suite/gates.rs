//! Limits across trees: keys, rules, rates, where parked tasks stand; and executions that go on before others begin.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::gate::{Gate, GateLimits, GateRule, GateScope, Rate};
use apflow_core::store::{QueuePlace, Store, TaskPatch, Turn};
use apflow_core::task::TaskStatus;
use serde_json::{Value, json};

use super::rig::{Rig, all_completed, completed, delayed, failed, names, retried};
use crate::trees::outline;

/// An outline whose tasks have keys: `"a=k b=k"`.
fn keyed(text: &str, keys: &str) -> Value {
    let mut tasks = outline(text);
    for pair in keys.split(' ') {
        let (name, key) = pair.split_once('=').unwrap();
        let task = tasks.as_array_mut().unwrap().iter_mut().find(|task| task["name"] == name).unwrap();
        task["concurrency_key"] = json!(key);
    }
    tasks
}

fn rule(scope: GateScope, name: &str, max_running: u32) -> GateRule {
    GateRule { scope, name: name.into(), limits: GateLimits { max_running: Some(max_running), rate: None } }
}

fn rate(scope: GateScope, name: &str, spacing_ms: i64, burst: u32) -> GateRule {
    let rate = Some(Rate { spacing: spacing_ms * 1_000, burst });
    GateRule { scope, name: name.into(), limits: GateLimits { max_running: None, rate } }
}

async fn set(rig: &Rig, rules: &[GateRule]) -> bool {
    rig.store.set_gate_rules(rules, rig.now).await.unwrap()
}

async fn gate(rig: &Rig, name: &str) -> Gate {
    let gates = rig.store.gates().await.unwrap();
    gates.into_iter().find(|gate| gate.name == name).unwrap_or_else(|| panic!("there is no gate '{name}'"))
}

/// Name, running, parked.
async fn gates(rig: &Rig) -> Vec<(String, u32, u32)> {
    let gates = rig.store.gates().await.unwrap();
    gates.into_iter().map(|gate| (gate.name, gate.running, gate.parked)).collect()
}

/// Tasks with a key run one at a time, in whatever trees, in the order of the queue; others are not held up.
pub async fn a_key_lets_one_task_through(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(keyed("r; a:2; b:1", "a=k b=k"), true).await;
    rig.insert_json(keyed("s; c:0", "c=k"), true).await;
    let runs = rig.claim_exactly(&["c", "r", "s"]).await;
    assert_eq!(gates(&rig).await, [("k".to_owned(), 1, 2)]);
    assert_eq!(rig.statuses(&["a", "b", "c"]).await, "pending pending in_progress");
    assert!(rig.claim(10).await.is_empty());
    rig.complete(&runs).await;
    let b = rig.claim_one("b").await;
    let outcome = rig.turn(vec![completed(&b)], 5).await;
    assert_eq!((names(&outcome.claimed), outcome.more), (vec!["a"], false));
    assert_eq!(gates(&rig).await, [("k".to_owned(), 1, 0)]);
    rig.complete(&outcome.claimed).await;
    assert_eq!(gates(&rig).await, [("k".to_owned(), 0, 0)]);
    assert_eq!(rig.task("a").await.concurrency_key.as_deref(), Some("k"));
}

/// A turn that could not take what its gate lets through says that there is more.
pub async fn more_counts_what_is_parked_and_could_go(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(keyed("r; a; b", "r=k a=k b=k"), true).await;
    let run = rig.claim_one("r").await;
    assert!(rig.claim(10).await.is_empty());
    let outcome = rig.turn(vec![completed(&run)], 0).await;
    assert!(outcome.more, "b and a are parked and one of them could go");
    let outcome = rig.turn(Vec::new(), 10).await;
    assert_eq!((names(&outcome.claimed), outcome.more), (vec!["a"], false));
}

/// However a run ends, its place is free: retried, put off, failed, cancelled, given back, rescued.
pub async fn every_end_of_a_run_frees_its_place(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(keyed("r; a; b; c; d; e", "r=k a=k b=k c=k d=k e=k"), true).await;
    let run = rig.claim_one("r").await;
    rig.turn(vec![retried(&run, rig.now.plus(Duration::from_secs(60)))], 0).await;
    let run = rig.claim_one("a").await;
    rig.turn(vec![delayed(&run, rig.now.plus(Duration::from_secs(60)))], 0).await;
    let run = rig.claim_one("b").await;
    rig.fail(&run).await;
    rig.claim_one("c").await;
    rig.cancel(&["c"], false).await;
    let other = rig.open("node-2", 500).await;
    let runs = rig.turn_of(&other, Vec::new(), 1).await.claimed;
    assert_eq!(names(&runs), ["d"]);
    rig.wait_ms(600);
    assert_eq!(rig.store.rescue(rig.now).await, Ok(1));
    rig.claim_one("d").await;
    rig.session = rig.open("node-1", 1_000_000).await;
    let run = rig.claim_one("d").await;
    rig.complete(&[run]).await;
    let run = rig.claim_one("e").await;
    rig.store.close_session(&rig.session, rig.now).await.unwrap();
    rig.session = rig.open("node-1", 1_000_000).await;
    assert_eq!(gate(&rig, "k").await.running, 0);
    assert_eq!(run.attempt + 1, rig.claim_one("e").await.attempt);
}

/// What is parked can be cancelled, lifted, and taken to another key.
pub async fn parked_tasks_can_be_cancelled_and_moved(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(keyed("r; a; b; c; d", "r=k a=k b=k c=k d=k"), true).await;
    rig.claim_exactly(&["r"]).await;
    assert_eq!(gate(&rig, "k").await.parked, 4);
    rig.cancel(&["a"], false).await;
    rig.update("d", TaskPatch { priority: Some(0), ..TaskPatch::default() }).await;
    rig.update("c", TaskPatch { concurrency_key: Some(Some("free".into())), ..TaskPatch::default() }).await;
    assert_eq!(gates(&rig).await, [("free".to_owned(), 0, 0), ("k".to_owned(), 1, 2)]);
    rig.claim_exactly(&["c"]).await;
    rig.update("b", TaskPatch { concurrency_key: Some(None), ..TaskPatch::default() }).await;
    rig.claim_exactly(&["b"]).await;
    rig.cancel(&["r"], false).await;
    rig.claim_exactly(&["d"]).await;
    assert_eq!(gates(&rig).await, [("free".to_owned(), 1, 0), ("k".to_owned(), 1, 0)]);
}

/// A rule about an executor counts its tasks in all trees; a task must pass the gates of its key and its executor.
pub async fn an_executor_and_a_key_both_count(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    assert!(set(&rig, &[rule(GateScope::Executor, "scripted", 2)]).await);
    assert!(!set(&rig, &[rule(GateScope::Executor, "scripted", 2)]).await, "nothing is new");
    rig.insert_json(keyed("r; a; b; c; d", "a=k b=k d=l"), true).await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    let places = [rig.place("b").await, rig.place("c").await, rig.place("d").await];
    let at = |place: &QueuePlace| match place {
        QueuePlace::Parked(gate, ahead) => (gate.name.clone(), *ahead),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        places.iter().map(at).collect::<Vec<_>>(),
        [("k".to_owned(), 0), ("scripted".to_owned(), 0), ("scripted".to_owned(), 1)]
    );
    // The place of r goes to c; b would pass the key's gate, but d stood before it at the executor's.
    rig.complete(&runs[..1]).await;
    let runs2 = rig.claim_exactly(&["c"]).await;
    rig.complete(&runs[1..]).await;
    let runs3 = rig.claim_exactly(&["b"]).await;
    rig.complete(&runs2).await;
    rig.claim_exactly(&["d"]).await;
    rig.complete(&runs3).await;
    assert_eq!(
        gates(&rig).await,
        [("scripted".to_owned(), 1, 0), ("k".to_owned(), 0, 0), ("l".to_owned(), 1, 0)]
    );
}

/// Rules hold from the next turn on, also for what is parked; without a rule an executor has no limit.
pub async fn rules_can_change(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    set(&rig, &[rule(GateScope::Executor, "scripted", 0)]).await;
    rig.start("r; a; b; c").await;
    let outcome = rig.turn(Vec::new(), 10).await;
    assert_eq!((outcome.claimed.len(), outcome.more, outcome.next_due), (0, false, None));
    set(&rig, &[rule(GateScope::Executor, "scripted", 1)]).await;
    rig.claim_exactly(&["r"]).await;
    set(&rig, &[rule(GateScope::Executor, "scripted", 3)]).await;
    rig.claim_exactly(&["a", "b"]).await;
    set(&rig, &[]).await;
    rig.claim_exactly(&["c"]).await;
    set(&rig, &[rule(GateScope::Executor, "other", 3)]).await;
    assert_eq!(
        gates(&rig).await.iter().map(|gate| gate.0.as_str()).collect::<Vec<_>>(),
        ["other", "scripted"]
    );
}

/// The closest rule about a key counts, each key for itself.
pub async fn rules_about_many_keys(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let rules =
        [rule(GateScope::Key, "*", 2), rule(GateScope::Key, "x/*", 3), rule(GateScope::Key, "x/1", 1)];
    set(&rig, &rules).await;
    let max = |gate: Gate| gate.limits.max_running;
    rig.insert_json(keyed("r; a; b; c", "r=x/1 a=x/2 b=y c=x/"), false).await;
    assert_eq!(max(gate(&rig, "x/1").await), Some(1));
    assert_eq!(max(gate(&rig, "x/2").await), Some(3));
    assert_eq!(max(gate(&rig, "x/").await), Some(3));
    assert_eq!(max(gate(&rig, "y").await), Some(2));
    set(&rig, &[rule(GateScope::Key, "y", 7)]).await;
    assert_eq!(max(gate(&rig, "y").await), Some(7));
    assert_eq!(max(gate(&rig, "x/2").await), Some(1), "without a rule a key lets one through");
}

/// A rate spaces starts; the turn says when the next one may come.
pub async fn a_rate_spaces_starts(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    set(&rig, &[rate(GateScope::Executor, "scripted", 100, 2)]).await;
    rig.start("r; a; b; c; d").await;
    let outcome = rig.turn(Vec::new(), 10).await;
    assert_eq!(names(&outcome.claimed), ["r", "a"]);
    assert_eq!((outcome.more, outcome.next_due), (false, Some(rig.now.plus(Duration::from_millis(100)))));
    rig.complete(&outcome.claimed).await;
    rig.wait_ms(99);
    assert!(rig.claim(10).await.is_empty(), "that places are free does not help");
    rig.wait_ms(1);
    rig.claim_exactly(&["b"]).await;
    rig.wait_ms(100);
    rig.claim_exactly(&["c"]).await;
    rig.wait_ms(1_000);
    rig.claim_exactly(&["d"]).await;
    assert_eq!(rig.turn(Vec::new(), 10).await.next_due, None);
}

/// Of many parked tasks no more are looked at than there is room for, and all get through in their order.
pub async fn a_long_line_goes_through_in_order(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    set(&rig, &[rule(GateScope::Key, "k", 3)]).await;
    let outline = (0..60).map(|i| format!("t{i:02}")).collect::<Vec<_>>().join("; ");
    let keys = (0..60).map(|i| format!("t{i:02}=k")).collect::<Vec<_>>().join(" ");
    rig.insert_json(keyed(&outline, &keys), true).await;
    let order = rig.drain().await;
    let expected: Vec<String> = (0..60).map(|i| format!("t{i:02}")).collect();
    assert_eq!(order, expected);
}

/// A deleted tree leaves nothing at its gates; a clone has the keys of its original.
pub async fn keys_go_with_their_tasks(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(keyed("r; a", "r=k a=k"), false).await;
    rig.store.delete(&"r".into(), rig.now).await.unwrap();
    rig.insert_json(keyed("s; b", "s=k b=l"), true).await;
    let runs = rig.claim_exactly(&["s", "b"]).await;
    rig.complete(&runs).await;
    assert_eq!(gates(&rig).await, [("k".to_owned(), 0, 0), ("l".to_owned(), 0, 0)]);
}

/// Where a host wants it, what has begun goes on before anything else begins, whatever the priorities.
pub async fn started_first(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r:3 <- a b; a:3; b:3; c:3").await;
    let turn =
        |rig: &Rig, finished, claim| Turn { started_first: true, ..rig.asks(&rig.session, finished, claim) };
    let runs = rig.store.turn(turn(&rig, Vec::new(), 1)).await.unwrap().claimed;
    assert_eq!((names(&runs), runs[0].priority), (vec!["a"], 3));
    rig.wait_ms(1);
    rig.start("x:0; y:1").await;
    let runs = rig.store.turn(turn(&rig, vec![retried(&runs[0], rig.now)], 1)).await.unwrap().claimed;
    assert_eq!(names(&runs), ["b"]);
    rig.update("c", TaskPatch { priority: Some(1), ..TaskPatch::default() }).await;
    let rest = rig.store.turn(turn(&rig, vec![completed(&runs[0])], 2)).await.unwrap().claimed;
    assert_eq!(names(&rest), ["c", "a"], "also what was tried again, in its new order");
    let last = rig.store.turn(turn(&rig, vec![completed(&rest[1])], 2)).await.unwrap().claimed;
    assert_eq!(names(&last), ["r", "x"]);
    rig.store.turn(turn(&rig, vec![failed(&last[0]), completed(&rest[0])], 0)).await.unwrap();
    // A new execution has not begun.
    rig.execute("r").await;
    rig.claim_exactly(&["y", "r"]).await;
}

/// Without that wish priorities are strict.
pub async fn priorities_are_strict(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r:3 <- a; a:3").await;
    let run = rig.claim_one("a").await;
    rig.start("x:0").await;
    let outcome = rig.turn(vec![completed(&run)], 10).await;
    assert_eq!(names(&outcome.claimed), ["x", "r"]);
}

/// Claims and completes until nothing is left for a while; gives how many.
async fn host(rig: &Rig, name: &str) -> usize {
    let session = rig.open(name, 3_600_000).await;
    let (mut finished, mut done, mut idle) = (Vec::new(), 0, 0);
    while idle < 50 {
        let outcome = rig.turn_of(&session, finished, 5).await;
        let running = gate(rig, "scripted").await.running;
        assert!(running <= 8, "{running} run");
        idle = if outcome.claimed.is_empty() { idle + 1 } else { 0 };
        done += outcome.claimed.len();
        finished = all_completed(&outcome);
        tokio::task::yield_now().await;
    }
    done
}

/// Several hosts together let no more through than one.
pub async fn a_gate_counts_all_hosts(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    set(&rig, &[rule(GateScope::Executor, "scripted", 8)]).await;
    let outline = (0..400).map(|i| format!("t{i}")).collect::<Vec<_>>().join("; ");
    rig.start(&outline).await;
    let (one, two, three) = tokio::join!(host(&rig, "one"), host(&rig, "two"), host(&rig, "three"));
    assert_eq!((one + two + three, gates(&rig).await), (400, vec![("scripted".to_owned(), 0, 0)]));
    let completed = rig.store.count(Default::default()).await.unwrap();
    assert_eq!(completed.completed, 400);
    assert_eq!(rig.task("t0").await.status, TaskStatus::Completed);
}
