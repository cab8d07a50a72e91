//! What a plugin may do: what its `plugin.toml` asks for *and* the operator's `apflow.toml` allows. Default deny; every
//! refusal says which side refuses and what to write. Only decisions live here: capabilities and `http` ask before they
//! act, and nothing reaches outside from this file.

mod capabilities;
mod denied;
pub(crate) mod edit;
mod file;
mod http_rule;
mod live;
mod net_rule;
mod network_rule;
mod pattern;
mod policy;
mod process_rule;
mod secret_rule;
mod services;
#[cfg(test)]
mod tests;
mod unix_rule;
mod written;

use std::borrow::Cow;
use std::net::SocketAddr;

use ::http::Method;
use url::{Host, Url};

pub use capabilities::{Capabilities, EnvName, Folder, Mode};
pub use denied::{Capability, Denied, Missing};
pub(crate) use file::GrantsFile;
pub use file::grant_in_file;
pub use http_rule::{HttpRule, Scheme};
pub(crate) use live::LiveGrants;
pub use net_rule::{NetRule, Transport};
pub use network_rule::{NetworkRule, NetworkTarget};
pub use pattern::{HostPattern, parse_host};
pub use policy::{HookPolicy, Isolation, PluginPolicy};
pub use process_rule::{ProcessRule, Program};
pub use secret_rule::SecretRule;
pub use unix_rule::UnixRule;

use crate::guard::{self, Reserved};

/// Both sides' word on one plugin. Immutable: a changed policy is a new value, and each check is made by the present one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    plugin: String,
    requested: Capabilities,
    allowed: Capabilities,
    network: NetworkPolicy,
}

impl Grants {
    /// The grants of `plugin`.
    pub fn new(plugin: impl Into<String>, requested: Capabilities, allowed: Capabilities) -> Self {
        let network = NetworkPolicy::new(&requested.private_network, &allowed.private_network);
        Self { plugin: plugin.into(), requested, allowed, network }
    }

