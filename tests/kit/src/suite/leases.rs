//! Leases and fencing: who may record, and what becomes of the runs of a node that is gone.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::id::{NodeId, TaskKey, Token};
use apflow_core::lease::Session;
use apflow_core::store::{QueuePlace, RunOutcome, Store};
use apflow_core::task::TaskStatus;
use serde_json::json;

use super::rig::{Rig, completed, completed_with, failed, names};

async fn refused(rig: &Rig, session: &Session) {
    let error = rig.store.turn(rig.asks(session, Vec::new(), 10)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LeaseLost);
    let error = rig.store.renew_session(session, rig.now.plus(Duration::from_secs(9))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LeaseLost);
}

/// A token that is not the current one records nothing and is listed; the rest of the turn goes on.
pub async fn a_stale_token_is_refused_and_listed(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b").await;
    let runs = rig.claim_exactly(&["r", "a", "b"]).await;
    let mut wrong = completed(&runs[1]);
    wrong.token = Token(wrong.token.0 + 7);
    let mut unknown = completed(&runs[1]);
    unknown.key = TaskKey(987_654_321);
    let twice = completed_with(&runs[0], json!("second"));
    let finished =
        vec![completed(&runs[0]), twice.clone(), wrong.clone(), unknown.clone(), completed(&runs[2])];
    let mut outcome = rig.turn(finished, 0).await;
    let mut lost = [(twice.key, twice.token), (wrong.key, wrong.token), (unknown.key, unknown.token)];
    outcome.lost.sort_unstable();
    lost.sort_unstable();
    assert_eq!(outcome.lost, lost);
    assert_eq!(rig.statuses(&["r", "a", "b"]).await, "completed in_progress completed");
    assert_eq!(rig.task("r").await.result.unwrap().value(), json!("r"));
    let outcome = rig.turn(vec![failed(&runs[0])], 0).await;
    assert_eq!((outcome.lost.len(), rig.task("r").await.status), (1, TaskStatus::Completed));
    rig.only_event("r", EventKind::TaskCompleted, Some("r")).await;
}

/// A newer session of the node ends the older one, which then records nothing at all.
pub async fn a_newer_session_ends_the_older(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let run = rig.claim_one("r").await;
    let seq = rig.last_seq().await;
    let newer = rig.open("node-1", 60_000).await;
    assert_eq!((rig.session.epoch, newer.epoch), (1, 2));
    assert_eq!(rig.log("r", seq).await, ["task.rescued r"]);
    let error = rig.store.turn(rig.asks(&rig.session, vec![completed(&run)], 10)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LeaseLost);
    assert_eq!(rig.statuses(&["r", "a"]).await, "pending pending");
    refused(&rig, &rig.session).await;
    rig.store.close_session(&rig.session, rig.now).await.unwrap();
    assert_eq!(names(&rig.turn_of(&newer, Vec::new(), 10).await.claimed), ["r", "a"]);
    let future = Session { node: NodeId::from("node-1"), epoch: 3 };
    refused(&rig, &future).await;
}

/// Opening a session takes back the runs of older sessions of this node, and of no other.
pub async fn opening_takes_back_older_runs(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b").await;
    let other = rig.open("node-2", 60_000).await;
    let mine = rig.claim(2).await;
    let theirs = rig.turn_of(&other, Vec::new(), 1).await.claimed;
    assert_eq!((names(&mine), names(&theirs)), (vec!["r", "a"], vec!["b"]));
    let opened =
        rig.store.open_session(&"node-1".into(), rig.now.plus(Duration::from_secs(9)), rig.now).await;
    let opened = opened.unwrap();
    assert_eq!((opened.rescued, opened.session.epoch), (2, 2));
    assert_eq!(rig.statuses(&["r", "a", "b"]).await, "pending pending in_progress");
    let again = rig.turn_of(&opened.session, Vec::new(), 10).await.claimed;
    assert_eq!(names(&again), ["r", "a"]);
    for (new, old) in again.iter().zip(&mine) {
        assert!(new.token > old.token);
        assert_eq!((new.attempt, new.tries), (2, 1));
    }
    let outcome = rig.turn_of(&other, theirs.iter().map(completed).collect(), 0).await;
    assert!(outcome.lost.is_empty());
}

/// A lease that has expired loses its runs: they are ready again at once, and the late result is refused.
pub async fn rescue_after_expiry(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    let other = rig.open("node-2", 1_000).await;
    let late = rig.turn_of(&other, Vec::new(), 1).await.claimed.remove(0);
    rig.wait_ms(999);
    assert_eq!(rig.store.rescue(rig.now).await.unwrap(), 0);
    assert_eq!(rig.place("r").await, QueuePlace::Running);
    rig.wait_ms(2);
    let seq = rig.last_seq().await;
    assert_eq!(rig.store.rescue(rig.now).await.unwrap(), 1);
    assert_eq!(rig.store.rescue(rig.now).await.unwrap(), 0);
    assert_eq!(rig.log("r", seq).await, ["task.rescued r"]);
    let event = rig.only_event("r", EventKind::TaskRescued, Some("r")).await;
    assert_eq!((event.attempt, event.at, event.data), (1, rig.now, None));
    let task = rig.task("r").await;
    assert_eq!((task.status, task.attempt, task.lease_id), (TaskStatus::Pending, 1, None));
    assert_eq!(rig.place("r").await, QueuePlace::Ready(0));
    assert!(rig.store.attempts(&"r".into()).await.unwrap().is_empty());

    let run = rig.claim_one("r").await;
    assert_eq!((run.attempt, run.tries, run.execution), (2, 1, 1));
    assert!(run.token > late.token);
    let outcome = rig.turn(vec![completed_with(&late, json!("late"))], 0).await;
    assert_eq!(outcome.lost, [(late.key, late.token)]);
    rig.complete(&[run]).await;
    assert_eq!(rig.task("r").await.result.unwrap().value(), json!("r"));
    let numbers: Vec<u32> =
        rig.store.attempts(&"r".into()).await.unwrap().iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [2]);
}

