//! Trees that run by themselves: when they are due, once for each due time, over restarts and beside other hosts.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::{Clock, ManualClock, Timestamp};
use apflow_core::error::ErrorCode;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{NodeId, Seq};
use apflow_core::plugin::{Catalog, FixedPlugins};
use apflow_core::schedule::{ScheduleRun, ScheduleRunStatus};
use apflow_core::store::{Page, Store};
use apflow_core::task::TreeStatus;
use apflow_engine::{Engine, EngineOptions};
use apflow_testkit::mem::MemStore;
use apflow_testkit::scripted::{Answer, Gate, ScriptedExecutor, catalog_of};
use futures::StreamExt as _;
use serde_json::{Map, Value, json};

use crate::setup::{Fixture, start};

const ALL: Page = Page { limit: 1_000, offset: 0 };

fn every(secs: u64, more: Value) -> Value {
    let mut task = json!({
        "id": "r", "name": "r", "executor": apflow_testkit::trees::EXECUTOR, "schedule_type": "interval",
        "schedule_expression": secs.to_string(), "schedule_enabled": true,
    });
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([task])
}

fn echoing() -> Arc<Catalog> {
    catalog_of([Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo)) as _])
}

/// The event that ends this execution of the tree `r`, waiting for it.
async fn end(engine: &Engine, execution: u32) -> Event {
    event(engine, execution, EventKind::ends_tree).await
}

async fn event(engine: &Engine, execution: u32, wanted: impl Fn(EventKind) -> bool) -> Event {
    let mut log = Box::pin(engine.events(Some("r".into()), Seq(0)));
    loop {
        let event = log.next().await.unwrap().unwrap();
        if event.task_id.is_none() && event.attempt == execution && wanted(event.kind) {
            return event;
        }
    }
}

async fn runs(engine: &Engine) -> Vec<ScheduleRun> {
    engine.schedule_runs(&"r".into(), ALL).await.unwrap()
}

