//! `[packages]`: whose plugins may be installed, and how they are fetched.

use apflow_core::error::Result;
use serde::{Deserialize, Serialize};

use super::wrong;

/// `[packages]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackagesConfig {
    /// Public keys that are trusted, as `minisign` writes them: the text, or the path of a `.pub` file.
    pub keys: Vec<String>,
    /// Whether only signed packages are installed.
    pub require_signature: bool,
    /// Hosts (`HOST:PORT`) that are asked without TLS.
    pub plain_http: Vec<String>,
    /// Bytes of a package at most.
    pub max_bytes: u64,
    /// Seconds that fetching one may take.
    pub timeout_seconds: u64,
}

impl Default for PackagesConfig {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            require_signature: false,
            plain_http: Vec::new(),
            max_bytes: 268_435_456,
            timeout_seconds: 300,
        }
    }
}

impl PackagesConfig {
    pub(super) fn check(&self) -> Result<()> {
        if let Some(host) = self.plain_http.iter().find(|host| host.contains('/') || host.is_empty()) {
            return Err(wrong("packages.plain_http", host, "write it like 127.0.0.1:5000"));
        }
        if self.max_bytes == 0 {
            return Err(wrong("packages.max_bytes", self.max_bytes, "it must be more than 0"));
        }
        if self.timeout_seconds == 0 {
            return Err(wrong("packages.timeout_seconds", self.timeout_seconds, "it must be more than 0"));
        }
        Ok(())
    }
}
