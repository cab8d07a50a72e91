//! The shapes of what operators ask of plugins: grants and versions.

use schemars::JsonSchema;
use serde_json::Value;

/// Both sides' word on a plugin.
#[derive(JsonSchema)]
#[schemars(rename = "PluginGrants")]
pub(in crate::operation) struct PluginGrants {
    /// Name.
    name: String,
    /// What it asks for.
    asked: Value,
    /// What the operator allows.
    allowed: Value,
    /// What it may do: the part that both sides have.
    effective: Value,
    /// What it asks for and is not allowed.
    unmet: Value,
    /// Who says what is allowed: `nobody`, `shipped`, `configuration` or `grants file`.
    origin: String,
}

/// A version of a plugin that has served.
#[derive(JsonSchema)]
#[schemars(rename = "PluginVersion")]
pub(in crate::operation) struct PluginVersion {
    /// Version.
    version: String,
    /// SHA-256 of the component in hex.
    digest: String,
    /// When it went live, the last time.
    live_at: String,
    /// Calls that have ended.
    calls: u64,
    /// How many of them the plugin failed: crashes, broken limits, answers against the contract.
    failures: u64,
    /// Whether it serves now.
    serving: bool,
    /// Whether it is held although the files say otherwise.
    pinned: bool,
    /// Why it is refused, if it is.
    refused: Option<String>,
    /// Whether its bytes are kept, so that it can be published again.
    kept: bool,
}