fn changes(fields: Value) -> Map<String, Value> {
    fields.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_due_tree_runs_and_keeps_to_its_grid() {
    let fixture = start(echoing()).await;
    fixture.engine.create(every(60, json!({}))).await.unwrap();
    let first = fixture.task("r").await.schedule.next_run_at.unwrap();
    for (execution, late) in [(1, 0), (2, 7), (3, 21)] {
        // Each look comes late, by more and more; the due times stay where they are.
        fixture.advance(Duration::from_secs(60 + late));
        assert_eq!(end(&fixture.engine, execution).await.kind, EventKind::TreeCompleted);
    }
    let due: Vec<_> = runs(&fixture.engine).await.iter().rev().map(|run| run.due_at).collect();
    let grid = |n: u64| first.plus(Duration::from_secs(60 * n));
    assert_eq!(due, [grid(0), grid(1), grid(2)]);
    let schedule = fixture.task("r").await.schedule;
    assert_eq!((schedule.run_count, schedule.next_run_at), (3, Some(grid(3))));
    assert_eq!(schedule.last_run_at, Some(fixture.clock.now()));
}

#[tokio::test]
async fn setting_a_schedule_is_all_that_it_takes() {
    let fixture = start(echoing()).await;
    fixture.run(json!([{"id": "r", "name": "r", "executor": apflow_testkit::trees::EXECUTOR}])).await;
    let set = json!({"schedule_type": "interval", "schedule_expression": "5", "schedule_enabled": true, "max_runs": 1});
    let task = fixture.engine.update(&"r".into(), changes(set)).await.unwrap();
    assert_eq!(task.schedule.next_run_at, Some(fixture.clock.now().plus(Duration::from_secs(5))));
    fixture.advance(Duration::from_secs(5));
    end(&fixture.engine, 2).await;
    let schedule = fixture.task("r").await.schedule;
    assert_eq!((schedule.run_count, schedule.schedule_enabled, schedule.next_run_at), (1, false, None));
    let wrong = fixture.engine.update(&"r".into(), changes(json!({"schedule_expression": "soon"}))).await;
    assert_eq!(wrong.unwrap_err().code, ErrorCode::ScheduleInvalid);
}

#[tokio::test]
async fn what_waits_for_a_run_follows_it() {
    let gate = Gate::new();
    let answers = [Answer::Echo.behind(&gate), Answer::Echo];
    let fixture = start(catalog_of([Arc::new(ScriptedExecutor::new().on("r", answers)) as _])).await;
    fixture.engine.create(every(60, json!({"schedule_overlap": "queue"}))).await.unwrap();
    fixture.advance(Duration::from_secs(60));
    gate.arrivals(1).await;
    fixture.advance(Duration::from_secs(130));
    // The end of the run is what starts the next one; the clock does not move again.
    gate.open();
    assert_eq!(end(&fixture.engine, 2).await.kind, EventKind::TreeCompleted);
    let runs = runs(&fixture.engine).await;
    assert_eq!(runs.iter().map(|run| run.due_count).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_due_time_during_a_run_is_skipped_by_default() {
    let gate = Gate::new();
    let answers = [Answer::Echo.behind(&gate), Answer::Echo];
    let fixture = start(catalog_of([Arc::new(ScriptedExecutor::new().on("r", answers)) as _])).await;
    fixture.engine.create(every(60, json!({}))).await.unwrap();
    fixture.advance(Duration::from_secs(60));
    gate.arrivals(1).await;
    fixture.advance(Duration::from_secs(60));
    while runs(&fixture.engine).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    gate.open();
    end(&fixture.engine, 1).await;
    fixture.advance(Duration::from_secs(60));
    end(&fixture.engine, 2).await;
    use ScheduleRunStatus::{Completed, Skipped};
    let statuses: Vec<_> = runs(&fixture.engine).await.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [Completed, Skipped, Completed]);
}

/// An engine of its own on a store and a clock that others share.
async fn host(store: &Arc<dyn Store>, clock: &Arc<ManualClock>, node: &str, schedules: bool) -> Engine {
    let options = EngineOptions { node: NodeId::from(node), schedules, ..EngineOptions::default() };
    let (plugins, clock) = (Arc::new(FixedPlugins(echoing())), Arc::clone(clock) as Arc<dyn Clock>);
    Engine::start(Arc::clone(store), plugins, clock, options).await.unwrap()
}

#[tokio::test]
async fn due_times_while_no_host_was_there_follow_the_policy() {
    for (policy, executions, counts) in [("skip", 0, vec![5]), ("once", 1, vec![5]), ("all", 5, vec![1; 5])] {
        let store: Arc<dyn Store> = Arc::new(MemStore::new());
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
        let first = host(&store, &clock, "a", true).await;
        first.create(every(60, json!({ "schedule_missed": policy }))).await.unwrap();
        first.stop().await;
        // The due times at 60, 120, … 300 pass; the last one is more than the grace ago.
        clock.advance(Duration::from_secs(359));
        let second = host(&store, &clock, "a", true).await;
        if executions > 0 {
            end(&second, executions).await;
        }
        while runs(&second).await.len() < counts.len() {
            tokio::task::yield_now().await;
        }
        let found: Vec<_> = runs(&second).await.iter().map(|run| run.due_count).collect();
        assert_eq!(found, counts, "{policy}");
        let state = second.tree_state(&"r".into()).await.unwrap().unwrap();
        assert_eq!(state.execution, executions, "{policy}");
        second.stop().await;
    }
}

#[tokio::test]
async fn of_several_hosts_one_runs_a_due_time() {
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
    let mut hosts = Vec::new();
    for node in ["a", "b", "c"] {
        hosts.push(host(&store, &clock, node, true).await);
    }
    hosts[0].create(every(1, json!({}))).await.unwrap();
    for execution in 1..=6 {
        clock.advance(Duration::from_secs(1));
        for one in &hosts {
            one.nudge();
        }
        // Whoever ran it, each host's log shows the same.
        end(&hosts[execution as usize % 3], execution).await;
    }
    let runs = runs(&hosts[0]).await;
    assert_eq!(runs.iter().filter(|run| run.status == ScheduleRunStatus::Completed).count(), 6);
    assert_eq!(runs.len(), 6);
    for one in &hosts {
        one.stop().await;
    }
}

#[tokio::test]
async fn a_host_may_leave_schedules_to_others() {
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
    let quiet = host(&store, &clock, "quiet", false).await;
    quiet.create(every(1, json!({}))).await.unwrap();
    clock.advance(Duration::from_secs(1));
    quiet.nudge();
    // Something that the quiet host does after the nudge.
    let other =
        quiet.submit(json!([{"name": "x", "executor": apflow_testkit::trees::EXECUTOR}])).await.unwrap();
    assert_eq!(quiet.wait(other.tree, 1, &other.root).await.unwrap().status, TreeStatus::Completed);
    assert!(runs(&quiet).await.is_empty());
    let busy = host(&store, &clock, "busy", true).await;
    end(&busy, 1).await;
    busy.stop().await;
    quiet.stop().await;
}

#[tokio::test]
async fn calendars_list_what_is_planned() {
    let fixture: Fixture = start(echoing()).await;
    fixture.engine.create(every(3_600, json!({"description": "line\nline"}))).await.unwrap();
    let (text, count) =
        fixture.engine.export_schedules(Default::default(), ALL, "Work".into(), None).await.unwrap();
    assert_eq!(count, 1);
    assert!(
        text.contains("RRULE:FREQ=HOURLY;INTERVAL=1\r\n") && text.contains("DESCRIPTION:line\\nline\r\n"),
        "{text}"
    );
    let none = fixture.engine.schedule_runs(&"nobody".into(), ALL).await.unwrap_err();
    assert_eq!(none.code, ErrorCode::TaskNotFound);
}
