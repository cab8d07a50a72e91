//! Schedules: they are written with the tree and by edits, a due time is handled once, and the end of an execution is the
//! end of its run.

#![expect(clippy::needless_pass_by_value, reason = "tests hand over JSON as they write it")]

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::id::TaskId;
use apflow_core::schedule::{
    MissedPolicy, OverlapPolicy, ScheduleFilter, SchedulePatch, ScheduleRun, ScheduleRunStatus, ScheduleType,
};
use apflow_core::store::{CompleteSchedule, Fired, Page, Store, TaskPatch};
use apflow_core::task::{Task, TaskStatus};
use serde_json::{Value, json};

use super::rig::{Rig, START, failed};
use crate::trees::outline;

const ALL: Page = Page { limit: 1_000, offset: 0 };

/// An outline whose root runs every minute.
fn minutely(text: &str, more: Value) -> Value {
    let mut tasks = outline(text);
    let schedule =
        json!({"schedule_type": "interval", "schedule_expression": "60", "schedule_enabled": true});
    for fields in [schedule, more] {
        tasks[0].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    }
    tasks
}

/// So many seconds after the start of the case.
fn at(secs: u64) -> Timestamp {
    START.plus(Duration::from_secs(secs))
}

fn change(fields: Value) -> TaskPatch {
    let schedule = SchedulePatch::take(&mut fields.as_object().unwrap().clone()).unwrap();
    TaskPatch { schedule, ..TaskPatch::default() }
}

fn ids(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.id.as_str()).collect()
}

impl Rig {
    async fn fire(&self, task: &str, due: Timestamp) -> Fired {
        self.store.fire_schedule(&task.into(), due, self.now).await.unwrap()
    }

    /// Fires what must start an execution; gives its number.
    async fn fired(&self, task: &str, due: Timestamp) -> u32 {
        match self.fire(task, due).await {
            Fired::Started { root, execution, .. } => {
                assert_eq!(root.as_str(), task);
                execution
            }
            other => panic!("{task} at {due} did not start: {other:?}"),
        }
    }

    async fn runs(&self, task: &str) -> Vec<ScheduleRun> {
        self.store.schedule_runs(&task.into(), ALL).await.unwrap()
    }

    /// `(due, status)` of the history, oldest first, the due time in seconds after the start.
    async fn history(&self, task: &str) -> Vec<(u64, ScheduleRunStatus)> {
        let runs = self.runs(task).await.into_iter().rev();
        runs.map(|run| (run.due_at.since(START).as_secs(), run.status)).collect()
    }

    /// The tasks that are due, and the next due time, in seconds after the start.
    async fn due(&self) -> (Vec<(String, u64)>, Option<u64>, bool) {
        let found = self.store.due_schedules(self.now, 100).await.unwrap();
        let secs = |at: Timestamp| at.since(START).as_secs();
        let due = found.due.into_iter().map(|(task, due)| (task.to_string(), secs(due))).collect();
        (due, found.next.map(secs), found.waiting)
    }
}

