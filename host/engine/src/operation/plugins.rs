//! Single plugins: what they may do, and which version serves. What that means is the sandbox's business.

use apflow_core::error::{Error, Result};
use apflow_core::plugin::{GrantChange, PluginGrants, PluginInfo, PluginVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shape;
use crate::Engine;

/// A plugin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginRef {
    /// Its name.
    name: String,
}

/// What to allow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantParams {
    /// The plugin.
    name: String,
    /// What it is allowed besides, in the form of `[plugins.NAME.grants]`.
    add: Map<String, Value>,
}

/// What to allow no longer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeParams {
    /// The plugin.
    name: String,
    /// What it is allowed no longer, as `plugins.policy` shows it.
    remove: Option<Map<String, Value>>,
    /// Everything.
    #[serde(default)]
    all: bool,
    /// Every change since the configuration.
    #[serde(default)]
    reset: bool,
}

/// Which version to publish.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackParams {
    /// The plugin.
    name: String,
    /// Its version, or the beginning of its digest; without one it is the version before the present.
    version: Option<String>,
}

/// The versions of a plugin.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct History {
    /// The plugin.
    name: String,
    /// The newest first.
    #[schemars(with = "Vec<shape::PluginVersion>")]
    versions: Vec<PluginVersion>,
    /// How many.
    count: usize,
}

pub(super) async fn policy(engine: &Engine, params: PluginRef) -> Result<PluginGrants> {
    engine.plugins().policy(&params.name).await
}

pub(super) async fn grant(engine: &Engine, params: GrantParams) -> Result<PluginGrants> {
    if params.add.is_empty() {
        return Err(Error::invalid_params("add", "it is empty; name what to allow"));
    }
    engine.plugins().change_grants(&params.name, GrantChange::Add(Value::Object(params.add))).await
}

pub(super) async fn revoke(engine: &Engine, params: RevokeParams) -> Result<PluginGrants> {
    let change = match (params.remove, params.all, params.reset) {
        (Some(remove), false, false) if !remove.is_empty() => GrantChange::Remove(Value::Object(remove)),
        (None, true, false) => GrantChange::RemoveAll,
        (None, false, true) => GrantChange::Reset,
        _ => {
            let problem = "name what to take away, or set one of `all` and `reset`";
            return Err(Error::invalid_params("remove", problem));
        }
    };
    engine.plugins().change_grants(&params.name, change).await
}

pub(super) async fn history(engine: &Engine, params: PluginRef) -> Result<History> {
    let versions = engine.plugins().history(&params.name).await?;
    Ok(History { name: params.name, count: versions.len(), versions })
}

pub(super) async fn rollback(engine: &Engine, params: RollbackParams) -> Result<PluginInfo> {
    engine.plugins().roll_back(&params.name, params.version.as_deref()).await
}

pub(super) async fn unpin(engine: &Engine, params: PluginRef) -> Result<Map<String, Value>> {
    engine.plugins().unpin(&params.name).await
}
