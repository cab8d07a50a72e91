//! What plugins keep: state, checkpoints, child trees, and the places that a waiting run gives up.

use std::sync::Arc;

use apflow_core::error::ErrorCode;
use apflow_core::gate::{GateLimits, GateRule, GateScope};
use apflow_core::json::Json;
use apflow_core::plugin::services::Expected;
use apflow_core::store::{ChildFacts, ClaimedRun, RunRef, StateWrite, StateWritten, Store};

use super::rig::{Rig, retried};

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn of(run: &ClaimedRun) -> RunRef {
    RunRef { key: run.key, token: run.token }
}

struct State(Arc<dyn Store>);

impl State {
    async fn write(
        &self,
        plugin: &str,
        key: &str,
        expected: Expected,
        value: Option<&str>,
        version: u64,
    ) -> StateWritten {
        let value = value.map(json);
        let write =
            StateWrite { plugin: plugin.into(), key: key.into(), expected, value, version, most_keys: 2 };
        self.0.write_state(&write).await.unwrap()
    }

    async fn read(&self, plugin: &str, key: &str) -> Option<(String, u64)> {
        let entry = self.0.plugin_state(plugin, key).await.unwrap();
        entry.map(|entry| (entry.value.as_str().to_owned(), entry.version))
    }
}

/// Each plugin has keys of its own; a value is what was written last, and goes when it is removed.
pub async fn state_is_kept_by_plugin_and_key(store: Arc<dyn Store>) {
    let state = State(store);
    assert_eq!(state.read("a", "k").await, None);
    assert_eq!(state.write("a", "k", Expected::Any, Some("1"), 7).await, StateWritten::Done);
    assert_eq!(state.write("b", "k", Expected::Any, Some("2"), 8).await, StateWritten::Done);
    assert_eq!(state.write("a", "k", Expected::Any, Some("[3]"), 9).await, StateWritten::Done);
    assert_eq!(state.read("a", "k").await, Some(("[3]".into(), 9)));
    assert_eq!(state.read("b", "k").await, Some(("2".into(), 8)));
    assert_eq!(state.write("a", "k", Expected::Any, None, 10).await, StateWritten::Done);
    assert_eq!(state.write("a", "k", Expected::Any, None, 11).await, StateWritten::Done);
    assert_eq!(state.read("a", "k").await, None);
}

/// A write that expects what is not there changes nothing; large versions are kept whole.
pub async fn state_is_compared_and_set(store: Arc<dyn Store>) {
    let state = State(store);
    let large = u64::MAX >> 1;
    assert_eq!(state.write("a", "k", Expected::Version(1), Some("1"), 2).await, StateWritten::Unexpected);
    assert_eq!(state.write("a", "k", Expected::Absent, None, 2).await, StateWritten::Done);
    assert_eq!(state.write("a", "k", Expected::Absent, Some("1"), large).await, StateWritten::Done);
    assert_eq!(state.write("a", "k", Expected::Absent, Some("2"), 3).await, StateWritten::Unexpected);
    assert_eq!(state.write("a", "k", Expected::Absent, None, 3).await, StateWritten::Unexpected);
    assert_eq!(state.write("a", "k", Expected::Version(3), None, 4).await, StateWritten::Unexpected);
    assert_eq!(state.read("a", "k").await, Some(("1".into(), large)));
    assert_eq!(state.write("a", "k", Expected::Version(large), Some("2"), 5).await, StateWritten::Done);
    assert_eq!(state.read("a", "k").await, Some(("2".into(), 5)));
    assert_eq!(state.write("a", "k", Expected::Version(5), None, 6).await, StateWritten::Done);
    assert_eq!(state.read("a", "k").await, None);
}

/// New keys are refused beyond the limit; those that are there can be changed.
pub async fn a_plugin_has_so_many_keys(store: Arc<dyn Store>) {
    let state = State(store);
    for key in ["k", "l"] {
        assert_eq!(state.write("a", key, Expected::Any, Some("1"), 1).await, StateWritten::Done);
    }
    assert_eq!(state.write("a", "m", Expected::Any, Some("1"), 2).await, StateWritten::Full);
    assert_eq!(state.write("a", "m", Expected::Absent, Some("1"), 2).await, StateWritten::Full);
    assert_eq!(state.write("b", "m", Expected::Any, Some("1"), 2).await, StateWritten::Done);
    assert_eq!(state.write("a", "l", Expected::Any, Some("2"), 3).await, StateWritten::Done);
    assert_eq!(state.write("a", "k", Expected::Any, None, 4).await, StateWritten::Done);
    assert_eq!(state.write("a", "m", Expected::Any, Some("1"), 5).await, StateWritten::Done);
}

