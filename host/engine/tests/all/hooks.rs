//! Hooks: order, every decision, and what a failing hook means.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apflow_core::error::{ErrorCode, FailureKind, TaskError};
use apflow_core::event::EventKind;
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, Decision, FailurePolicy, Hook, HookEvent, HookPoint, Subscription};
use apflow_core::task::TreeStatus;
use apflow_testkit::scripted::{Answer, ScriptedExecutor};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::setup::{Fixture, start};

type Decide = Box<dyn Fn(&HookEvent) -> Result<Decision, TaskError> + Send + Sync>;

struct Scripted {
    name: &'static str,
    points: Vec<Subscription>,
    policy: FailurePolicy,
    decide: Decide,
    heard: Arc<Mutex<Vec<(&'static str, HookEvent)>>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[async_trait]
impl Hook for Scripted {
    fn name(&self) -> &str {
        self.name
    }
    fn subscriptions(&self) -> &[Subscription] {
        &self.points
    }
    fn failure_policy(&self) -> FailurePolicy {
        self.policy
    }
    fn order(&self) -> i32 {
        0
    }
    async fn on_event(&self, event: HookEvent) -> Result<Decision, TaskError> {
        let decision = (self.decide)(&event);
        self.heard.lock().unwrap().push((self.name, event));
        decision
    }
}

#[derive(Default)]
struct Heard(Arc<Mutex<Vec<(&'static str, HookEvent)>>>);

impl Heard {
    fn hook(
        &self,
        name: &'static str,
        point: HookPoint,
        policy: FailurePolicy,
        decide: impl Fn(&HookEvent) -> Result<Decision, TaskError> + Send + Sync + 'static,
    ) -> Arc<dyn Hook> {
        let points = vec![Subscription { point, executors: Vec::new() }];
        let heard = Arc::clone(&self.0);
        Arc::new(Scripted { name, points, policy, decide: Box::new(decide), heard })
    }
}

async fn fixture(hooks: Vec<Arc<dyn Hook>>) -> (Fixture, Arc<ScriptedExecutor>) {
    let executor = Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo));
    let mut catalog = Catalog { hooks, ..Catalog::default() };
    catalog.executors.insert(apflow_testkit::trees::EXECUTOR.into(), Arc::clone(&executor) as _);
    (start(Arc::new(catalog)).await, executor)
}

fn one(inputs: Value) -> Value {
    json!([{"name": "a", "id": "a", "executor": apflow_testkit::trees::EXECUTOR, "inputs": inputs}])
}

fn broken() -> TaskError {
    TaskError::new(FailureKind::Plugin, "trap", "it fell over")
}

#[tokio::test]
async fn inputs_pass_from_hook_to_hook_in_order() {
    let heard = Heard::default();
    let add = |key: &'static str| {
        move |event: &HookEvent| {
            let mut inputs = event.inputs.as_ref().unwrap().value();
            inputs[key] = json!(inputs.as_object().unwrap().len());
            Ok(Decision::ReplaceInputs(Json::from(inputs)))
        }
    };
    let first = heard.hook("first", HookPoint::BeforeRun, FailurePolicy::Closed, add("first"));
    let second = heard.hook("second", HookPoint::BeforeRun, FailurePolicy::Closed, add("second"));
    let (fixture, _) = fixture(vec![first, second]).await;
    assert_eq!(fixture.run(one(json!({"x": 0}))).await, TreeStatus::Completed);
    let task = fixture.task("a").await;
    assert_eq!(task.result.unwrap().value(), json!({"x": 0, "first": 1, "second": 2}));
    assert_eq!(task.inputs.value(), json!({"x": 0, "first": 1, "second": 2}));
}

#[tokio::test]
async fn a_supplied_result_skips_the_run() {
    let heard = Heard::default();
    let supply = |_: &HookEvent| Ok(Decision::SupplyResult(Json::from(json!({"cached": true}))));
    let hook = heard.hook("cache", HookPoint::BeforeRun, FailurePolicy::Closed, supply);
    let (fixture, executor) = fixture(vec![hook]).await;
    assert_eq!(fixture.run(one(json!({}))).await, TreeStatus::Completed);
    assert_eq!(fixture.task("a").await.result.unwrap().value(), json!({"cached": true}));
    assert!(executor.calls().is_empty());
}

#[tokio::test]
async fn a_veto_fails_the_task_with_the_reason() {
    let heard = Heard::default();
    let refuse =
        |_: &HookEvent| Ok(Decision::Veto(TaskError::new(FailureKind::Permanent, "quota", "used up")));
    let hook = heard.hook("quota", HookPoint::BeforeRun, FailurePolicy::Closed, refuse);
    let (fixture, executor) = fixture(vec![hook]).await;
    assert_eq!(fixture.run(one(json!({}))).await, TreeStatus::Failed);
    let error = fixture.task("a").await.error.unwrap();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("quota", "Hook 'quota' refused: used up"));
    assert!(executor.calls().is_empty());
}