/// A schedule is written with its tree, whatever the size of that, and is part of the root's task object.
pub async fn a_schedule_is_written_with_its_tree(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let more = json!({
        "schedule_start_at": "2023-11-14T22:13:30Z", "schedule_end_at": "2030-01-01T00:00:00Z",
        "schedule_timezone": "Europe/Berlin", "schedule_missed": "all", "schedule_overlap": "queue", "max_runs": 7,
    });
    let children: String = (0..250).map(|i| format!("; c{i}")).collect();
    rig.insert_json(minutely(&format!("r{children}"), more), false).await;
    let schedule = rig.task("r").await.schedule;
    assert_eq!(schedule.schedule_type, Some(ScheduleType::Interval));
    assert_eq!(schedule.schedule_expression.as_deref(), Some("60"));
    assert!(schedule.schedule_enabled);
    assert_eq!(schedule.schedule_start_at, Some(at(10)));
    assert_eq!(schedule.schedule_end_at.unwrap().to_string(), "2030-01-01T00:00:00Z");
    assert_eq!(schedule.schedule_timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(
        (schedule.schedule_missed, schedule.schedule_overlap),
        (Some(MissedPolicy::All), Some(OverlapPolicy::Queue))
    );
    assert_eq!((schedule.next_run_at, schedule.last_run_at), (Some(at(70)), None));
    assert_eq!((schedule.max_runs, schedule.run_count), (Some(7), 0));
    assert!(!rig.task("c249").await.schedule.is_set());
    // And a tree that starts at once has one all the same.
    rig.insert_json(minutely("s", json!({})), true).await;
    assert_eq!(rig.task("s").await.schedule.next_run_at, Some(at(60)));
    assert_eq!(rig.drain().await, ["s"]);
    assert_eq!(rig.task("s").await.schedule.run_count, 0);
}

/// Edits set, change and take away; what cannot be is refused and changes nothing.
pub async fn edits_set_change_and_take_away(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; c").await;
    let daily = json!({"schedule_type": "daily", "schedule_expression": "06:00", "schedule_enabled": true});
    let task = rig.update("r", change(daily.clone())).await;
    assert_eq!(task.schedule.next_run_at.unwrap().to_string(), "2023-11-15T06:00:00Z");
    let task = rig.update("r", change(json!({"schedule_timezone": "Asia/Tokyo"}))).await;
    assert_eq!(task.schedule.next_run_at.unwrap().to_string(), "2023-11-15T21:00:00Z");
    assert_eq!(task.schedule.schedule_expression.as_deref(), Some("06:00"));
    let task = rig.update("r", change(json!({"run_count": 3, "next_run_at": "2024-01-01T00:00:00Z"}))).await;
    assert_eq!(
        (task.schedule.run_count, task.schedule.next_run_at.unwrap().to_string()),
        (3, "2024-01-01T00:00:00Z".into())
    );
    let begin = SchedulePatch { begin_at: Some(at(0)), ..SchedulePatch::default() };
    let task = rig.update("r", TaskPatch { schedule: Some(begin), ..TaskPatch::default() }).await;
    assert_eq!(task.schedule.next_run_at.unwrap().to_string(), "2023-11-15T21:00:00Z");

    let (code, text) = rig.refused_update("c", change(daily)).await;
    assert_eq!(code, ErrorCode::ScheduleInvalid);
    assert!(text.contains("'c' is not the root"), "{text}");
    let wrong = TaskPatch { name: Some("other".into()), ..change(json!({"schedule_expression": "25:00"})) };
    let (code, text) = rig.refused_update("r", wrong).await;
    assert_eq!(code, ErrorCode::ScheduleInvalid);
    assert!(text.contains("'schedule_expression' is '25:00'"), "{text}");

    let task = rig.update("r", change(json!({"schedule_type": null}))).await;
    assert_eq!(task.schedule, Default::default());
}

/// A due time runs the whole tree from the beginning, is on record, and the schedule goes on.
pub async fn a_due_time_runs_the_whole_tree(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r <- a b; a; b", json!({})), false).await;
    assert_eq!(rig.fire("r", at(60)).await, Fired::Stale, "it is not due yet");
    rig.wait_ms(60_500);
    assert_eq!(rig.fire("r", at(61)).await, Fired::Stale, "that is no due time");
    assert_eq!(rig.fired("r", at(60)).await, 1);
    assert_eq!(
        rig.runs("r").await,
        [ScheduleRun {
            due_at: at(60),
            status: ScheduleRunStatus::Running,
            due_count: 1,
            execution: Some(1),
            started_at: rig.now,
            ended_at: None,
            error: None,
        }]
    );
    assert_eq!(rig.task("r").await.schedule.next_run_at, Some(at(120)));
    rig.wait_ms(1_000);
    assert_eq!(rig.drain().await, ["a", "b", "r"]);
    let run = rig.runs("r").await.remove(0);
    assert_eq!((run.status, run.ended_at), (ScheduleRunStatus::Completed, Some(rig.now)));
    let schedule = rig.task("r").await.schedule;
    assert_eq!(
        (schedule.run_count, schedule.last_run_at, schedule.schedule_enabled),
        (1, Some(rig.now), true)
    );
    // Again, although all is completed.
    rig.wait_ms(60_000);
    assert_eq!(rig.fired("r", at(120)).await, 2);
    assert_eq!(rig.statuses(&["r", "a", "b"]).await, "pending pending pending");
    assert_eq!(rig.drain().await, ["a", "b", "r"]);
    assert_eq!(rig.task("r").await.schedule.run_count, 2);
}

/// What failed, was blocked or was cancelled runs again; how a run ended is on record.
pub async fn every_run_begins_clean(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r <- a; a; b", json!({})), false).await;
    rig.wait_ms(60_000);
    rig.fired("r", at(60)).await;
    let runs = rig.claim_exactly(&["a", "b"]).await;
    rig.fail(&runs[0]).await;
    rig.complete(&runs[1..]).await;
    rig.wait_ms(60_000);
    rig.fired("r", at(120)).await;
    rig.cancel(&["r"], true).await;
    assert_eq!(rig.statuses(&["r", "a", "b"]).await, "cancelled cancelled cancelled");
    rig.wait_ms(60_000);
    rig.fired("r", at(180)).await;
    assert_eq!(rig.drain().await, ["a", "b", "r"]);
    use ScheduleRunStatus::{Cancelled, Completed, Failed};
    assert_eq!(rig.history("r").await, [(60, Failed), (120, Cancelled), (180, Completed)]);
    assert_eq!(rig.task("r").await.schedule.run_count, 3);
}

/// Of any number of hosts that fire the same due time, one does.
pub async fn a_due_time_is_handled_once(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r", json!({})), false).await;
    rig.wait_ms(60_000);
    let hosts: Vec<_> = (0..8)
        .map(|_| {
            let (store, now) = (Arc::clone(&rig.store), rig.now);
            tokio::spawn(async move { store.fire_schedule(&TaskId::from("r"), at(60), now).await.unwrap() })
        })
        .collect();
    let mut started = 0;
    for host in hosts {
        match host.await.unwrap() {
            Fired::Started { .. } => started += 1,
            other => assert_eq!(other, Fired::Stale),
        }
    }
    assert_eq!(started, 1);
    rig.drain().await;
    assert_eq!(rig.runs("r").await.len(), 1);
    // Not even an owner who sets the clock back gets a second run for it.
    rig.update("r", change(json!({"next_run_at": at(60).to_string()}))).await;
    assert_eq!(rig.fire("r", at(60)).await, Fired::Passed);
    assert_eq!(rig.task("r").await.schedule.next_run_at, Some(at(120)));
    assert_eq!((rig.runs("r").await.len(), rig.claim(10).await.len()), (1, 0));
}

/// During a run a due time is skipped, or waits for the end, as the policy says.
pub async fn due_times_during_a_run(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("s", json!({"schedule_overlap": "skip"})), true).await;
    rig.insert_json(minutely("q", json!({"schedule_overlap": "queue"})), true).await;
    let held = rig.claim_exactly(&["s", "q"]).await;
    rig.wait_ms(60_000);
    assert_eq!(rig.due().await, (vec![("s".into(), 60)], None, true));
    assert_eq!(rig.fire("s", at(60)).await, Fired::Passed);
    assert_eq!(rig.fire("q", at(60)).await, Fired::Waiting);
    assert_eq!(rig.history("s").await, [(60, ScheduleRunStatus::Skipped)]);
    assert_eq!(rig.history("q").await, []);
    assert_eq!(rig.due().await, (vec![], Some(120), true));
    rig.wait_ms(61_000);
    rig.complete(&held).await;
    assert_eq!(rig.due().await, (vec![("q".into(), 60), ("s".into(), 120)], None, false));
    // What waited is one run, for both due times.
    rig.fired("q", at(60)).await;
    assert_eq!(rig.runs("q").await[0].due_count, 2);
    assert_eq!(rig.task("q").await.schedule.next_run_at, Some(at(180)));
}

