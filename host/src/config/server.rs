//! `[server]`: where `apflow serve` listens and how large a request may be.

use apflow_core::error::Result;
use serde::{Deserialize, Serialize};

use super::wrong;

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address or name to listen on. The default is this machine alone, as there is no authentication.
    pub host: String,
    /// TCP port; 0 takes a free one, which the first line of output names.
    pub port: u16,
    /// The longest request body in bytes.
    pub max_body_bytes: usize,
    /// The longest time for a request body to arrive, in milliseconds.
    pub body_timeout_ms: u32,
    /// Calls in one JSON-RPC batch.
    pub max_batch: usize,
    /// Event streams that are open at the same time.
    pub max_streams: usize,
    /// Silence on an event stream before a comment is sent, in milliseconds.
    pub keep_alive_ms: u32,
    /// Web origins other than the server's own whose pages may call it, for example `http://localhost:3000`.
    pub allowed_origins: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8000,
            max_body_bytes: 64 * 1024 * 1024,
            body_timeout_ms: 60_000,
            max_batch: 1000,
            max_streams: 1000,
            keep_alive_ms: 15_000,
            allowed_origins: Vec::new(),
        }
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.host.is_empty() {
            return Err(wrong("server.host", "", "name an address, for example 127.0.0.1 or 0.0.0.0"));
        }
        if self.max_body_bytes < 1024 {
            return Err(wrong("server.max_body_bytes", self.max_body_bytes, "it must be at least 1024"));
        }
        for (key, value) in [
            ("server.body_timeout_ms", self.body_timeout_ms as usize),
            ("server.max_batch", self.max_batch),
            ("server.max_streams", self.max_streams),
            ("server.keep_alive_ms", self.keep_alive_ms as usize),
        ] {
            if value == 0 {
                return Err(wrong(key, value, "it must be at least 1"));
            }
        }
        let is_origin = |text: &String| {
            let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ']))
        };
        if let Some(origin) = self.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(wrong(
                "server.allowed_origins",
                origin,
                "an origin is scheme, host and port and nothing else, like http://localhost:3000",
            ));
        }
        Ok(())
    }
}