#[tokio::test]
async fn a_delay_costs_no_attempt() {
    let heard = Heard::default();
    let delays = Mutex::new(1);
    let delay = move |_: &HookEvent| {
        let mut left = delays.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Ok(Decision::Delay(Duration::from_secs(30)));
        }
        Ok(Decision::Proceed)
    };
    let hook = heard.hook("later", HookPoint::BeforeRun, FailurePolicy::Closed, delay);
    let (fixture, _) = fixture(vec![hook]).await;
    let started = fixture.engine.submit(one(json!({}))).await.unwrap();
    fixture.event(EventKind::TaskDelayed, Some("a")).await;
    fixture.advance(Duration::from_secs(30));
    let end = fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!((end.status, fixture.task("a").await.attempt), (TreeStatus::Completed, 1));
}

#[tokio::test]
async fn a_broken_hook_fails_closed_or_open_as_the_operator_says() {
    for (policy, expected) in
        [(FailurePolicy::Closed, TreeStatus::Failed), (FailurePolicy::Open, TreeStatus::Completed)]
    {
        let heard = Heard::default();
        let hook = heard.hook("broken", HookPoint::BeforeRun, policy, |_: &HookEvent| Err(broken()));
        let (fixture, _) = fixture(vec![hook]).await;
        assert_eq!(fixture.run(one(json!({}))).await, expected);
    }
}

#[tokio::test]
async fn a_hook_after_the_run_hears_the_outcome() {
    let heard = Heard::default();
    let hook =
        heard.hook("audit", HookPoint::AfterRun, FailurePolicy::Open, |_: &HookEvent| Ok(Decision::Proceed));
    let (fixture, _) = fixture(vec![hook]).await;
    fixture.run(one(json!({"x": 1}))).await;
    let events = heard.0.lock().unwrap();
    let outcome = events[0].1.outcome.as_ref().unwrap().value();
    assert_eq!((&outcome["status"], &outcome["result"]["x"]), (&json!("completed"), &json!(1)));
}

#[tokio::test]
async fn a_tree_can_be_vetoed_before_it_is_stored() {
    let heard = Heard::default();
    let refuse = |_: &HookEvent| {
        Ok(Decision::Veto(TaskError::new(FailureKind::Permanent, "closed", "come back later")))
    };
    let hook = heard.hook("door", HookPoint::TreeCreated, FailurePolicy::Closed, refuse);
    let (fixture, _) = fixture(vec![hook]).await;
    let error = fixture.engine.submit(one(json!({}))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Vetoed);
    assert!(error.message.contains("come back later"), "{error}");
    assert_eq!(fixture.engine.count(Default::default()).await.unwrap().total(), 0);
}

#[tokio::test]
async fn a_ready_task_is_asked_about_before_its_inputs_and_put_off() {
    let heard = Heard::default();
    let delays = Mutex::new(1);
    let delay = move |event: &HookEvent| {
        assert_eq!((event.inputs.as_ref(), event.attempt), (None, 1));
        let mut left = delays.lock().unwrap();
        *left -= 1;
        Ok(if *left == 0 { Decision::Delay(Duration::from_secs(60)) } else { Decision::Proceed })
    };
    let hook = heard.hook("night", HookPoint::TaskReady, FailurePolicy::Closed, delay);
    let (fixture, executor) = fixture(vec![hook]).await;
    let started = fixture.engine.submit(one(json!({}))).await.unwrap();
    fixture.event(EventKind::TaskDelayed, Some("a")).await;
    let why = fixture.engine.explain(&"a".into()).await.unwrap();
    assert_eq!((why.blockers[0].code, &why.blockers[0].data["hook"]), ("due", &json!("night")));
    assert!(why.summary.starts_with("Hook 'night' put it off until "), "{}", why.summary);
    assert!(why.summary.ends_with(" at task.ready"), "{}", why.summary);
    assert_eq!((why.hooks[0].decision.as_str(), why.hooks[0].delay_ms), ("delay", Some(60_000)));
    assert!(executor.calls().is_empty());
    assert_eq!(fixture.engine.health().await.running_tasks_count, 0, "a delayed task holds no place");
    fixture.advance(Duration::from_secs(60));
    fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    let attempt = fixture.task("a").await.attempt;
    assert_eq!((heard.0.lock().unwrap().len(), attempt), (2, 1));
}

