//! What an operator says about one plugin: the table `[plugins.<name>]` of `apflow.toml`, and the tables that plugins
//! shipped with the host have where the operator says nothing. Reading the file is the configuration's business.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::LazyLock;

use apflow_core::plugin::FailurePolicy;
use serde::{Deserialize, Serialize};

use super::capabilities::Capabilities;
use crate::limits::LimitChanges;

/// The operator's word on one plugin. Everything may be left out; without `grants` nothing is granted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginPolicy {
    /// What it may do.
    pub grants: Capabilities,
    /// Its limits, where they differ from those of all plugins.
    pub limits: LimitChanges,
    /// Who may share an instance. Left out: `call` for executors, `shared` for hooks and collectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Calls that one instance may serve, where instances are shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<NonZeroU32>,
    /// Its place among hooks; means nothing for other plugins.
    pub hooks: HookPolicy,
    /// Values for the settings that its `plugin.toml` names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, toml::Value>,
}

/// Who may share an instance of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Every call has a fresh one.
    Call,
    /// Tasks of one tree.
    Tree,
    /// All calls.
    Shared,
}

/// How the engine asks a plugin's hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookPolicy {
    /// Lower numbers are asked first; equal ones by name.
    pub order: i32,
    /// What its failure means.
    pub failure: FailurePolicy,
    /// The longest one answer may take, in milliseconds. It stands in the way of tasks, so this is much less than the limit
    /// of all calls, which counts besides.
    pub timeout_ms: NonZeroU32,
}

impl Default for HookPolicy {
    fn default() -> Self {
        Self { order: 0, failure: FailurePolicy::default(), timeout_ms: DEFAULT_TIMEOUT_MS }
    }
}

/// An interpreter that starts on a busy machine takes seconds.
const DEFAULT_TIMEOUT_MS: NonZeroU32 = NonZeroU32::new(10_000).expect("it is not zero");

static SHIPPED: LazyLock<BTreeMap<String, PluginPolicy>> =
    LazyLock::new(|| toml::from_str(include_str!("shipped.toml")).unwrap_or_default());

impl PluginPolicy {
    /// The policies of the plugins that come with the host. An operator's table for the same plugin replaces the
    /// whole of it; nothing is merged.
    pub fn shipped() -> &'static BTreeMap<String, Self> {
        &SHIPPED
    }

    /// The policy of `plugin`: the operator's, else the shipped one, else nothing granted.
    pub fn of(plugin: &str, operator: &BTreeMap<String, Self>) -> Self {
        operator.get(plugin).or_else(|| Self::shipped().get(plugin)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policies_are_as_documented() {
        let shipped: BTreeMap<String, PluginPolicy> = toml::from_str(include_str!("shipped.toml")).unwrap();
        assert_eq!(&shipped, PluginPolicy::shipped());
        assert_eq!(shipped["rest_executor"].grants.http.len(), 2);
        assert!(shipped["rest_executor"].grants.private_network.is_empty());
        assert!(shipped["system_info_executor"].grants.system);
        assert!(shipped["command_executor"].grants.is_empty());
    }

    #[test]
    fn an_operators_table_replaces_the_shipped_one_wholly() {
        let operator: BTreeMap<String, PluginPolicy> =
            toml::from_str("[rest_executor.grants]\nprivate_network = [\"127.0.0.1\"]\n").unwrap();
        let policy = PluginPolicy::of("rest_executor", &operator);
        assert!(policy.grants.http.is_empty());
        assert_eq!(policy.grants.private_network.len(), 1);
        assert!(PluginPolicy::of("system_info_executor", &operator).grants.system);
        assert_eq!(PluginPolicy::of("unheard_of", &operator), PluginPolicy::default());
    }

    #[test]
    fn every_key_of_a_table_is_read() {
        let policy: PluginPolicy = toml::from_str(
            "isolation = \"tree\"\nreuse = 100\n\
             [grants]\nsystem = true\n[limits]\nlog_lines = 5\n[hooks]\norder = -1\nfailure = \"open\"\ntimeout_ms = 50\n\
             [settings]\nendpoint = \"http://h\"\nlevel = 3\n",
        )
        .unwrap();
        assert_eq!(policy.isolation, Some(Isolation::Tree));
        assert_eq!(policy.reuse, NonZeroU32::new(100));
        assert_eq!(policy.limits.log_lines, Some(5));
        let timeout_ms = NonZeroU32::new(50).unwrap();
        assert_eq!(policy.hooks, HookPolicy { order: -1, failure: FailurePolicy::Open, timeout_ms });
        assert_eq!(policy.settings["level"], toml::Value::Integer(3));
        let error = toml::from_str::<PluginPolicy>("grant = {}\n").unwrap_err();
        assert!(error.message().contains("unknown field `grant`"), "{error}");
    }
}
