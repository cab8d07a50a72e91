//! What follows for dependents when a task ends.

use std::sync::Arc;

use apflow_core::event::EventKind;
use apflow_core::id::{Seq, TaskId};
use apflow_core::store::{QueuePlace, RunOutcome, Store};
use apflow_core::task::{TaskStatus, TreeStatus};
use serde_json::json;

use super::rig::{Rig, broken, completed, data, ended, failed, names};
use crate::trees::{chain, diamond, fan};

/// A dependent starts after everything that it requires has completed, in the same turn if it is asked.
pub async fn required_ones_gate(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a b; a; b").await;
    assert_eq!(rig.place("r").await, QueuePlace::Waiting(2));
    let runs = rig.claim_exactly(&["a", "b"]).await;
    let outcome = rig.turn(vec![completed(&runs[0])], 10).await;
    assert!(outcome.claimed.is_empty());
    assert_eq!(rig.place("r").await, QueuePlace::Waiting(1));
    let outcome = rig.turn(vec![completed(&runs[1])], 10).await;
    assert_eq!(names(&outcome.claimed), ["r"]);
}

/// Two dependencies that end in one turn release their dependent once.
pub async fn two_ends_in_one_turn(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a b; a; b").await;
    let runs = rig.claim_exactly(&["a", "b"]).await;
    let outcome = rig.turn(runs.iter().map(completed).collect(), 10).await;
    assert_eq!(names(&outcome.claimed), ["r"]);
    assert!(rig.claim(10).await.is_empty());
}

/// An optional dependency is waited for, and any end of it will do.
pub async fn optional_ones_wait_for_any_end(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a? b?; a; b").await;
    let runs = rig.claim_exactly(&["a", "b"]).await;
    assert!(rig.turn(vec![failed(&runs[0])], 10).await.claimed.is_empty());
    let outcome = rig.turn(vec![completed(&runs[1])], 10).await;
    assert_eq!(names(&outcome.claimed), ["r"]);
    let offered: Vec<_> =
        outcome.claimed[0].dependencies.iter().map(|d| (d.status, d.result.is_some())).collect();
    assert_eq!(offered, [(TaskStatus::Failed, false), (TaskStatus::Completed, true)]);
    let outcome = rig.complete(&outcome.claimed).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Failed);
}

/// A failed task may give a result to those that do not require it.
pub async fn a_failed_result_is_offered(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a?; a").await;
    let run = rig.claim_one("a").await;
    let outcome = RunOutcome::Failed { error: broken(), result: Some(json!({"log": "…"}).into()) };
    let outcome = rig.turn(vec![ended(&run, outcome)], 10).await;
    let offered = &outcome.claimed[0].dependencies[0];
    assert_eq!(offered.result.as_ref().unwrap().value(), json!({"log": "…"}));
    assert_eq!(rig.task("a").await.result.unwrap().value(), json!({"log": "…"}));
}

/// A failure blocks everything that requires it in any number of steps; they stay pending and name the failure.
pub async fn a_failure_blocks_all_behind_it(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- c x; a; b <- a; c <- b; x").await;
    let runs = rig.claim_exactly(&["a", "x"]).await;
    let seq = rig.last_seq().await;
    let outcome = rig.turn(vec![failed(&runs[0])], 10).await;
    assert!(outcome.claimed.is_empty() && outcome.ended.is_empty() && !outcome.more);
    assert_eq!(rig.statuses(&["a", "b", "c", "r", "x"]).await, "failed pending pending pending in_progress");
    assert_eq!(
        rig.log("r", seq).await,
        ["task.failed a", "task.blocked r", "task.blocked b", "task.blocked c"]
    );
    for blocked in ["b", "c", "r"] {
        assert_eq!(rig.task(blocked).await.blocked_by, Some(TaskId::from("a")), "{blocked}");
        assert_eq!(rig.place(blocked).await, QueuePlace::Blocked);
        let event = rig.only_event("r", EventKind::TaskBlocked, Some(blocked)).await;
        assert_eq!(data(&event), json!({"blocked_by": "a"}));
    }
    // The sibling goes on, and the tree ends with it.
    let outcome = rig.complete(&runs[1..]).await;
    assert_eq!(outcome.ended.iter().map(|end| end.status).collect::<Vec<_>>(), [TreeStatus::Failed]);
    assert_eq!(rig.task("c").await.blocked_by, Some(TaskId::from("a")));
}

