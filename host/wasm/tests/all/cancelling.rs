//! Dropping a call interrupts the guest wherever it is, frees its instance, and leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_wasm::{WasmOptions, WasmPlugins};
use serde_json::json;

use crate::harness::{Folder, Reports, executor, invocation, options, result};

/// One instance at a time, so that the next call runs only once the cancelled one has let go.
async fn one_at_a_time() -> Arc<WasmPlugins> {
    let folder = Folder::with(&["hostile"]);
    WasmPlugins::open(WasmOptions { max_instances: 1, ..options(&folder, "") }).await.unwrap()
}

async fn cancelled_calls_let_go(id: &str) {
    let plugins = one_at_a_time().await;
    for _ in 0..5 {
        let executor = executor(&plugins, id);
        let call = executor.execute(invocation(id, json!({})), Arc::new(Reports::default()));
        assert!(
            tokio::time::timeout(Duration::from_millis(30), call).await.is_err(),
            "{id} does not end by itself"
        );
        let cancelled = Instant::now();
        assert_eq!(result(&plugins, "echo", json!({"a": 1})).await, json!({"a": 1}));
        assert!(
            cancelled.elapsed() < Duration::from_millis(500),
            "{id} let go after {:?}",
            cancelled.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_endless_loop() {
    cancelled_calls_let_go("loop_forever").await;
}

#[tokio::test]
async fn of_an_endless_loop_on_a_single_thread() {
    cancelled_calls_let_go("loop_forever").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_guest_that_waits_in_the_host() {
    cancelled_calls_let_go("sleep_host").await;
}