/// A token is dead from the rescue on, not only from the next claim.
pub async fn rescue_revokes_the_token(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    let other = rig.open("node-2", 1_000).await;
    let late = rig.turn_of(&other, Vec::new(), 1).await.claimed.remove(0);
    rig.wait_ms(1_001);
    rig.store.rescue(rig.now).await.unwrap();
    let outcome = rig.turn(vec![completed(&late)], 0).await;
    assert_eq!(outcome.lost, [(late.key, late.token)]);
    assert_eq!(rig.task("r").await.status, TaskStatus::Pending);
}

/// A session that renews keeps its runs.
pub async fn a_renewed_lease_is_not_rescued(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    let other = rig.open("node-2", 1_000).await;
    let run = rig.turn_of(&other, Vec::new(), 1).await.claimed.remove(0);
    let until = rig.now.plus(Duration::from_secs(5));
    rig.store.renew_session(&other, until).await.unwrap();
    assert_eq!(rig.task("r").await.lease_expires_at, Some(until));
    rig.wait_ms(4_999);
    assert_eq!(rig.store.rescue(rig.now).await.unwrap(), 0);
    let outcome = rig.turn_of(&other, vec![completed(&run)], 0).await;
    assert!(outcome.lost.is_empty());
}

/// A session that is late but has not been rescued is still the holder.
pub async fn a_late_session_goes_on_until_it_is_rescued(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r; a").await;
    let other = rig.open("node-2", 1_000).await;
    let run = rig.turn_of(&other, Vec::new(), 1).await.claimed.remove(0);
    rig.wait_ms(60_000);
    let outcome = rig.turn_of(&other, vec![completed(&run)], 1).await;
    assert_eq!((outcome.lost.len(), names(&outcome.claimed)), (0, vec!["a"]));
    rig.store.renew_session(&other, rig.now.plus(Duration::from_secs(1))).await.unwrap();
    assert_eq!(rig.store.rescue(rig.now).await.unwrap(), 0);
}

/// A session that was rescued is over, with runs or without; its node opens another.
pub async fn a_rescued_session_is_over(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    let busy = rig.open("node-2", 1_000).await;
    let idle = rig.open("node-3", 1_000).await;
    rig.turn_of(&busy, Vec::new(), 1).await;
    rig.wait_ms(1_001);
    assert_eq!(rig.store.rescue(rig.now).await.unwrap(), 1);
    refused(&rig, &busy).await;
    refused(&rig, &idle).await;
    let again = rig.open("node-2", 1_000).await;
    assert_eq!(again.epoch, 2);
    assert_eq!(names(&rig.turn_of(&again, Vec::new(), 1).await.claimed), ["r"]);
}

/// Closing gives the runs back at once, and once.
pub async fn closing_gives_the_runs_back(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let other = rig.open("node-2", 60_000).await;
    let held = rig.turn_of(&other, Vec::new(), 2).await.claimed;
    let seq = rig.last_seq().await;
    rig.store.close_session(&other, rig.now).await.unwrap();
    assert_eq!(rig.log("r", seq).await, ["task.rescued r", "task.rescued a"]);
    rig.store.close_session(&other, rig.now).await.unwrap();
    refused(&rig, &other).await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    assert_eq!((runs[0].attempt, runs[0].tries), (2, 1));
    let outcome = rig.turn(held.iter().map(completed).collect(), 0).await;
    assert_eq!(outcome.lost.len(), 2);
}

/// Rescued tasks stand where their execution was armed, before what came later.
pub async fn rescued_tasks_keep_the_place_of_their_tree(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("old").await;
    let other = rig.open("node-2", 60_000).await;
    rig.turn_of(&other, Vec::new(), 1).await;
    rig.wait_ms(5);
    rig.start("new").await;
    rig.wait_ms(5);
    rig.store.close_session(&other, rig.now).await.unwrap();
    rig.claim_exactly(&["old", "new"]).await;
}

/// A rescue costs no try: what is left of the policy is what was left before.
pub async fn a_rescue_is_no_try(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r").await;
    let first = rig.claim_one("r").await;
    let now = rig.now;
    let again = super::rig::ended(&first, RunOutcome::Retry { error: super::rig::broken(), due: now });
    let second = rig.turn(vec![again], 1).await.claimed.remove(0);
    assert_eq!((second.attempt, second.tries), (2, 2));
    rig.session = rig.open("node-1", 60_000).await;
    let third = rig.claim_one("r").await;
    assert_eq!((third.attempt, third.tries), (3, 2));
}