#[tokio::test]
async fn a_hook_that_does_not_want_a_task_here_gives_it_back_for_a_while() {
    let heard = Heard::default();
    let places = Mutex::new(0);
    let place = move |event: &HookEvent| {
        assert_eq!(event.extra.value(), json!({"node": "local"}));
        let mut asked = places.lock().unwrap();
        *asked += 1;
        let refusal = TaskError::new(FailureKind::Permanent, "gpu", "no GPU here");
        Ok(match *asked {
            1 => Decision::Veto(refusal),
            2 => Decision::Veto(refusal.with("retry_after_ms", 250)),
            _ => Decision::Proceed,
        })
    };
    let hook = heard.hook("gpus", HookPoint::Placement, FailurePolicy::Closed, place);
    let (fixture, _) = fixture(vec![hook]).await;
    let started = fixture.engine.submit(one(json!({}))).await.unwrap();
    for (nth, wait) in [Duration::from_secs(5), Duration::from_millis(250)].into_iter().enumerate() {
        fixture.nth_event(nth, EventKind::TaskDelayed, Some("a")).await;
        let why = fixture.engine.explain(&"a".into()).await.unwrap();
        let due = why.blockers[0].data["due"].as_str().unwrap().to_owned();
        assert_eq!(why.summary, format!("Hook 'gpus' put it off until {due} at placement: no GPU here"));
        assert_eq!(why.hooks[0].delay_ms, Some(wait.as_millis() as u64));
        fixture.advance(wait);
    }
    let end = fixture.engine.wait(started.tree, 1, &started.root).await.unwrap();
    assert_eq!((end.status, fixture.task("a").await.attempt), (TreeStatus::Completed, 1));
}

#[tokio::test]
async fn what_hooks_did_stays_with_the_attempt() {
    let heard = Heard::default();
    let replace = |_: &HookEvent| Ok(Decision::ReplaceInputs(Json::from(json!({"b": 1}))));
    let first = heard.hook("first", HookPoint::BeforeRun, FailurePolicy::Closed, replace);
    let second =
        heard.hook("second", HookPoint::BeforeRun, FailurePolicy::Open, |_: &HookEvent| Err(broken()));
    let silent = heard
        .hook("silent", HookPoint::AfterRun, FailurePolicy::Closed, |_: &HookEvent| Ok(Decision::Proceed));
    let (fixture, _) = fixture(vec![first, second, silent]).await;
    assert_eq!(fixture.run(one(json!({}))).await, TreeStatus::Completed);
    let kept = fixture.engine.attempts(&"a".into()).await.unwrap()[0].receipt.clone().unwrap().value();
    assert_eq!(
        kept["hooks"],
        json!([
            {"hook": "first", "point": "task.before-run", "decision": "replace-inputs"},
            {"hook": "second", "point": "task.before-run", "decision": "failed", "code": "trap",
             "message": "it fell over", "policy": "open"},
        ])
    );
    let why = fixture.engine.explain(&"a".into()).await.unwrap();
    assert_eq!(why.hooks.iter().map(|one| one.hook.as_str()).collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test]
async fn a_decision_that_means_nothing_at_its_point_is_a_failure_of_the_hook() {
    let all = || {
        let reason = TaskError::new(FailureKind::Permanent, "no", "no");
        [
            Decision::Delay(Duration::ZERO),
            Decision::Veto(reason),
            Decision::SupplyResult(Json::null()),
            Decision::ReplaceInputs(Json::object()),
        ]
    };
    for point in [HookPoint::TaskReady, HookPoint::Placement, HookPoint::AfterRun, HookPoint::TreeCreated] {
        for wrong in all().into_iter().filter(|decision| !decision.is_honoured_at(point)) {
            let heard = Heard::default();
            let (name, says) = (wrong.as_str(), wrong.clone());
            let decide = move |_: &HookEvent| Ok(says.clone());
            let hook = heard.hook("odd", point, FailurePolicy::Closed, decide);
            let (fixture, _) = fixture(vec![hook]).await;
            if point == HookPoint::TreeCreated {
                let error = fixture.engine.submit(one(json!({}))).await.unwrap_err();
                assert_eq!(error.data["reason"], "hook_failed", "{name}: {error}");
                continue;
            }
            assert_eq!(fixture.run(one(json!({}))).await, TreeStatus::Failed, "{name}");
            let error = fixture.task("a").await.error.unwrap();
            assert_eq!((error.code.as_str(), &error.data["reason"]), ("hook_failed", &json!("bad_decision")));
            assert!(error.message.contains(name) && error.message.contains(point.as_str()), "{error}");
        }
    }
}

#[tokio::test]
async fn a_hook_that_listens_to_other_executors_hears_nothing() {
    let heard = Heard::default();
    let points = vec![Subscription { point: HookPoint::BeforeRun, executors: vec!["other".into()] }];
    let hook = Scripted {
        name: "picky",
        points,
        policy: FailurePolicy::Closed,
        decide: Box::new(|_: &HookEvent| Err(broken())),
        heard: Arc::clone(&heard.0),
    };
    let (fixture, _) = fixture(vec![Arc::new(hook)]).await;
    assert_eq!(fixture.run(one(json!({}))).await, TreeStatus::Completed);
    assert!(heard.0.lock().unwrap().is_empty());
}
