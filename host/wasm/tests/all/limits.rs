//! Every limit and every crash is a typed failure that names the plugin, the limit, its value and its key, and leaves
//! the next call alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_core::error::FailureKind;
use apflow_core::plugin::Invocation;
use apflow_wasm::WasmPlugins;
use serde_json::{Value, json};

use crate::harness::{Reports, executor, failure, invocation, plugins, result};

const TIGHT: &str = r#"
[hostile.limits]
deadline_ms = 300
memory_bytes = 33554432
input_bytes = 1000
output_bytes = 65536
log_lines = 10
host_calls = 10000
"#;

/// The failure of a call has this code, names this key and value, and shows nothing of the host's inside.
async fn breaks(plugins: &WasmPlugins, id: &str, inputs: Value, code: &str, key: &str, value: u64) {
    let error = failure(plugins, id, inputs).await;
    assert_eq!((error.kind, error.code.as_str()), (FailureKind::Plugin, code), "{id}: {error}");
    let key = format!("plugins.hostile.limits.{key}");
    assert!(error.message.contains(&format!("{key} is {value}")), "{id}: {error}");
    assert_eq!((&error.data["limit"], &error.data["value"]), (&json!(key), &json!(value)));
    assert!(!error.message.contains("wasmtime") && !error.message.contains(".rs:"), "{error}");
    assert_eq!(result(plugins, "echo", json!({"a": 1})).await, json!({"a": 1}), "the next call after {id}");
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline() {
    let plugins = plugins(&["hostile"], TIGHT).await;
    let began = Instant::now();
    breaks(&plugins, "loop_forever", json!({}), "deadline_exceeded", "deadline_ms", 300).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn waiting_in_the_host_ends_at_the_deadline() {
    let plugins = plugins(&["hostile"], TIGHT).await;
    breaks(&plugins, "sleep_host", json!({}), "deadline_exceeded", "deadline_ms", 300).await;
}

#[tokio::test]
async fn a_tasks_own_timeout_is_shorter_and_can_be_retried() {
    let plugins = plugins(&["hostile"], TIGHT).await;
    for id in ["loop_forever", "sleep_host"] {
        let call = Invocation { timeout: Some(Duration::from_millis(50)), ..invocation(id, json!({})) };
        let outcome = executor(&plugins, id).execute(call, Arc::new(Reports::default())).await;
        let error = outcome.result.unwrap_err().error;
        assert_eq!((error.kind, error.code.as_str()), (FailureKind::Retryable, "timeout"), "{error}");
        assert!(error.message.contains("50 ms") && error.message.contains("timeout_ms"), "{error}");
        assert!(outcome.receipt.unwrap().wall_us >= 50_000);
    }
    let long = Invocation { timeout: Some(Duration::from_secs(60)), ..invocation("loop_forever", json!({})) };
    let outcome = executor(&plugins, "loop_forever").execute(long, Arc::new(Reports::default())).await;
    assert_eq!(
        outcome.result.unwrap_err().error.code,
        "deadline_exceeded",
        "a task cannot lengthen the deadline"
    );
}

#[tokio::test]
async fn memory_is_limited_in_sum() {
    let plugins = plugins(&["hostile"], TIGHT).await;
    breaks(&plugins, "eat_memory", json!({}), "memory_limit", "memory_bytes", 33_554_432).await;
    assert_eq!(result(&plugins, "eat_memory", json!({"mib": 16})).await, json!(16));
}

#[tokio::test]
async fn inputs_and_outputs_are_limited() {
    let plugins = plugins(&["hostile"], TIGHT).await;
    breaks(&plugins, "huge_output", json!({}), "output_limit", "output_bytes", 65_536).await;
    breaks(&plugins, "huge_output", json!({"bytes": 65_540}), "output_limit", "output_bytes", 65_536).await;
    breaks(&plugins, "echo", json!({"text": "x".repeat(1000)}), "input_limit", "input_bytes", 1000).await;
    let most = result(&plugins, "huge_output", json!({"bytes": 65_534})).await;
    assert_eq!(most.as_str().map(str::len), Some(65_534));
}

#[tokio::test]
async fn output_far_over_the_limit_never_reaches_the_host() {
    let plugins = plugins(&["hostile"], TIGHT).await;
    // More than may be handed over at once: refused before it is copied.
    let limits = "[hostile.limits]\noutput_bytes = 65536\nhttp_request_bytes = 0\n";
    breaks(&plugins, "huge_output", json!({"bytes": 5_000_000}), "output_limit", "output_bytes", 65_536)
        .await;
    let plugins = crate::harness::plugins(&["hostile"], limits).await;
    breaks(&plugins, "huge_output", json!({"bytes": 5_000_000}), "output_limit", "output_bytes", 65_536)
        .await;
}

#[tokio::test]
async fn calls_to_the_host_are_limited() {
    // Ten thousand calls take a while on a busy machine.
    let patient = TIGHT.replace("deadline_ms = 300", "deadline_ms = 60000");
    let plugins = plugins(&["hostile"], &patient).await;
    breaks(&plugins, "log_flood", json!({"lines": 20_000}), "host_call_limit", "host_calls", 10_000).await;
    assert_eq!(
        result(&plugins, "log_flood", json!({"lines": 9000})).await,
        json!(9000),
        "a flood is cut, not ended"
    );
}

#[tokio::test]
async fn crashes_are_told_with_the_guests_last_words() {
    let plugins = plugins(&["hostile"], TIGHT).await;
    for (how, part) in [("panic", "unreachable"), ("unreachable", "unreachable"), ("stack", "out of bounds")]
    {
        let error = failure(&plugins, "trap", json!({ "how": how })).await;
        assert_eq!((error.kind, error.code.as_str()), (FailureKind::Plugin, "trap"), "{error}");
        assert!(error.message.contains("hostile") && error.message.contains(part), "{how}: {error}");
        assert!(!error.message.contains("wasmtime") && !error.message.contains(".rs:"), "{error}");
        let last_words = error.data.get("output").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(last_words.contains("gives up on purpose"), how == "panic", "{how}: {last_words}");
    }
    assert_eq!(result(&plugins, "echo", json!({"a": 1})).await, json!({"a": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_calls_go_on_beside_endless_loops() {
    let loops = "[hostile.limits]\ndeadline_ms = 3000\n";
    let plugins = plugins(&["hostile"], loops).await;
    let endless: Vec<_> = (0..8)
        .map(|_| {
            let executor = executor(&plugins, "loop_forever");
            tokio::spawn(async move {
                executor.execute(invocation("loop_forever", json!({})), Arc::new(Reports::default())).await
            })
        })
        .collect();
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for n in 0..50 {
        let one = Instant::now();
        assert_eq!(result(&plugins, "echo", json!({ "n": n })).await, json!({ "n": n }));
        slowest = slowest.max(one.elapsed());
    }
    let took = began.elapsed();
    for endless in endless {
        assert_eq!(endless.await.unwrap().result.unwrap_err().error.code, "deadline_exceeded");
    }
    assert!(took < Duration::from_secs(2), "50 calls took {took:?}, the slowest {slowest:?}");
}
