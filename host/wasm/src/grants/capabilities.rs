//! What `[requests]` of a plugin and `[plugins.<name>.grants]` of an operator consist of: one shape for both sides, so
//! that a line can be copied from one to the other. Here are the shape, environment variables and folders; the other
//! rules have files of their own. What follows from two sides together is in `grants`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::http_rule::HttpRule;
use super::net_rule::NetRule;
use super::network_rule::NetworkRule;
use super::process_rule::ProcessRule;
use super::secret_rule::SecretRule;
use super::unix_rule::UnixRule;

/// What a plugin asks for, or what an operator allows. Everything is empty by default, and empty means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Outgoing HTTP: `"https://api.example.com"`, `"https://*.example.com:8443"`,
    /// `{ pattern = "https://*", methods = ["GET"] }`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRule>,
    /// Addresses that are not public: `"10.0.0.0/8"`, `"127.0.0.1:8080"`, `"db.internal:5432"`, `"*"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_network: Vec<NetworkRule>,
    /// Environment variables of the host, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvName>,
    /// Folders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fs: Vec<Folder>,
    /// Programs: `"git"`, `{ program = "git", args = ["log", "**"], env = ["LANG"] }`, `"*"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub process: Vec<ProcessRule>,
    /// The machine's figures.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub system: bool,
    /// Streams and datagrams: `"db.internal:5432"`, `"udp://127.0.0.1:8125"`, `"*.example.com:*"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub net: Vec<NetRule>,
    /// Upstreams on sockets: `"docker"`, by the operator `{ name = "docker", socket = "/run/docker.sock" }`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unix: Vec<UnixRule>,
    /// Secrets: `"github"`, by the operator `{ name = "github", hosts = ["https://api.github.com"], from = "env:GITHUB_TOKEN" }`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRule>,
    /// Key-value state of the plugin.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub state: bool,
    /// Child tasks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tasks: bool,
}

impl Capabilities {
    /// Whether this is nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

impl EnvName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EnvName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() || name.contains(['=', '\0', '*']) {
            return Err(format!(
                "`{name}` is not the name of an environment variable; patterns are not possible here"
            ));
        }
        Ok(Self(name))
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
    }
}

/// A folder of the host that the guest sees under `guest`. Both sides are joined by `guest`; the operator's `host`
/// counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FolderTable")]
pub struct Folder {
    /// Absolute path on the host.
    pub host: PathBuf,
    /// Absolute path in the guest.
    pub guest: String,
    /// What may be done.
    pub mode: Mode,
}

/// What may be done in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Read.
    #[default]
    #[serde(rename = "ro")]
    ReadOnly,
    /// Read, write, create and delete.
    #[serde(rename = "rw")]
    ReadWrite,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderTable {
    guest: String,
    /// The same path as in the guest where it is left out.
    host: Option<PathBuf>,
    #[serde(default)]
    mode: Mode,
}

impl TryFrom<FolderTable> for Folder {
    type Error = String;

    fn try_from(table: FolderTable) -> Result<Self, String> {
        let FolderTable { guest, host, mode } = table;
        let host = host.unwrap_or_else(|| PathBuf::from(&guest));
        if !guest.starts_with('/') || guest.split('/').any(|part| part == "..") {
            return Err(format!("`guest = \"{guest}\"` is not an absolute path without `..`"));
        }
        if !host.is_absolute() {
            return Err(format!("`host = \"{}\"` is not an absolute path", host.display()));
        }
        Ok(Self { host, guest, mode })
    }
}
