//! Why a plugin may not do something, said so that the reader can mend it: what was asked, which side refuses, and the
//! lines to write. Built by `grants` only; the rest of the crate passes it on.

use std::fmt;

use super::capabilities::Capabilities;

/// A refusal. Its text is for people and goes to the plugin, so it holds no path, query, resolved address or value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The plugin.
    pub plugin: String,
    /// Which kind of grant is missing.
    pub capability: Capability,
    /// What was asked for: `send GET https://api.example.com`, `run 'git'`, …
    pub target: String,
    /// Which side does not permit it.
    pub missing: Missing,
    /// What is wrong besides that no grant covers it, for example `private/reserved address (loopback)`.
    pub fact: Option<String>,
    /// What to write where; empty where no grant can permit it.
    pub remedy: String,
}

/// A kind of grant; also the key in `[requests]` and in `[plugins.<name>.grants]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Outgoing HTTP.
    Http,
    /// Addresses that are not public.
    PrivateNetwork,
    /// Programs.
    Process,
    /// The machine's figures.
    System,
    /// Streams and datagrams.
    Net,
    /// Upstreams on sockets of the machine.
    Unix,
    /// Secrets.
    Secrets,
    /// Key-value state.
    State,
    /// Child tasks.
    Tasks,
}

impl Capability {
    /// The key in both files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::PrivateNetwork => "private_network",
            Self::Process => "process",
            Self::System => "system",
            Self::Net => "net",
            Self::Unix => "unix",
            Self::Secrets => "secrets",
            Self::State => "state",
            Self::Tasks => "tasks",
        }
    }
}

/// Who does not permit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The plugin does not ask for it in `plugin.toml`.
    Requested,
    /// The operator does not allow it in `apflow.toml`.
    Allowed,
    /// Neither.
    Both,
    /// It is refused to every plugin.
    Never,
}

impl Missing {
    /// The refusing side; none if both permit.
    pub(super) fn of(requested: bool, allowed: bool) -> Option<Self> {
        match (requested, allowed) {
            (true, true) => None,
            (false, true) => Some(Self::Requested),
            (true, false) => Some(Self::Allowed),
            (false, false) => Some(Self::Both),
        }
    }
}

impl Denied {
    /// The stable code of the failure: `http_denied`, `http_prohibited_address`, `process_denied`, …
    pub const fn code(&self) -> &'static str {
        match self.capability {
            Capability::Http => "http_denied",
            Capability::PrivateNetwork => "http_prohibited_address",
            Capability::Process => "process_denied",
            Capability::System => "system_denied",
            Capability::Net => "net_denied",
            Capability::Unix => "unix_denied",
            Capability::Secrets => "secret_denied",
            Capability::State => "state_denied",
            Capability::Tasks => "tasks_denied",
        }
    }

    /// The same refusal, met when following a redirect from `origin`.
    #[must_use]
    pub fn redirected_from(mut self, origin: &str) -> Self {
        self.target = format!("{} (redirected from {origin})", self.target);
        self
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plugin '{}' may not {}: ", self.plugin, self.target)?;
        if let Some(fact) = &self.fact {
            f.write_str(fact)?;
        }
        let joint = if self.fact.is_some() { ", and " } else { "" };
        match self.missing {
            Missing::Requested => write!(f, "{joint}its plugin.toml does not ask for it. ")?,
            Missing::Allowed => write!(f, "{joint}the operator's grants do not cover it. ")?,
            Missing::Both => {
                write!(
                    f,
                    "{joint}neither does its plugin.toml ask for it nor do the operator's grants cover it. "
                )?;
            }
            Missing::Never => {}
        }
        f.write_str(&self.remedy)
    }
}

impl std::error::Error for Denied {}

/// The sentence that says what to write. `requested` and `allowed` hold what the files should say; `basis` is what the
/// operator's table must repeat because it replaces a shipped one.
pub(super) fn remedy(
    plugin: &str,
    capability: Capability,
    missing: Missing,
    requested: &Capabilities,
    allowed: &Capabilities,
    basis: &Capabilities,
) -> String {
    let ask = || format!("[requests] {}", lines(requested, &[capability.key()]));
    let allow = || {
        let table = toml_table(basis);
        let mut keys: Vec<&str> =
            table.keys().map(String::as_str).filter(|key| *key != capability.key()).collect();
        keys.push(capability.key());
        format!("[plugins.{plugin}.grants] {}", lines(allowed, &keys))
    };
    match missing {
        Missing::Requested => format!("To permit it, write in plugin.toml under {}", ask()),
        Missing::Allowed => format!("To permit it, write in apflow.toml under {}", allow()),
        Missing::Both => {
            format!("To permit it, write in plugin.toml under {} and in apflow.toml under {}", ask(), allow())
        }
        Missing::Never => String::new(),
    }
}

/// `key = value` as in TOML, for the given keys.
fn lines(capabilities: &Capabilities, keys: &[&str]) -> String {
    let table = toml_table(capabilities);
    let lines: Vec<_> = keys.iter().filter_map(|key| Some(format!("{key} = {}", table.get(*key)?))).collect();
    lines.join("\n")
}

fn toml_table(capabilities: &Capabilities) -> toml::Table {
    toml::Table::try_from(capabilities).unwrap_or_default()
}
