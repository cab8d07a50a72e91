//! `[engine]`: how much runs at a time on this node, how long its lease lasts.

use std::time::Duration;

use apflow_core::breaker::BreakerPolicy;
use apflow_core::error::Result;
use apflow_core::id::NodeId;
use apflow_core::lease::LeasePolicy;
use apflow_engine::EngineOptions;
use serde::{Deserialize, Serialize};

use super::{LimitsConfig, wrong};

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Name of this node in the database. It must stay the same over restarts: a node takes back at once what its
    /// earlier life left running.
    pub node: String,
    /// Runs at the same time on this node; with 0 it runs nothing and only answers.
    pub max_concurrent_runs: u32,
    /// How long the node's lease lasts in milliseconds; it is renewed every third of that.
    pub lease_ms: u32,
    /// The longest time for one attempt of a task that names none, in milliseconds; 0 leaves it to the plugin's
    /// own deadline.
    pub default_timeout_ms: u32,
    /// Failures of an executor in a row (such that may be tried again, and broken limits) after which this node leaves it
    /// alone for a while; 0 never does. Tasks that meet it then are put off, and it is no attempt of theirs.
    pub breaker_failures: u32,
    /// How long an executor is left alone, in milliseconds; then one task tries it.
    pub breaker_cool_down_ms: u32,
    /// How long a stop waits for runs before it interrupts them, in milliseconds.
    pub stop_grace_ms: u32,
    /// Whether this node executes trees when their schedules say so.
    pub schedules: bool,
    /// Whether executions of which a task has begun go on before others begin, whatever the priorities.
    pub started_first: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let options = EngineOptions::default();
        Self {
            node: options.node.to_string(),
            max_concurrent_runs: options.max_concurrent_runs,
            lease_ms: millis(options.lease.duration),
            default_timeout_ms: options.default_timeout.map_or(0, millis),
            breaker_failures: options.breaker.failures,
            breaker_cool_down_ms: millis(options.breaker.cool_down),
            stop_grace_ms: millis(options.stop_grace),
            schedules: options.schedules,
            started_first: options.started_first,
        }
    }
}

impl EngineConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.node.is_empty() || self.node.len() > 255 {
            return Err(wrong("engine.node", &self.node, "it must have 1 to 255 bytes"));
        }
        if self.max_concurrent_runs > 100_000 {
            return Err(wrong(
                "engine.max_concurrent_runs",
                self.max_concurrent_runs,
                "it must be 0 to 100000",
            ));
        }
        if !(500..=600_000).contains(&self.lease_ms) {
            return Err(wrong("engine.lease_ms", self.lease_ms, "it must be 500 to 600000 (ten minutes)"));
        }
        if self.breaker_cool_down_ms == 0 {
            return Err(wrong("engine.breaker_cool_down_ms", 0, "it must be at least 1"));
        }
        Ok(())
    }

    /// What the engine is started with.
    pub(crate) fn options(&self, limits: &LimitsConfig, version: &str) -> EngineOptions {
        EngineOptions {
            node: NodeId::from(self.node.as_str()),
            max_concurrent_runs: self.max_concurrent_runs,
            lease: LeasePolicy { duration: Duration::from_millis(self.lease_ms.into()) },
            limits: limits.of_trees(),
            // Who only looks into a database does not say what holds there.
            gate_rules: (self.max_concurrent_runs > 0).then(|| limits.gate_rules()),
            default_timeout: (self.default_timeout_ms > 0)
                .then(|| Duration::from_millis(self.default_timeout_ms.into())),
            breaker: BreakerPolicy {
                failures: self.breaker_failures,
                cool_down: Duration::from_millis(self.breaker_cool_down_ms.into()),
            },
            stop_grace: Duration::from_millis(self.stop_grace_ms.into()),
            schedules: self.schedules,
            started_first: self.started_first,
            version: version.into(),
            ..EngineOptions::default()
        }
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
