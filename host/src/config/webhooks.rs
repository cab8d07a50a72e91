//! `[webhooks]`: where messages may be sent, and where their secrets are.

use std::path::PathBuf;

use apflow_core::error::Result;
use apflow_wasm::grants::{HttpRule, NetworkRule};
use serde::{Deserialize, Serialize};

use super::wrong;

/// `[webhooks]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Servers that messages may be sent to; the form is that of a plugin's grants.
    pub http: Vec<HttpRule>,
    /// Addresses that are not public and may be reached all the same; the form is that of a plugin's grants.
    pub private_network: Vec<NetworkRule>,
    /// Folder with the files that secrets written as `file:NAME` are in; empty for none.
    pub secrets_folder: PathBuf,
    /// Deliveries at the same time on this node; with 0 it delivers nothing.
    pub max_concurrent: u32,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        let any = ["http://*", "https://*"].iter().filter_map(|rule| rule.parse().ok()).collect();
        Self { http: any, private_network: Vec::new(), secrets_folder: PathBuf::new(), max_concurrent: 16 }
    }
}

impl WebhooksConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.max_concurrent > 1_000 {
            return Err(wrong("webhooks.max_concurrent", self.max_concurrent, "it must be 0 to 1000"));
        }
        Ok(())
    }
}
