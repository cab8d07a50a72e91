//! What plugins are allowed, changed while they run: the grants file is written, the present grants of the loaded versions
//! are exchanged, and the catalog is published with what is allowed now. Nothing is loaded anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use apflow_core::error::{Error, Result};
use apflow_core::plugin::{GrantChange, PluginGrants};
use serde_json::Value;

use super::{Entry, WasmPlugins};
use crate::error::{Problem, WasmError};
use crate::grants::{self, Capabilities, Grants, edit};
use crate::plugin::Loaded;

impl WasmPlugins {
    pub(super) async fn policy_of(&self, plugin: &str) -> Result<PluginGrants> {
        let entries = self.entries.lock().await;
        let live = live(&entries, plugin)?;
        Ok(self.both_sides(&live.plugin.identity.grants.get()))
    }

    pub(super) async fn change_grants_of(&self, plugin: &str, change: GrantChange) -> Result<PluginGrants> {
        let mut entries = self.entries.lock().await;
        self.reread_grants(&mut entries)?;
        let live = Arc::clone(live(&entries, plugin)?);
        let present = live.plugin.identity.grants.get();
        let next = match &change {
            GrantChange::Add(more) => Some(edit::add(present.allowed(), more)?),
            GrantChange::Remove(less) => Some(edit::remove(present.allowed(), less)?),
            GrantChange::RemoveAll => Some(Capabilities::default()),
            GrantChange::Reset => None,
        };
        self.loader.grants.put(plugin, next)?;
        self.apply(&mut entries);
        self.publish(&entries);
        let now = live.plugin.identity.grants.get();
        let text = |side: &Capabilities| serde_json::to_string(side).unwrap_or_default();
        tracing::info!(
            target: "apflow::audit", plugin, change = %named(&change),
            before = %text(present.allowed()), after = %text(now.allowed()), "grants were changed"
        );
        Ok(self.both_sides(&now))
    }

    /// Reads the grants file again and applies what has changed in it.
    pub(super) fn reread_grants(&self, entries: &mut BTreeMap<String, Entry>) -> Result<(), WasmError> {
        self.loader.grants.reread().map_err(|error| Problem::Grants(error.message))?;
        if self.apply(entries) {
            self.publish(entries);
        }
        Ok(())
    }

    /// Gives all loaded versions the grants that count now; whether any are other than before.
    fn apply(&self, entries: &mut BTreeMap<String, Entry>) -> bool {
        let mut changed = false;
        for (name, entry) in entries {
            let allowed = self.allowed(name);
            for loaded in entry.live.iter().chain(&entry.previous) {
                let live = &loaded.plugin.identity.grants;
                if *live.get().allowed() != allowed {
                    live.allow(allowed.clone());
                    changed = true;
                }
            }
        }
        changed
    }

    fn allowed(&self, plugin: &str) -> Capabilities {
        let configured = || grants::PluginPolicy::of(plugin, &self.loader.policies).grants;
        self.loader.grants.of(plugin).unwrap_or_else(configured)
    }

    fn both_sides(&self, grants: &Grants) -> PluginGrants {
        let value = |side: &Capabilities| serde_json::to_value(side).unwrap_or(Value::Null);
        let name = grants.plugin();
        let origin = if self.loader.grants.of(name).is_some() {
            "grants file"
        } else if self.loader.policies.contains_key(name) {
            "configuration"
        } else if grants::PluginPolicy::shipped().contains_key(name) {
            "shipped"
        } else {
            "nobody"
        };
        PluginGrants {
            name: name.to_owned(),
            asked: value(grants.requested()),
            allowed: value(grants.allowed()),
            effective: value(&edit::effective(grants)),
            unmet: value(&grants.unmet()),
            origin: origin.to_owned(),
        }
    }
}

/// What serves under that name.
pub(super) fn live<'a>(entries: &'a BTreeMap<String, Entry>, plugin: &str) -> Result<&'a Arc<Loaded>> {
    entries.get(plugin).and_then(|entry| entry.live.as_ref()).ok_or_else(|| {
        let names: Vec<&str> =
            entries.iter().filter(|(_, entry)| entry.live.is_some()).map(|(name, _)| name.as_str()).collect();
        let problem = format!("no plugin '{plugin}' is loaded; there are {}", names.join(", "));
        Error::invalid_params("name", problem)
    })
}

fn named(change: &GrantChange) -> String {
    match change {
        GrantChange::Add(more) => format!("grant {more}"),
        GrantChange::Remove(less) => format!("revoke {less}"),
        GrantChange::RemoveAll => "revoke all".into(),
        GrantChange::Reset => "reset".into(),
    }
}
