//! Who shares an instance: nobody by default; all calls, or those of a tree, where the operator says so, up to a number of
//! calls. What an instance remembers shows which it was: its memory grows and never shrinks.

use std::sync::Arc;

use apflow_core::id::TreeId;
use apflow_core::plugin::Invocation;
use apflow_wasm::WasmPlugins;
use serde_json::json;

use crate::harness::{Reports, executor, failure, invocation, plugins};

/// Peak memory in MiB of a small call in `tree`; more than a fresh instance has where an earlier call has eaten some.
async fn peak(plugins: &WasmPlugins, tree: &str) -> u64 {
    let call = Invocation { tree_id: TreeId::new(tree), ..invocation("echo", json!({})) };
    let outcome = executor(plugins, "echo").execute(call, Arc::new(Reports::default())).await;
    outcome.result.unwrap();
    outcome.receipt.unwrap().peak_memory_bytes >> 20
}

async fn eat(plugins: &WasmPlugins, tree: &str) {
    let call = Invocation { tree_id: TreeId::new(tree), ..invocation("eat_memory", json!({"mib": 20})) };
    executor(plugins, "eat_memory").execute(call, Arc::new(Reports::default())).await.result.unwrap();
}

#[tokio::test]
async fn nothing_is_left_for_the_next_call_by_default() {
    let plugins = plugins(&["hostile"], "").await;
    eat(&plugins, "a").await;
    assert!(peak(&plugins, "a").await < 10);
}

#[tokio::test]
async fn a_shared_instance_serves_all_calls_up_to_its_number() {
    let plugins = plugins(&["hostile"], "[hostile]\nisolation = \"shared\"\nreuse = 3\n").await;
    eat(&plugins, "a").await;
    assert!(peak(&plugins, "a").await >= 20, "the second call has the same instance");
    assert!(peak(&plugins, "b").await >= 20, "and so has the third, of another tree");
    assert!(peak(&plugins, "b").await < 10, "the fourth has a new one");
}

#[tokio::test]
async fn an_instance_of_a_tree_serves_no_other_tree() {
    let plugins = plugins(&["hostile"], "[hostile]\nisolation = \"tree\"\n").await;
    eat(&plugins, "a").await;
    assert!(peak(&plugins, "b").await < 10);
    assert!(peak(&plugins, "a").await >= 20);
}

#[tokio::test]
async fn an_instance_that_crashed_or_broke_a_limit_is_not_used_again() {
    let policy =
        "[hostile]\nisolation = \"shared\"\n[hostile.limits]\nmemory_bytes = 33554432\ndeadline_ms = 200\n";
    for bad in ["trap", "eat_memory", "loop_forever"] {
        let plugins = plugins(&["hostile"], policy).await;
        eat(&plugins, "a").await;
        failure(&plugins, bad, json!({})).await;
        assert!(peak(&plugins, "a").await < 10, "{bad}");
    }
}
