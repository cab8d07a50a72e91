//! Retention: the oldest events go, what reads them learns of it, and everything else stays as it is.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::ErrorCode;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::Seq;
use apflow_core::retention::{DAY, RetentionPolicy, TrimRequest, Trimmed};
use apflow_core::store::{EventQuery, Store, TaskFilter};
use apflow_core::task::TaskStatus;

use super::rig::{Rig, completed, data};

/// Of an age in milliseconds, or beyond a number.
fn policy(age_ms: Option<u64>, retain_max: Option<u64>) -> RetentionPolicy {
    RetentionPolicy { retain_for: age_ms.map(Duration::from_millis), retain_max, hold: DAY }
}

impl Rig {
    async fn trim(&self, policy: RetentionPolicy, limit: u32) -> Trimmed {
        self.store.trim_events(TrimRequest { policy, now: self.now, limit }).await.unwrap()
    }

    /// Removes all that may go.
    async fn trim_all(&self) -> Seq {
        let mut last = self.trim(policy(Some(0), Some(0)), 1_000).await;
        while last.removed > 0 {
            last = self.trim(policy(Some(0), Some(0)), 1_000).await;
        }
        last.start
    }

    /// All events after a position; an error as `(oldest, resume after)`.
    async fn read(&self, tree: Option<&str>, after: i64) -> Result<Vec<Event>, (i64, i64)> {
        let tree = tree.map(Into::into);
        let query = EventQuery { after: Seq(after), tree, limit: 10_000, ..EventQuery::default() };
        self.store.events(query).await.map_err(|error| {
            assert_eq!(error.code, ErrorCode::EventsExpired, "{error}");
            (error.data["oldest_seq"].as_i64().unwrap(), error.data["resume_after"].as_i64().unwrap())
        })
    }

    /// A tree of one task, run to its end.
    async fn ran(&self, name: &str) {
        self.start(name).await;
        let run = self.claim_one(name).await;
        self.turn(vec![completed(&run)], 0).await;
    }
}

/// A batch takes the oldest, by age or by number, and the log begins behind them.
pub async fn the_oldest_go_and_the_log_says_so(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    assert_eq!(rig.store.log_start().await.unwrap(), Seq(0));
    rig.ran("a").await;
    let middle = rig.last_seq().await;
    rig.wait_ms(1_000);
    rig.ran("b").await;
    let all = rig.read(None, 0).await.unwrap();
    rig.wait_ms(500);
    assert_eq!(rig.trim(policy(None, None), 100).await, Trimmed { removed: 0, start: Seq(0) });
    assert_eq!(rig.trim(policy(Some(2_000), Some(1_000)), 100).await.removed, 0);
    let first = rig.trim(policy(Some(1_000), None), 2).await;
    assert_eq!(first, Trimmed { removed: 2, start: all[1].seq });
    assert_eq!(rig.store.log_start().await.unwrap(), all[1].seq);
    let rest = rig.trim(policy(Some(1_000), None), 100).await;
    assert_eq!((rest.removed, rest.start), (3, middle));
    assert_eq!(rig.trim(policy(Some(1_000), None), 100).await, Trimmed { removed: 0, start: middle });
    assert_eq!(rig.read(None, middle.0).await.unwrap(), all[5..]);
    let newest = rig.last_seq().await;
    assert_eq!(rig.trim(policy(None, Some(2)), 100).await.start, Seq(newest.0 - 2));
    assert_eq!(rig.read(None, newest.0 - 2).await.unwrap(), all[8..]);
}

/// Whoever asks for what is gone is told where the log begins, also if nothing would be left of the question.
pub async fn reading_what_has_gone_is_an_error(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.ran("a").await;
    rig.ran("b").await;
    let newest = rig.last_seq().await.0;
    let start = rig.trim(policy(None, Some(3)), 100).await.start.0;
    assert_eq!(start, newest - 3);
    for after in [0, 1, start - 1] {
        assert_eq!(rig.read(None, after).await, Err((start + 1, start)), "{after}");
        assert_eq!(rig.read(Some("a"), after).await, Err((start + 1, start)), "{after}");
    }
    for after in [start, newest, newest + 10] {
        assert_eq!(rig.read(None, after).await.unwrap().len() as i64, (newest - after).max(0), "{after}");
    }
    let kinds = vec![EventKind::TaskRescued];
    let query =
        |after| EventQuery { after: Seq(after), kinds: kinds.clone(), limit: 10, ..EventQuery::default() };
    assert_eq!(rig.store.events(query(0)).await.unwrap_err().code, ErrorCode::EventsExpired);
    assert_eq!(rig.store.events(query(start)).await.unwrap(), []);
}

/// A tree that has lost nothing is read from the beginning, whatever has gone before it.
pub async fn a_tree_is_read_whole_or_not_at_all(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.ran("a").await;
    let first = rig.last_seq().await;
    rig.ran("b").await;
    let whole = rig.events("b", Seq(0)).await;
    assert_eq!(rig.trim(policy(None, Some(5)), 100).await.start, first);
    assert_eq!(rig.events("b", Seq(0)).await, whole);
    assert_eq!(rig.events("b", whole[1].seq).await, whole[2..]);
    assert!(rig.read(Some("a"), 0).await.is_err());
    assert_eq!(rig.read(Some("ghost"), 0).await, Ok(Vec::new()));
    rig.trim(policy(None, Some(4)), 100).await;
    assert!(rig.read(Some("b"), 0).await.is_err());
    assert_eq!(rig.events("b", whole[0].seq).await, whole[1..]);
    // An id that is used again after a deletion.
    rig.insert("c").await;
    rig.store.delete(&"c".into(), rig.now).await.unwrap();
    rig.insert("c").await;
    assert_eq!(rig.log("c", Seq(0)).await, ["tree.created", "tree.deleted", "tree.created"]);
    rig.trim(policy(None, Some(1)), 100).await;
    assert!(rig.read(Some("c"), 0).await.is_err());
}