/// Due times that nobody saw are made up for as the policy says.
pub async fn missed_due_times(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    for (name, policy) in [("n", "skip"), ("o", "once"), ("a", "all")] {
        rig.insert_json(minutely(name, json!({"schedule_missed": policy})), false).await;
    }
    rig.wait_ms(190_000);
    assert_eq!(rig.due().await.0, [("n".into(), 60), ("o".into(), 60), ("a".into(), 60)]);
    assert_eq!(rig.fire("n", at(60)).await, Fired::Passed);
    rig.fired("o", at(60)).await;
    rig.fired("a", at(60)).await;
    assert_eq!(rig.history("n").await, [(60, ScheduleRunStatus::Missed)]);
    assert_eq!((rig.runs("n").await[0].due_count, rig.runs("o").await[0].due_count), (3, 3));
    // The others that are made up for come one after another.
    assert_eq!(rig.fire("a", at(120)).await, Fired::Waiting);
    assert_eq!(rig.due().await, (vec![], Some(240), true));
    for due in [120, 180] {
        rig.drain().await;
        rig.fired("a", at(due)).await;
    }
    rig.drain().await;
    let done = ScheduleRunStatus::Completed;
    assert_eq!(rig.history("a").await, [(60, done), (120, done), (180, done)]);
    for name in ["n", "o", "a"] {
        assert_eq!(rig.task(name).await.schedule.next_run_at, Some(at(240)), "{name}");
    }
}

