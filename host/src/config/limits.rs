//! `[limits]`: how large a tree may be, and how much of it runs at a time over all trees and hosts.

use std::collections::BTreeMap;

use apflow_core::draft::{MAX_EXECUTOR_BYTES, TreeLimits};
use apflow_core::error::Result as Checked;
use apflow_core::gate::{GateLimits, GateRule, GateScope, MAX_BURST, MAX_KEY_BYTES, Rate};
use serde::{Deserialize, Serialize};

use super::wrong;

/// `[limits]`: what a creation may contain. Limits of plugins are `[sandbox.limits]` and `[plugins.NAME.limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Tasks in one tree.
    pub max_tasks: usize,
    /// Levels of one tree, the root included. What a task waits for does not count: only `parent_id` makes levels.
    pub max_depth: usize,
    /// Bytes of one JSON field (inputs, params, schemas, metadata) of a task.
    pub max_field_bytes: usize,
    /// Limits of executors over all trees and hosts of the database, by id.
    pub executors: BTreeMap<String, GateConfig>,
    /// Limits of concurrency keys, by key; `*` at the end means all keys that begin so, each for itself.
    pub keys: BTreeMap<String, GateConfig>,
}

/// How many tasks run at a time, and how fast they start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Tasks at a time; 0 lets nothing start. For a key that says nothing of it, any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_running: Option<u32>,
    /// Starts in a time: `10/s`, `100/m`, `1000/h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Starts that may come at once after a pause; 1 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = TreeLimits::default();
        Self {
            max_tasks: limits.max_tasks,
            max_depth: limits.max_depth,
            max_field_bytes: limits.max_field_bytes,
            executors: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Checked<()> {
        for (key, value) in [
            ("limits.max_tasks", self.max_tasks),
            ("limits.max_depth", self.max_depth),
            ("limits.max_field_bytes", self.max_field_bytes),
        ] {
            if value == 0 {
                return Err(wrong(key, value, "it must be at least 1"));
            }
        }
        let longest =
            [("executors", &self.executors, MAX_EXECUTOR_BYTES), ("keys", &self.keys, MAX_KEY_BYTES)];
        for (section, gates, longest) in longest {
            for (name, gate) in gates {
                let path = format!("limits.{section}.{name}");
                if name.is_empty() || name.len() > longest {
                    return Err(wrong(&path, name, format!("a name must have 1 to {longest} bytes")));
                }
                gate.limits()
                    .map_err(|(key, value, remedy)| wrong(&format!("{path}.{key}"), value, remedy))?;
            }
        }
        Ok(())
    }

    pub(super) fn of_trees(&self) -> TreeLimits {
        TreeLimits {
            max_tasks: self.max_tasks,
            max_depth: self.max_depth,
            max_field_bytes: self.max_field_bytes,
        }
    }

    /// What was checked, as the engine takes it.
    pub(super) fn gate_rules(&self) -> Vec<GateRule> {
        let rule = |scope| {
            move |(name, gate): (&String, &GateConfig)| {
                let limits = gate.limits().ok()?;
                Some(GateRule { scope, name: name.clone(), limits })
            }
        };
        let executors = self.executors.iter().filter_map(rule(GateScope::Executor));
        executors.chain(self.keys.iter().filter_map(rule(GateScope::Key))).collect()
    }
}

/// What is wrong: key, value, remedy.
type Problem = (&'static str, String, String);

impl GateConfig {
    fn limits(&self) -> Result<GateLimits, Problem> {
        let burst = self.burst.unwrap_or(1);
        if !(1..=MAX_BURST).contains(&burst) {
            return Err(("burst", burst.to_string(), format!("it must be 1 to {MAX_BURST}")));
        }
        match &self.rate {
            Some(text) => {
                let spacing = spacing(text).map_err(|remedy| ("rate", text.clone(), remedy))?;
                Ok(GateLimits { max_running: self.max_running, rate: Some(Rate { spacing, burst }) })
            }
            None if self.burst.is_some() => {
                Err(("burst", burst.to_string(), "it says something only together with a rate".into()))
            }
            None => Ok(GateLimits { max_running: self.max_running, rate: None }),
        }
    }
}

/// Microseconds between two starts.
fn spacing(rate: &str) -> Result<i64, String> {
    let form = || "write a number of starts in a second, a minute or an hour: 10/s, 100/m, 1000/h".to_owned();
    let (count, unit) = rate.split_once('/').ok_or_else(form)?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(form()),
    };
    let count: i64 = count.trim().parse().map_err(|_| form())?;
    if !(1..=1_000_000).contains(&count) {
        return Err("the number must be 1 to 1000000".into());
    }
    Ok((seconds * 1_000_000 / count).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn rates_become_pauses() {
        assert_eq!(spacing("10/s"), Ok(100_000));
        assert_eq!(spacing(" 6 / m "), Ok(10_000_000));
        assert_eq!(spacing("1/h"), Ok(3_600_000_000));
        for wrong in ["", "10", "10/d", "x/s", "0/s", "-1/s", "1000001/s"] {
            assert!(spacing(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_across_trees_are_read_and_refused_by_name() {
        let text = "
            [limits.executors.rest_executor]
            max_running = 4
            [limits.keys.\"github/*\"]
            rate = \"100/m\"
            burst = 5";
        let rules = Config::parse(text).unwrap().limits.gate_rules();
        let rate = Some(Rate { spacing: 600_000, burst: 5 });
        assert_eq!(
            rules.iter().map(|rule| (rule.name.as_str(), rule.limits)).collect::<Vec<_>>(),
            [
                ("rest_executor", GateLimits { max_running: Some(4), rate: None }),
                ("github/*", GateLimits { max_running: None, rate }),
            ]
        );
        for (text, field) in [
            ("[limits.keys.k]\nrate = \"fast\"", "limits.keys.k.rate"),
            ("[limits.keys.k]\nburst = 3", "limits.keys.k.burst"),
            ("[limits.executors.e]\nrate = \"1/s\"\nburst = 0", "limits.executors.e.burst"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!(error.data["field"], field, "{error}");
        }
    }
}
