//! What a call gives: the result as the guest wrote it, its failure with kind and code, its progress, its receipt.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::FailureKind;
use apflow_core::json::Json;
use apflow_core::plugin::{Invocation, Plugins};
use serde_json::json;

use crate::harness::{Reports, call, executor, failure, invocation, plugins, result};

#[tokio::test]
async fn inputs_go_in_and_the_result_comes_out() {
    let plugins = plugins(&["hostile"], "").await;
    let inputs = json!({"text": "ä\u{0}😀", "n": [1, 2.5, null], "deep": {"a": {"b": {}}}});
    assert_eq!(result(&plugins, "echo", inputs.clone()).await, inputs);
    assert_eq!(result(&plugins, "returns_null", json!({})).await, json!(null));
}

#[tokio::test]
async fn a_receipt_says_what_was_used() {
    let plugins = plugins(&["hostile"], "").await;
    let outcome = call(&plugins, "echo", json!({"a": 1})).await;
    let receipt = outcome.receipt.unwrap();
    let info = &plugins.catalog().plugins[0];
    assert_eq!((receipt.plugin.as_str(), receipt.version.as_str()), ("hostile", info.version.as_str()));
    assert!(receipt.digest.len() == 16 && info.digest.starts_with(&receipt.digest));
    assert_eq!((receipt.bytes_in, receipt.bytes_out), (9, 7));
    assert!(receipt.peak_memory_bytes >= 64 * 1024, "{receipt:?}");
    assert!(receipt.wall_us >= receipt.cpu_us && receipt.cpu_us > 0, "{receipt:?}");
    assert!(receipt.hosts.is_empty());
}

#[tokio::test]
async fn waiting_in_the_host_is_not_computing() {
    let plugins = plugins(&["hostile"], "").await;
    let receipt = call(&plugins, "slow", json!({"ms": 300})).await.receipt.unwrap();
    assert!(receipt.wall_us >= 300_000 && receipt.cpu_us < receipt.wall_us / 2, "{receipt:?}");
    assert!(receipt.host_calls > 0);
    let busy = call(&plugins, "slow", json!({"ms": 100, "busy": true})).await.receipt.unwrap();
    assert!(busy.cpu_us >= 50_000, "{busy:?}");
}

#[tokio::test]
async fn progress_reaches_the_engine() {
    let plugins = plugins(&["hostile"], "").await;
    let reports = Arc::new(Reports::default());
    let call = invocation("slow", json!({"ms": 1, "reports": 3}));
    executor(&plugins, "slow").execute(call, reports.clone()).await.result.unwrap();
    let seen: Vec<f64> = reports.0.lock().unwrap().iter().map(|(fraction, _)| *fraction).collect();
    assert_eq!(seen, [0.25, 0.5, 0.75]);
}

#[tokio::test]
async fn failures_keep_kind_code_and_the_wait_they_name() {
    let plugins = plugins(&["hostile"], "").await;
    let outcome = call(&plugins, "fail_retryable", json!({"after_ms": 1500})).await;
    let failed = outcome.result.unwrap_err();
    assert_eq!((failed.error.kind, failed.error.code.as_str()), (FailureKind::Retryable, "flaky"));
    assert_eq!(failed.retry_after, Some(Duration::from_millis(1500)));
    assert!(outcome.receipt.is_some());
    let second = Invocation { attempt: 2, ..invocation("fail_retryable", json!({})) };
    let outcome = executor(&plugins, "fail_retryable").execute(second, Arc::new(Reports::default())).await;
    assert_eq!(outcome.result.unwrap().value(), json!({"attempt": 2, "idempotency_key": "task:1"}));
    let error = failure(&plugins, "read_env", json!({"nam": 1})).await;
    assert_eq!(error.kind, FailureKind::BadInput);
}

#[tokio::test]
async fn a_result_that_is_no_json_is_a_failure_of_the_plugin() {
    let plugins = plugins(&["bad_output"], "").await;
    let error = failure(&plugins, "bad_output", json!({})).await;
    assert_eq!((error.kind, error.code.as_str()), (FailureKind::Plugin, "bad_output"));
    assert!(error.message.contains("JSON"), "{error}");
}

#[tokio::test]
async fn a_result_nested_too_deeply_is_a_failure_of_the_plugin() {
    let plugins = plugins(&["json_transform"], "").await;
    // What a guest can read it can also give back: this needs an executor that makes depth, so the echo is fed text.
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let call = invocation(
        "json_transform_executor",
        Json::trusted(format!(r#"{{"data":{deep},"expression":"$"}}"#)),
    );
    let outcome =
        executor(&plugins, "json_transform_executor").execute(call, Arc::new(Reports::default())).await;
    let error = outcome.result.unwrap_err().error;
    assert_eq!(error.code, "bad_output", "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_run_beside_each_other() {
    let plugins = plugins(&["hostile"], "").await;
    let began = std::time::Instant::now();
    let calls = (0..20).map(|_| result(&plugins, "slow", json!({"ms": 200})));
    futures::future::join_all(calls).await;
    assert!(began.elapsed() < Duration::from_millis(20 * 200 / 2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_instances_queue() {
    let plugins = plugins(&["hostile"], "[hostile.limits]\nconcurrent_calls = 1000\n").await;
    let calls = (0..200).map(|n| result(&plugins, "echo", json!({ "n": n })));
    let results = futures::future::join_all(calls).await;
    assert!(results.iter().enumerate().all(|(n, result)| *result == json!({ "n": n })));
}

#[tokio::test]
async fn executors_in_javascript_and_python_run_in_the_same_sandbox() {
    let plugins = plugins(&["json_transform", "text_date"], "").await;
    let doubled =
        result(&plugins, "json_transform_executor", json!({"data": {"n": 21}, "expression": "n * 2"})).await;
    assert_eq!(doubled["result"], 42, "{doubled}");
    let catalog = plugins.catalog();
    for id in catalog.plugins.iter().find(|plugin| plugin.name == "text_date").unwrap().executors.iter() {
        let info = executor(&plugins, id).info().clone();
        let outcome = call(&plugins, id, info.examples[0].clone()).await;
        assert!(outcome.result.is_ok(), "{id}: {outcome:?}");
    }
}