    /// Nothing asked, nothing allowed.
    pub fn nothing(plugin: impl Into<String>) -> Self {
        Self::new(plugin, Capabilities::default(), Capabilities::default())
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// What the plugin asks for.
    pub fn requested(&self) -> &Capabilities {
        &self.requested
    }

    /// What the operator allows.
    pub fn allowed(&self) -> &Capabilities {
        &self.allowed
    }

    /// The part that connections are made and shared by.
    pub fn network(&self) -> &NetworkPolicy {
        &self.network
    }

    /// Whether a request may be sent, as far as its method and URL go. Where the host's name leads to is judged by
    /// [`Self::address`] when connecting.
    pub fn http(&self, method: &Method, url: &Url) -> Result<(), Denied> {
        let permits = |side: &Capabilities| side.http.iter().any(|rule| rule.matches(method, url));
        let Some(missing) = Missing::of(permits(&self.requested), permits(&self.allowed)) else {
            return Ok(());
        };
        let origin = url.origin().ascii_serialization();
        let rule = origin.parse::<HttpRule>();
        Err(self.denied(Capability::Http, format!("send {method} {origin}"), missing, |side| {
            // Where only the method is in the way, no more than the method is added.
            let reached = side.http.iter().any(|rule| rule.reaches(url));
            let methods = reached.then(|| vec![method.clone()]);
            side.http.extend(rule.clone().map(|rule| HttpRule { methods, ..rule }));
        }))
    }

    /// Whether a connection may go to `address`, asked for as `host` (a name or an address). Public addresses need no
    /// grant.
    pub fn address(&self, host: &str, address: SocketAddr) -> Result<(), Denied> {
        let name = lenient_host(host);
        let Err(range) = self.network.judge(&name, address) else { return Ok(()) };
        let permits = |rules: &[NetworkRule]| rules.iter().any(|rule| rule.matches(&name, address));
        let (requested, allowed) = (&self.requested.private_network, &self.allowed.private_network);
        let missing = Missing::of(permits(requested), permits(allowed)).unwrap_or(Missing::Both);
        let port = address.port();
        let resolves = if matches!(name, Host::Domain(_)) { "the name leads to a" } else { "this is a" };
        let rule = format!("{name}:{port}").parse::<NetworkRule>();
        let denied =
            self.denied(Capability::PrivateNetwork, format!("connect to {name}:{port}"), missing, |side| {
                side.private_network.extend(rule.clone());
            });
        Err(Denied { fact: Some(format!("{resolves} private/reserved address ({})", range.name)), ..denied })
    }

    /// Whether `program` may be run with exactly these arguments, and with these variables set by the plugin.
    pub fn process(&self, program: &str, args: &[String], env: &[(String, String)]) -> Result<(), Denied> {
        if let Err(problem) = process_rule::check_program(program) {
            let denied = self.denied(Capability::Process, "run it".into(), Missing::Never, |_| {});
            return Err(Denied { fact: Some(problem), ..denied });
        }
        let permits = |side: &Capabilities| {
            side.process.iter().any(|rule| {
                rule.names(program)
                    && rule.allows_args(args)
                    && env.iter().all(|(name, _)| rule.allows_env(name))
            })
        };
        let Some(missing) = Missing::of(permits(&self.requested), permits(&self.allowed)) else {
            return Ok(());
        };
        Err(self.process_denied(program, args, env, missing))
    }

    /// The environment: names that both sides list, with the values that `lookup` has.
    pub fn env(&self, lookup: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let common = self.requested.env.iter().filter(|name| self.allowed.env.contains(name));
        common.filter_map(|name| Some((name.as_str().to_owned(), lookup(name.as_str())?))).collect()
    }

    /// The folders that both sides list under the same path in the guest: the operator's folder, and the lesser mode.
    pub fn folders(&self) -> Vec<Folder> {
        let asked = |guest: &str| self.requested.fs.iter().find(|folder| folder.guest == guest);
        let both = self.allowed.fs.iter().filter_map(|folder| Some((folder, asked(&folder.guest)?)));
        both.map(|(folder, asked)| Folder { mode: folder.mode.min(asked.mode), ..folder.clone() }).collect()
    }

    /// Whether the machine's figures may be read.
    pub fn system(&self) -> Result<(), Denied> {
        let Some(missing) = Missing::of(self.requested.system, self.allowed.system) else { return Ok(()) };
        Err(self.denied(Capability::System, "read the machine's figures".into(), missing, |side| {
            side.system = true;
        }))
    }

    /// What the plugin asks for and the operator does not allow in full, for listings and warnings.
    pub fn unmet(&self) -> Capabilities {
        let Capabilities {
            http,
            private_network,
            env,
            fs,
            process,
            system,
            net,
            unix,
            secrets,
            state,
            tasks,
        } = &self.allowed;
        let mut unmet = self.requested.clone();
        unmet.http.retain(|rule| !http.iter().any(|one| one.covers(rule)));
        unmet.private_network.retain(|rule| !private_network.iter().any(|one| one.covers(rule)));
        unmet.env.retain(|name| !env.contains(name));
        unmet.fs.retain(|folder| !fs.iter().any(|one| one.guest == folder.guest && one.mode >= folder.mode));
        unmet.process.retain(|rule| !process.iter().any(|one| one.covers(rule)));
        unmet.system &= !system;
        unmet.net.retain(|rule| !net.iter().any(|one| one.covers(rule)));
        unmet.unix.retain(|rule| !unix.iter().any(|one| one.name == rule.name && one.socket.is_some()));
        unmet.secrets.retain(|rule| !secrets.iter().any(|one| one.covers(rule) && one.from.is_some()));
        unmet.state &= !state;
        unmet.tasks &= !tasks;
        unmet
    }

    fn process_denied(
        &self,
        program: &str,
        args: &[String],
        env: &[(String, String)],
        missing: Missing,
    ) -> Denied {
        let known = [&self.requested, &self.allowed]
            .iter()
            .any(|side| side.process.iter().any(|rule| rule.names(program)));
        let target = match env {
            [] if known => format!("run '{program}' with these arguments"),
            [] => format!("run '{program}'"),
            [..] => {
                let names: Vec<_> = env.iter().map(|(name, _)| name.as_str()).collect();
                format!("run '{program}' with the variables {}", names.join(", "))
            }
        };
        let rule = ProcessRule {
            program: Program::Named(program.to_owned()),
            args: known.then(|| args.to_vec()),
            env: env.iter().filter_map(|(name, _)| EnvName::try_from(name.clone()).ok()).collect(),
        };
        self.denied(Capability::Process, target, missing, |side| side.process.push(rule.clone()))
    }

    /// A refusal whose remedy is each side as it is, plus what `add` adds.
    fn denied(
        &self,
        capability: Capability,
        target: String,
        missing: Missing,
        add: impl Fn(&mut Capabilities),
    ) -> Denied {
        let (mut requested, mut allowed) = (self.requested.clone(), self.allowed.clone());
        if matches!(missing, Missing::Requested | Missing::Both) {
            add(&mut requested);
        }
        if matches!(missing, Missing::Allowed | Missing::Both) {
            add(&mut allowed);
        }
        // A table of the operator replaces the shipped one, so what is written must repeat it.
        let shipped = PluginPolicy::shipped().get(&self.plugin).map(|policy| &policy.grants);
        let nothing = Capabilities::default();
        let basis = shipped.filter(|grants| **grants == self.allowed).unwrap_or(&nothing);
        let remedy = denied::remedy(&self.plugin, capability, missing, &requested, &allowed, basis);
        Denied { plugin: self.plugin.clone(), capability, target, missing, fact: None, remedy }
    }
}

/// Which addresses that are not public may be reached. Equal policies decide alike about every address, so connections
/// made under one may serve the other; `http` keeps its pools by this.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NetworkPolicy {
    requested: Vec<NetworkRule>,
    allowed: Vec<NetworkRule>,
}

impl NetworkPolicy {
    fn new(requested: &[NetworkRule], allowed: &[NetworkRule]) -> Self {
        // With one side empty nothing is permitted, whatever the other says: all such policies are one.
        if requested.is_empty() || allowed.is_empty() {
            return Self::default();
        }
        Self { requested: requested.to_vec(), allowed: allowed.to_vec() }
    }

    /// Whether a connection to `address`, asked for as `host`, may be made; if not, the range that is in the way.
    pub fn judge(&self, host: &Host<String>, address: SocketAddr) -> Result<(), &'static Reserved> {
        let Some(range) = guard::reserved(address.ip()) else { return Ok(()) };
        let permits = |rules: &[NetworkRule]| rules.iter().any(|rule| rule.matches(host, address));
        if permits(&self.requested) && permits(&self.allowed) { Ok(()) } else { Err(range) }
    }
}

/// An IPv6 address as it stands in a URL; everything else as it is.
pub(crate) fn bracketed(host: &str) -> Cow<'_, str> {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]").into() } else { host.into() }
}

/// A host in normal form. What is no host at all can only be met by `*` or by an address.
fn lenient_host(text: &str) -> Host<String> {
    parse_host(&bracketed(text)).unwrap_or_else(|_| Host::Domain(text.to_ascii_lowercase()))
}