/// The next attempt finds what the one before it left; another execution begins without.
pub async fn a_checkpoint_is_of_one_execution(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("a").await;
    let run = rig.claim_one("a").await;
    assert_eq!(rig.store.checkpoint(of(&run)).await.unwrap(), None);
    rig.store.save_checkpoint(of(&run), Some(json("1"))).await.unwrap();
    rig.store.save_checkpoint(of(&run), Some(json("{\"page\":2}"))).await.unwrap();
    rig.turn(vec![retried(&run, rig.now)], 0).await;
    rig.wait_ms(1);
    let again = rig.claim_one("a").await;
    assert_eq!(rig.store.checkpoint(of(&again)).await.unwrap(), Some(json("{\"page\":2}")));
    // The first attempt is no longer anybody's.
    assert_eq!(rig.store.checkpoint(of(&run)).await.unwrap_err().code, ErrorCode::LeaseLost);
    let late = rig.store.save_checkpoint(of(&run), Some(json("0"))).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::LeaseLost);
    assert_eq!(rig.store.save_checkpoint(of(&run), None).await.unwrap_err().code, ErrorCode::LeaseLost);
    assert_eq!(rig.store.checkpoint(of(&again)).await.unwrap(), Some(json("{\"page\":2}")));
    rig.fail(&again).await;
    rig.execute("a").await;
    let anew = rig.claim_one("a").await;
    assert_eq!(rig.store.checkpoint(of(&anew)).await.unwrap(), None);
    rig.store.save_checkpoint(of(&anew), Some(json("3"))).await.unwrap();
    rig.store.save_checkpoint(of(&anew), None).await.unwrap();
    assert_eq!(rig.store.checkpoint(of(&anew)).await.unwrap(), None);
}

/// Children are counted for an execution, know how deep they are, and go with their task or by themselves.
pub async fn trees_are_children_of_runs(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("a").await;
    let run = rig.claim_one("a").await;
    let facts = |depth, children| ChildFacts { depth, children, execution: 1 };
    assert_eq!(rig.store.child_facts(of(&run)).await.unwrap(), facts(0, 0));
    let child = rig.start("b").await;
    rig.store.adopt(of(&run), child.tree).await.unwrap();
    rig.store.adopt(of(&run), child.tree).await.unwrap();
    assert_eq!(rig.store.child_facts(of(&run)).await.unwrap(), facts(0, 1));
    assert!(rig.store.is_child(run.key, &"b".into()).await.unwrap());
    assert!(!rig.store.is_child(run.key, &"a".into()).await.unwrap());
    assert!(!rig.store.is_child(run.key, &"nobody".into()).await.unwrap());
    assert_eq!(rig.store.running_children(&[run.key]).await.unwrap(), ["b".into()]);

    let inner = rig.claim_one("b").await;
    assert_eq!(rig.store.child_facts(of(&inner)).await.unwrap(), facts(1, 0));
    let grandchild = rig.start("c").await;
    rig.store.adopt(of(&inner), grandchild.tree).await.unwrap();
    let innermost = rig.claim_one("c").await;
    assert_eq!(rig.store.child_facts(of(&innermost)).await.unwrap(), facts(2, 0));
    rig.complete(&[innermost, inner.clone()]).await;
    assert!(rig.store.running_children(&[run.key, inner.key]).await.unwrap().is_empty());
    let late = rig.store.adopt(of(&inner), child.tree).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::LeaseLost);
    assert_eq!(rig.store.child_facts(of(&inner)).await.unwrap_err().code, ErrorCode::LeaseLost);
}

/// A run that waits for others gives its places at gates to them, once.
pub async fn a_run_can_give_its_places_up(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let limits = GateLimits { max_running: Some(1), rate: None };
    let rule = GateRule { scope: GateScope::Executor, name: "echo".into(), limits };
    rig.store.set_gate_rules(&[rule], rig.now).await.unwrap();
    for (id, executor) in [("a", "echo"), ("b", "echo"), ("c", "echo")] {
        let task = serde_json::json!([{"id": id, "name": id, "executor": executor}]);
        rig.insert_json(task, true).await;
    }
    let running = async || {
        let gates = rig.store.gates().await.unwrap();
        gates.iter().map(|gate| (gate.running, gate.parked)).collect::<Vec<_>>()
    };
    let a = rig.claim_exactly(&["a"]).await.remove(0);
    assert_eq!(running().await, [(1, 2)]);
    rig.store.free_places(of(&a)).await.unwrap();
    assert_eq!(running().await, [(0, 2)]);
    rig.store.free_places(of(&a)).await.unwrap();
    let b = rig.claim_exactly(&["b"]).await;
    assert_eq!(running().await, [(1, 1)]);
    rig.complete(&[a]).await;
    assert_eq!(running().await, [(1, 1)]);
    rig.complete(&b).await;
    rig.claim_exactly(&["c"]).await;
}
