//! Hooks and collectors: the other two kinds of plugins, called as the engine calls them.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::FailureKind;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::plugin::{Collector, Decision, FailurePolicy, Hook, HookEvent, HookPoint, Plugins};
use apflow_wasm::WasmPlugins;
use serde_json::{Value, json};

use crate::harness::{PATIENCE, plugins};

fn event(metadata: &Value) -> HookEvent {
    HookEvent {
        point: HookPoint::BeforeRun,
        at: Timestamp::from_micros(1_700_000_000_000_000),
        tree_id: TreeId::new("tree"),
        task_id: Some(TaskId::new("task")),
        executor: Some("echo".into()),
        attempt: 1,
        inputs: Some(Json::from(json!({"a": 1}))),
        outcome: None,
        subject: Json::from(json!({"name": "n", "params": {}, "metadata": metadata})),
        extra: Json::object(),
    }
}

fn hook(plugins: &WasmPlugins) -> Arc<dyn Hook> {
    Arc::clone(&plugins.catalog().hooks[0])
}

#[tokio::test]
async fn every_decision_comes_back() {
    let plugins = plugins(&["veto_hook"], "").await;
    let hook = hook(&plugins);
    assert_eq!((hook.name(), hook.order(), hook.failure_policy()), ("veto_hook", 0, FailurePolicy::Closed));
    assert!(hook.subscriptions()[0].covers(HookPoint::BeforeRun, Some("echo")));
    assert!(!hook.subscriptions()[0].covers(HookPoint::BeforeRun, Some("other")));
    let decide = |metadata: Value| {
        let hook = Arc::clone(&hook);
        async move { hook.on_event(event(&metadata)).await }
    };
    assert_eq!(decide(json!({})).await, Ok(Decision::Proceed));
    let replaced = Json::from(json!({"a": 1, "replaced": true}));
    assert_eq!(decide(json!({"decide": "replace"})).await, Ok(Decision::ReplaceInputs(replaced)));
    let Ok(Decision::SupplyResult(result)) = decide(json!({"decide": "supply"})).await else { panic!() };
    assert_eq!(result.value(), json!({"supplied": true}));
    let Ok(Decision::Veto(veto)) = decide(json!({"veto": true})).await else { panic!("no veto") };
    assert_eq!((veto.code.as_str(), veto.kind), ("vetoed", FailureKind::Permanent));
    let failed = decide(json!({"decide": "fail"})).await.unwrap_err();
    assert_eq!(failed.code, "hook_failed");
}

#[tokio::test]
async fn one_instance_remembers_and_a_crashed_one_is_replaced() {
    let plugins = plugins(&["veto_hook"], "").await;
    let hook = hook(&plugins);
    let delay = event(&json!({"decide": "delay"}));
    assert_eq!(hook.on_event(delay.clone()).await, Ok(Decision::Delay(Duration::from_millis(50))));
    assert_eq!(hook.on_event(delay.clone()).await, Ok(Decision::Proceed), "the same instance has seen it");
    let crash = hook.on_event(event(&json!({"decide": "trap"}))).await.unwrap_err();
    assert_eq!((crash.kind, crash.code.as_str()), (FailureKind::Plugin, "trap"));
    assert_eq!(
        hook.on_event(delay).await,
        Ok(Decision::Delay(Duration::from_millis(50))),
        "a new one has not"
    );
}

#[tokio::test]
async fn the_operator_sets_order_policy_and_deadline() {
    let policies = "[looping_hook.limits]\ndeadline_ms = 100\n\
                    [looping_hook.hooks]\norder = -5\nfailure = \"open\"\n";
    let plugins = plugins(&["looping_hook", "veto_hook"], policies).await;
    let hooks = plugins.catalog().hooks.clone();
    assert_eq!(hooks.iter().map(|hook| hook.name()).collect::<Vec<_>>(), ["looping_hook", "veto_hook"]);
    assert_eq!((hooks[0].order(), hooks[0].failure_policy()), (-5, FailurePolicy::Open));
    let looping =
        tokio::time::timeout(PATIENCE, hooks[0].on_event(event(&json!({"loop": true})))).await.unwrap();
    assert_eq!(looping.unwrap_err().code, "deadline_exceeded");
    assert_eq!(hooks[0].on_event(event(&json!({}))).await, Ok(Decision::Proceed));
}

fn finished(seq: i64, kind: EventKind) -> Event {
    Event {
        seq: Seq(seq),
        tree_id: TreeId::new("tree"),
        task_id: Some(TaskId::new("task")),
        executor: Some("echo".into()),
        attempt: 1,
        kind,
        at: Timestamp::from_micros(2_000_000),
        started_at: Some(Timestamp::from_micros(1_500_000)),
        data: Some(Json::from(json!({"error": {"code": "boom"}, "receipt": {"cpu_us": 5}}))),
    }
}

#[tokio::test]
async fn a_collector_keeps_its_figures_and_counts_a_repeated_batch_once() {
    let plugins = plugins(&["prometheus_collector"], "").await;
    let collector: Arc<dyn Collector> = Arc::clone(&plugins.catalog().collectors[0]);
    assert_eq!(collector.name(), "prometheus_collector");
    let batch = vec![finished(1, EventKind::TaskCompleted), finished(2, EventKind::TaskFailed)];
    collector.collect(batch.clone()).await.unwrap();
    let once = collector.render().await.unwrap();
    assert!(once.contains(r#"executor="echo",status="completed"} 1"#), "{once}");
    collector.collect(batch).await.unwrap();
    assert_eq!(collector.render().await.unwrap(), once);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_one_instance_however_many_ask() {
    let plugins = plugins(&["prometheus_collector"], "").await;
    let collector = Arc::clone(&plugins.catalog().collectors[0]);
    let renders = (0..20).map(|_| collector.render());
    collector.collect(vec![finished(1, EventKind::TaskCompleted)]).await.unwrap();
    for text in futures::future::join_all(renders).await {
        assert!(text.unwrap().contains(r#"status="completed"} 1"#));
    }
}
