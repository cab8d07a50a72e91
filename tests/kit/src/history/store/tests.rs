//! One real history, and one tampering for each rule.

use std::sync::Arc;

use apflow_core::receipt::NewReceipt;
use apflow_core::store::{Fired, ScheduleStore as _};
use serde_json::json;

use super::super::{check as check_log, read_all};
use super::*;
use crate::mem::MemStore;
use crate::suite::rig::{Rig, tree};
use crate::trees::EXECUTOR;

struct History {
    log: Vec<Event>,
    holdings: Holdings,
    told: Told,
}

/// A tree of a request with a key, one that failed and ran again, a cancelled one, and a schedule that ran twice.
async fn history() -> History {
    let store = Arc::new(MemStore::new());
    let mut rig = Rig::new(Arc::clone(&store) as _).await;
    let mut told = Told::default();
    let keyed =
        json!([{"name": "k", "id": "k", "executor": EXECUTOR}, {"name": "l", "id": "l", "parent_id": "k"}]);
    let receipt = NewReceipt::new("key", "tasks.execute", &keyed).unwrap();
    rig.store.insert_once(&tree(keyed), &receipt, true, rig.now).await.unwrap();
    told.trees.insert("k".into(), ToldTree { root: "k".into(), size: 2 });
    told.keys.insert("key".into(), BTreeSet::from(["k".into()]));
    rig.drain().await;

    rig.start("f").await;
    let run = rig.claim_one("f").await;
    rig.fail(&run).await;
    rig.execute("f").await;
    rig.drain().await;
    told.executions.insert(("f".into(), 2));
    told.ends.insert(("f".into(), 1), "failed".into());

    rig.start("c").await;
    rig.cancel(&["c"], true).await;
    told.cancelled.insert("c".into());

    let every = json!([{"name": "s", "id": "s", "schedule_type": "interval", "schedule_expression": "60",
                        "schedule_enabled": true, "max_runs": 2}]);
    rig.insert_json(every, false).await;
    for _ in 0..2 {
        rig.wait_ms(60_000);
        let due = store.due_schedules(rig.now, 1).await.unwrap().due;
        let fired = store.fire_schedule(&due[0].0, due[0].1, rig.now).await.unwrap();
        assert!(matches!(fired, Fired::Started { .. }), "{fired:?}");
        rig.drain().await;
    }
    let log = read_all(&*store).await.unwrap();
    let holdings = Holdings::read(&*store).await.unwrap();
    History { log, holdings, told }
}

impl History {
    fn problem(&self) -> String {
        check(&self.log, &self.holdings, &self.told).unwrap_err().join("\n")
    }

    fn task(&mut self, id: &str) -> &mut (Task, Vec<Attempt>) {
        self.holdings.tasks.iter_mut().find(|(task, _)| task.id.as_str() == id).unwrap()
    }

    /// Takes events of that kind out of the log.
    fn without(mut self, tree: &str, kind: EventKind) -> Self {
        self.log.retain(|event| event.tree_id.as_str() != tree || event.kind != kind);
        self
    }
}

#[tokio::test]
async fn a_good_history_passes() {
    let good = history().await;
    check_log(&good.log, &good.holdings.rules()).unwrap();
    check(&good.log, &good.holdings, &good.told).unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_must_be_there() {
    let mut gone = history().await;
    gone.holdings.tasks.retain(|(task, _)| task.id.as_str() != "l");
    assert!(gone.problem().contains("'k' and 2 tasks, 1 are stored"), "{}", gone.problem());
    let unlogged = history().await.without("k", EventKind::TreeCreated);
    assert!(unlogged.problem().contains("tree 'k' was acknowledged and is not in the log"));
    let mut execution = history().await;
    execution.told.executions.insert(("f".into(), 3));
    assert!(execution.problem().contains("execution 3 of tree 'f' was acknowledged"));
    let mut end = history().await;
    end.told.ends.insert(("f".into(), 1), "completed".into());
    assert!(end.problem().contains("was told to be completed, the log has tree.failed"));
    let mut cancelled = history().await;
    cancelled.told.cancelled.insert("k".into());
    assert!(cancelled.problem().contains("task 'k' was reported as cancelled and is not"));
}

#[tokio::test]
async fn a_key_has_one_tree() {
    let mut two = history().await;
    two.task("f").0.idempotency_key = Some("key".into());
    assert!(two.problem().contains("key 'key' has made 2 trees"));
    let mut other = history().await;
    other.told.keys.insert("key".into(), BTreeSet::from(["f".into()]));
    assert!(other.problem().contains("key 'key' was answered with"));
}

#[tokio::test]
async fn attempts_are_on_record_as_they_are_logged() {
    let mut twice = history().await;
    let attempts = &mut twice.task("k").1;
    attempts.push(attempts[0].clone());
    assert!(twice.problem().contains("attempt 1 is on record after attempt 1"), "{}", twice.problem());
    let mut lost = history().await;
    lost.task("k").1.clear();
    assert!(lost.problem().contains("task 'k': the attempts on record are []"));
    let unlogged = history().await.without("k", EventKind::TaskCompleted);
    assert!(unlogged.problem().contains("by the log they are []"));
    let uncancelled = history().await.without("c", EventKind::TaskCancelled);
    assert!(uncancelled.problem().contains("task 'c': cancelled 0 times by the log"));
}

#[tokio::test]
async fn every_status_follows_from_the_log() {
    let mut task = history().await;
    task.task("k").0.status = TaskStatus::Failed;
    assert!(task.problem().contains("task 'k' is failed, by the log it is completed"));
    let mut tree = history().await;
    let stored = tree.holdings.trees.iter_mut().find(|tree| tree.tree_id.as_str() == "k").unwrap();
    (stored.status, stored.execution) = (TreeStatus::Cancelled, 7);
    assert!(tree.problem().contains("7 executions are stored, 1 logged"));
    assert!(tree.problem().contains("tree 'k' is cancelled, by the log it is completed"));
    let open = history().await.without("k", EventKind::TreeCompleted);
    assert!(open.problem().contains("tree 'k': execution 1 has not ended"));
}

#[tokio::test]
async fn a_due_time_has_one_entry_and_an_entry_one_execution() {
    let mut twice = history().await;
    let runs = &mut twice.holdings.schedules[0].1;
    runs.insert(0, runs[0].clone());
    let problem = twice.problem();
    assert!(problem.contains("has two entries") && problem.contains("is that of two due times"), "{problem}");
    let mut left_out = history().await;
    let runs = &mut left_out.holdings.schedules[0].1;
    runs[1].due_at = runs[1].due_at.plus(std::time::Duration::from_secs(60));
    assert!(left_out.problem().contains("have no entry"), "{}", left_out.problem());
    let mut status = history().await;
    status.holdings.schedules[0].1[0].status = ScheduleRunStatus::Failed;
    assert!(
        status.problem().contains("was Failed, by the log execution Some(1) ended with Some(TreeCompleted)")
    );
    let mut count = history().await;
    count.holdings.schedules[0].0.schedule.run_count = 5;
    assert!(count.problem().contains("5 runs are counted, 2 are on record"));
}