/// Positions never begin again.
pub async fn the_newest_stays_and_numbers_go_on(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    for name in ["a", "b", "c"] {
        rig.ran(name).await;
        let newest = rig.last_seq().await;
        assert_eq!(rig.trim_all().await, Seq(newest.0 - 1));
        assert_eq!(rig.last_seq().await, newest);
        rig.insert(&format!("after-{name}")).await;
        assert!(rig.last_seq().await > newest);
    }
    rig.start("d").await;
    let state = rig.store.tree_state(&"d".into()).await.unwrap().unwrap();
    let events = rig.events("d", state.started_seq).await;
    assert_eq!(events.first().map(|event| event.kind), Some(EventKind::TreeStarted));
}

/// Nothing of an execution goes before it has ended, nor what is younger than its beginning.
pub async fn open_executions_stay(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.ran("a").await;
    rig.insert("r; c").await;
    rig.execute("r").await;
    let state = rig.store.tree_state(&"r".into()).await.unwrap().unwrap();
    let runs = rig.claim_exactly(&["r", "c"]).await;
    rig.ran("b").await;
    rig.wait_ms(DAY.as_millis() as u64 / 2);
    assert_eq!(rig.trim_all().await, state.started_seq);
    assert_eq!(rig.log("r", state.started_seq).await, ["tree.started", "task.started r", "task.started c"]);
    rig.complete(&runs).await;
    assert_eq!(rig.trim_all().await, Seq(rig.last_seq().await.0 - 1));
}

/// What a consumer has not taken stays, for a while, and as long as the consumer is heard of.
pub async fn consumers_hold_the_log(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.ran("a").await;
    rig.ran("b").await;
    let newest = rig.last_seq().await.0;
    rig.wait_ms(1);
    rig.store.set_cursor("metrics", Seq(3), rig.now).await.unwrap();
    rig.store.set_cursor("other", Seq(newest), rig.now).await.unwrap();
    assert_eq!(rig.trim_all().await, Seq(3));
    rig.store.set_cursor("metrics", Seq(4), rig.now).await.unwrap();
    assert_eq!(rig.trim_all().await, Seq(4));
    // Alive, but too far behind: nothing is held for longer than a day.
    rig.wait_ms(DAY.as_millis() as u64);
    rig.store.set_cursor("metrics", Seq(5), rig.now).await.unwrap();
    assert_eq!(rig.trim_all().await, Seq(newest - 1));
    // Not heard of for more than a day: it holds nothing, although what it has not taken is new.
    rig.wait_ms(DAY.as_millis() as u64 + 1);
    rig.ran("c").await;
    assert_eq!(rig.trim_all().await, Seq(rig.last_seq().await.0 - 1));
}

/// Only events go: tasks, results, attempts, and what a deletion keeps for events are as before.
pub async fn facts_of_tasks_stay(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.ran("a").await;
    rig.start("s; t").await;
    rig.drain().await;
    let (task, attempts) = (rig.task("a").await, rig.store.attempts(&"a".into()).await.unwrap());
    let state = rig.store.tree_state(&"a".into()).await.unwrap();
    rig.insert("p; q").await;
    rig.trim_all().await;
    assert_eq!(rig.task("a").await, task);
    assert_eq!(rig.store.attempts(&"a".into()).await.unwrap(), attempts);
    assert_eq!(rig.store.tree_state(&"a".into()).await.unwrap(), state);
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap().completed, 3);
    // What is pending again after a run is deleted: its attempts are what is left of it.
    rig.start("f").await;
    let run = rig.claim_one("f").await;
    rig.fail(&run).await;
    rig.update("f", super::rig::status_patch(TaskStatus::Pending)).await;
    let newest = rig.last_seq().await;
    rig.trim(policy(None, Some(2)), 1_000).await;
    rig.store.delete(&"f".into(), rig.now).await.unwrap();
    rig.insert("f").await;
    assert_eq!(rig.log("f", newest).await, ["tree.deleted", "tree.created"]);
    rig.execute("a").await;
    assert_eq!(rig.tree_status("a").await, apflow_core::task::TreeStatus::Completed);
}

/// A reader that goes on from what it has read gets every event, or the error.
pub async fn readers_see_no_gap_while_it_goes(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    for i in 0..10 {
        rig.ran(&format!("t{i}")).await;
    }
    let all = rig.read(None, 0).await.unwrap();
    let store = Arc::clone(&rig.store);
    let reader = tokio::spawn(async move {
        let mut seen: Vec<Event> = Vec::new();
        loop {
            let after = seen.last().map_or(Seq(0), |event| event.seq);
            match store.events(EventQuery { after, limit: 3, ..EventQuery::default() }).await {
                Ok(page) if page.is_empty() => return (seen, None),
                Ok(page) => seen.extend(page),
                Err(error) => return (seen, Some(error.code)),
            }
        }
    });
    for _ in 0..20 {
        rig.trim(policy(None, Some(0)), 2).await;
        tokio::task::yield_now().await;
    }
    let (seen, end) = reader.await.unwrap();
    assert_eq!(seen, all[..seen.len()]);
    assert!(seen.len() == all.len() || end == Some(ErrorCode::EventsExpired), "{} {end:?}", seen.len());
    assert!(
        seen.iter()
            .filter(|one| one.kind == EventKind::TaskCompleted)
            .all(|one| data(one)["result"].is_string())
    );
}