/// A schedule that comes to its end is out of force when its last run has ended.
pub async fn the_last_run_ends_the_schedule(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r", json!({"max_runs": 1})), false).await;
    rig.insert_json(
        minutely("m", json!({"schedule_missed": "skip", "schedule_end_at": at(90).to_string()})),
        false,
    )
    .await;
    rig.wait_ms(60_000);
    rig.fired("r", at(60)).await;
    let schedule = rig.task("r").await.schedule;
    assert_eq!((schedule.next_run_at, schedule.schedule_enabled, schedule.run_count), (None, true, 0));
    rig.drain().await;
    let schedule = rig.task("r").await.schedule;
    assert_eq!((schedule.next_run_at, schedule.schedule_enabled, schedule.run_count), (None, false, 1));
    rig.wait_ms(600_000);
    assert_eq!(rig.fire("m", at(60)).await, Fired::Passed);
    let schedule = rig.task("m").await.schedule;
    assert_eq!((schedule.next_run_at, schedule.schedule_enabled, schedule.run_count), (None, false, 0));
    assert_eq!(rig.due().await, (vec![], None, false));
}

/// What is out of force is not due, and a run that somebody asked for is no run of the schedule.
pub async fn only_what_is_in_force_is_due(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r", json!({"schedule_enabled": false})), false).await;
    rig.wait_ms(60_000);
    assert_eq!(rig.due().await, (vec![], None, false));
    assert_eq!(rig.fire("r", at(60)).await, Fired::Stale);
    rig.execute("r").await;
    rig.drain().await;
    let schedule = rig.task("r").await.schedule;
    assert_eq!((schedule.run_count, schedule.last_run_at), (0, None));
    // In force again, it begins anew.
    let task = rig.update("r", change(json!({"schedule_enabled": true}))).await;
    assert_eq!(task.schedule.next_run_at, Some(at(120)));
}

/// A run that somebody else made is counted once and on record; one that is under way here is not taken away.
pub async fn runs_are_reported_from_outside(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r", json!({"max_runs": 3})), false).await;
    rig.insert("plain").await;
    rig.wait_ms(1_000);
    let report = |task: &str, failure: Option<&str>, now| CompleteSchedule {
        task: task.into(),
        failure: failure.map(str::to_owned),
        advance: true,
        now,
    };
    let task = rig.store.complete_schedule(report("r", None, rig.now)).await.unwrap();
    assert_eq!((task.status, task.schedule.run_count), (TaskStatus::Pending, 1));
    assert_eq!((task.schedule.last_run_at, task.schedule.next_run_at), (Some(rig.now), Some(at(120))));
    rig.store.complete_schedule(report("r", Some("no power"), rig.now)).await.unwrap();
    let run = rig.runs("r").await.remove(0);
    assert_eq!(
        (run.due_at, run.status, run.error.as_deref()),
        (at(120), ScheduleRunStatus::Failed, Some("no power"))
    );
    assert_eq!((run.execution, run.ended_at), (None, Some(rig.now)));
    rig.wait_ms(180_000);
    rig.fired("r", at(180)).await;
    let refused = rig.store.complete_schedule(report("r", None, rig.now)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AlreadyExecuting);
    rig.drain().await;
    assert_eq!(rig.task("r").await.schedule.run_count, 3);
    let none = rig.store.complete_schedule(report("plain", None, rig.now)).await.unwrap_err();
    assert_eq!(none.code, ErrorCode::ScheduleInvalid);
    let unknown = rig.store.complete_schedule(report("nobody", None, rig.now)).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::TaskNotFound);
}

