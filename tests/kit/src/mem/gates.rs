//! Gates: rules, and who goes through them in a turn.

use apflow_core::clock::Timestamp;
use apflow_core::gate::{Gate, GateRule, GateScope, limits_of};
use apflow_core::id::TaskKey;

use super::rows::{GateKey, Place, Rank, State};

pub(super) fn set_rules(state: &mut State, rules: &[GateRule], now: Timestamp) -> bool {
    let is_known = |rule| state.gate_rules.contains(rule);
    if rules.len() == state.gate_rules.len() && rules.iter().all(is_known) {
        return false;
    }
    state.gate_rules = rules.to_vec();
    for rule in rules.iter().filter(|rule| rule.scope == GateScope::Executor) {
        open(state, (rule.scope, rule.name.clone()));
    }
    for ((scope, name), gate) in &mut state.gates {
        gate.limits = limits_of(rules, *scope, name).unwrap_or_default();
        gate.opens_at = match gate.limits.rate {
            None => Timestamp::from_micros(0),
            Some(rate) => gate.opens_at.min(Timestamp::from_micros(now.as_micros() + rate.spacing)),
        };
    }
    let has_rule = |name: &str| limits_of(rules, GateScope::Executor, name).is_some();
    state.gates.retain(|(scope, name), gate| {
        *scope == GateScope::Key || gate.running > 0 || gate.parked > 0 || has_rule(name)
    });
    true
}

/// Makes a gate if it is missing.
pub(super) fn open(state: &mut State, (scope, name): GateKey) {
    let limits = limits_of(&state.gate_rules, scope, &name).unwrap_or_default();
    state.gates.entry((scope, name.clone())).or_insert_with(|| Gate::new(scope, name, limits));
}

/// What is on offer, in the order of the queue.
pub(super) fn offered(state: &State, most: usize, now: Timestamp) -> Vec<TaskKey> {
    let mut offered: Vec<(Rank, Timestamp, TaskKey)> = state.ready.iter().copied().take(most).collect();
    for (key, gate) in &state.gates {
        let parked = state.parked.get(key).into_iter().flatten();
        offered.extend(parked.take(gate.room(now) as usize));
    }
    offered.sort_unstable();
    offered.truncate(most);
    offered.into_iter().map(|(_, _, key)| key).collect()
}

/// Takes a place for a task at each of its gates, which are given; or parks it at the one that is full.
pub(super) fn pass(state: &mut State, key: TaskKey, now: Timestamp) -> Option<Vec<GateKey>> {
    let gates: Vec<GateKey> =
        state.tasks[key].gates().into_iter().filter(|gate| state.gates.contains_key(gate)).collect();
    if let Some(full) = gates.iter().find(|gate| state.gates[*gate].room(now) == 0) {
        let since = match &state.tasks[key].place {
            Place::Ready(since) | Place::Parked(_, since) => *since,
            Place::Idle | Place::Blocked(_) | Place::Waiting(_) | Place::Delayed(_) | Place::Running(_) => {
                now
            }
        };
        state.move_to(key, Place::Parked(full.clone(), since));
        return None;
    }
    for gate in &gates {
        if let Some(gate) = state.gates.get_mut(gate) {
            gate.take(1, now);
        }
    }
    Some(gates)
}

/// The owner has given the task another key or executor: if it is parked, it is ready.
pub(super) fn regate(state: &mut State, key: TaskKey) {
    if let Some(name) = state.tasks[key].concurrency_key.clone() {
        open(state, (GateScope::Key, name));
    }
    if let Place::Parked(_, since) = state.tasks[key].place {
        state.move_to(key, Place::Ready(since));
    }
}

/// Lifts the executions of what was claimed above those that have not begun.
pub(super) fn promote(state: &mut State, claimed: &[TaskKey]) {
    for key in claimed {
        if state.tasks[*key].lifted {
            continue;
        }
        for one in state.keys_of(state.tasks[*key].tree) {
            state.reorder(one, |row| row.lifted = true);
        }
    }
}