/// What does not require a blocked task is released when that is blocked.
pub async fn blocking_releases_optional_dependents(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- c?; a; b <- a; c <- b; d <- b?").await;
    let run = rig.claim_one("a").await;
    let outcome = rig.turn(vec![failed(&run)], 10).await;
    assert_eq!(names(&outcome.claimed), ["r", "d"]);
    let outcome = rig.complete(&outcome.claimed).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Failed);
    assert_eq!(rig.statuses(&["r", "d", "b", "c"]).await, "completed completed pending pending");
}

/// Of a failure and a completion in the same turn the failure decides, in whichever order they are given.
pub async fn a_failure_wins_over_a_completion(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    for (name, failed_first) in [("p", true), ("q", false)] {
        rig.start(&format!("{name} <- {name}a {name}b; {name}a; {name}b")).await;
        let runs = rig.claim(10).await;
        let mut finished = vec![failed(&runs[0]), completed(&runs[1])];
        if !failed_first {
            finished.reverse();
        }
        let outcome = rig.turn(finished, 10).await;
        assert!(outcome.claimed.is_empty());
        assert_eq!(outcome.ended[0].status, TreeStatus::Failed);
        assert_eq!(rig.task(name).await.blocked_by, Some(TaskId::from(format!("{name}a"))));
    }
}

/// The classic shape, run by itself.
pub async fn diamond_runs_in_order(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(diamond(), true).await;
    assert_eq!(rig.drain().await, ["top", "left", "right", "bottom"]);
    assert_eq!(rig.tree_status("top").await, TreeStatus::Completed);
}

/// Each step of a chain takes one turn: record one, claim the next.
pub async fn chain_takes_one_turn_a_step(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(chain(30), true).await;
    let mut outcome = rig.turn(Vec::new(), 1).await;
    for i in 1..=30 {
        assert_eq!(names(&outcome.claimed), [format!("step-{i}")]);
        outcome = rig.turn(outcome.claimed.iter().map(completed).collect(), 1).await;
    }
    assert_eq!(outcome.ended.len(), 1);
    assert!(outcome.claimed.is_empty() && !outcome.more);
}

/// Many dependencies that end in many turns release their dependent once, after the last.
pub async fn fan_in_waits_for_the_last(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(fan(60), true).await;
    let fork = rig.claim(100).await;
    let mut leaves = rig.turn(fork.iter().map(completed).collect(), 100).await.claimed;
    assert_eq!(leaves.len(), 60);
    while let Some(leaf) = leaves.pop() {
        let outcome = rig.turn(vec![completed(&leaf)], 10).await;
        let expected: &[&str] = if leaves.is_empty() { &["join"] } else { &[] };
        assert_eq!(names(&outcome.claimed), expected);
    }
    assert_eq!(rig.log("join", Seq(0)).await.iter().filter(|line| *line == "task.started join").count(), 1);
}

/// A retry decides nothing: dependents wait on.
pub async fn a_retry_decides_nothing(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a b?; a; b").await;
    let runs = rig.claim_exactly(&["a", "b"]).await;
    let again = runs.iter().map(|run| super::rig::retried(run, rig.now)).collect();
    let outcome = rig.turn(again, 10).await;
    assert_eq!(names(&outcome.claimed), ["a", "b"]);
    assert_eq!(rig.place("r").await, QueuePlace::Waiting(2));
}