/// Lists are by next due time and filtered; the history is paged.
pub async fn lists_are_ordered_and_filtered(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let owned = json!({"user_id": "ann", "schedule_expression": "30"});
    rig.insert_json(minutely("slow", json!({"schedule_expression": "90"})), false).await;
    rig.insert_json(
        minutely("past", json!({"schedule_type": "once", "schedule_expression": "2020-01-01T00:00:00Z"})),
        false,
    )
    .await;
    rig.insert_json(minutely("fast", owned), false).await;
    rig.insert_json(minutely("off", json!({"schedule_enabled": false})), false).await;
    rig.insert("plain").await;
    let list = async |filter: ScheduleFilter, page| rig.store.schedules(filter, page).await.unwrap();
    let any = ScheduleFilter::default;
    assert_eq!(ids(&list(any(), ALL).await), ["fast", "off", "slow", "past"]);
    assert_eq!(ids(&list(any(), Page { limit: 2, offset: 1 }).await), ["off", "slow"]);
    let enabled = ScheduleFilter { enabled_only: true, ..any() };
    assert_eq!(ids(&list(enabled, ALL).await), ["fast", "slow", "past"]);
    let once = ScheduleFilter { schedule_type: Some(ScheduleType::Once), ..any() };
    assert_eq!(ids(&list(once, ALL).await), ["past"]);
    let ann = ScheduleFilter { user_id: Some("ann".into()), ..any() };
    assert_eq!(ids(&list(ann, ALL).await), ["fast"]);
    let running = ScheduleFilter { statuses: vec![TaskStatus::InProgress], ..any() };
    assert_eq!(ids(&list(running, ALL).await), [] as [&str; 0]);
    let due = |secs| ScheduleFilter { due_by: Some(at(secs)), ..any() };
    assert_eq!(ids(&list(due(29), ALL).await), [] as [&str; 0]);
    assert_eq!(ids(&list(due(90), ALL).await), ["fast", "slow"]);
    assert!(rig.store.schedule_runs(&"nobody".into(), ALL).await.unwrap().is_empty());
    for due in [30, 60] {
        rig.now = at(due);
        rig.fired("fast", at(due)).await;
        rig.drain().await;
    }
    let page = Page { limit: 1, offset: 1 };
    let oldest = rig.store.schedule_runs(&"fast".into(), page).await.unwrap();
    assert_eq!(oldest.iter().map(|run| run.due_at).collect::<Vec<_>>(), [at(30)]);
}

/// A tree takes its schedule with it; its name is free for another.
pub async fn a_deleted_tree_takes_its_schedule_along(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r", json!({"schedule_missed": "skip"})), false).await;
    rig.wait_ms(600_000);
    assert_eq!(rig.fire("r", at(60)).await, Fired::Passed);
    rig.store.delete(&"r".into(), rig.now).await.unwrap();
    assert_eq!(rig.due().await, (vec![], None, false));
    assert_eq!(rig.fire("r", at(660)).await, Fired::Stale);
    rig.insert("r").await;
    assert!(!rig.task("r").await.schedule.is_set());
    assert!(rig.runs("r").await.is_empty());
}

/// A run whose node dies is still the schedule's run when another node ends it.
pub async fn a_rescued_run_is_still_the_schedules(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r", json!({})), false).await;
    rig.wait_ms(60_000);
    rig.fired("r", at(60)).await;
    let other = rig.open("node-2", 1_000).await;
    assert_eq!(rig.turn_of(&other, Vec::new(), 1).await.claimed.len(), 1);
    rig.wait_ms(2_000);
    assert_eq!(rig.store.rescue(rig.now).await.unwrap(), 1);
    let run = rig.claim_one("r").await;
    rig.turn(vec![failed(&run)], 0).await;
    assert_eq!(rig.history("r").await, [(60, ScheduleRunStatus::Failed)]);
    let started = rig.only_event("r", EventKind::TreeStarted, None).await;
    assert_eq!(started.attempt, 1);
}

/// A due time makes cancelled tasks pending again, so one that never ran can be cancelled more than once.
pub async fn a_task_that_never_ran_is_cancelled_again(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(minutely("r <- a; a", json!({})), false).await;
    for round in 1..=3 {
        rig.now = at(60 * round);
        rig.fired("r", at(60 * round)).await;
        // One stands in waiting, the other in ready.
        rig.cancel(&["r", "a"], true).await;
    }
    for task in ["r", "a"] {
        let attempts = rig.store.attempts(&task.into()).await.unwrap();
        assert_eq!(attempts.iter().map(|one| one.attempt).collect::<Vec<_>>(), [0, 1, 2], "{task}");
        assert_eq!(rig.task(task).await.attempt, 2);
    }
    rig.now = at(240);
    rig.fired("r", at(240)).await;
    assert_eq!(rig.claim_one("a").await.attempt, 3);
}
