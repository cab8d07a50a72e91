//! What grants say of state, child tasks, secrets, streams and upstreams on sockets.

use std::path::Path;

use url::{Host, Url};

use super::{Capability, Denied, Grants, Missing, NetRule, SecretRule, Transport, UnixRule, lenient_host};

impl Grants {
    /// Whether the plugin may keep state.
    pub fn state(&self) -> Result<(), Denied> {
        let Some(missing) = Missing::of(self.requested.state, self.allowed.state) else { return Ok(()) };
        Err(self.denied(Capability::State, "keep state".into(), missing, |side| side.state = true))
    }

    /// Whether the plugin may submit child tasks.
    pub fn tasks(&self) -> Result<(), Denied> {
        let Some(missing) = Missing::of(self.requested.tasks, self.allowed.tasks) else { return Ok(()) };
        Err(self.denied(Capability::Tasks, "submit child tasks".into(), missing, |side| side.tasks = true))
    }

    /// Whether a stream or datagrams may go to `host` and `port`. Where the name leads to is judged by [`Self::address`] when
    /// connecting.
    pub fn net(&self, transport: Transport, host: &str, port: u16) -> Result<(), Denied> {
        let name = lenient_host(host);
        let permits = |rules: &[NetRule]| rules.iter().any(|rule| rule.matches(transport, &name, port));
        let Some(missing) = Missing::of(permits(&self.requested.net), permits(&self.allowed.net)) else {
            return Ok(());
        };
        let peer = format!("{}://{name}:{port}", transport.as_str());
        let rule = peer.parse::<NetRule>();
        Err(self.denied(Capability::Net, format!("connect to {peer}"), missing, |side| {
            side.net.extend(rule.clone());
        }))
    }

    /// The socket of an upstream.
    pub fn unix(&self, name: &str) -> Result<&Path, Denied> {
        let of = |rules: &[UnixRule]| rules.iter().any(|rule| rule.name == name);
        let allowed = self.allowed.unix.iter().find(|rule| rule.name == name);
        let socket = allowed.and_then(|rule| rule.socket.as_deref());
        match (Missing::of(of(&self.requested.unix), socket.is_some()), socket) {
            (None, Some(socket)) => Ok(socket),
            (missing, _) => {
                let rule = name.parse::<UnixRule>();
                let missing = missing.unwrap_or(Missing::Allowed);
                Err(self.denied(Capability::Unix, format!("send to unix://{name}"), missing, |side| {
                    side.unix.extend(rule.clone());
                }))
            }
        }
    }

    /// Names of the secrets that both sides list.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let asked = |name: &str| self.requested.secrets.iter().any(|rule| rule.name == name);
        self.allowed.secrets.iter().map(|rule| rule.name.as_str()).filter(move |name| asked(name))
    }

    /// Whether the plugin may refer to a secret.
    pub fn secret(&self, name: &str) -> Result<(), Denied> {
        let (requested, allowed) = self.secret_rules(name);
        let Some(missing) = Missing::of(requested.is_some(), allowed.is_some()) else { return Ok(()) };
        let rule = name.parse::<SecretRule>();
        Err(self.denied(Capability::Secrets, format!("use the secret '{name}'"), missing, |side| {
            side.secrets.extend(rule.clone());
        }))
    }

    /// Where the value of a secret comes from, if it may be sent to `url`.
    pub fn secret_for(&self, name: &str, url: &Url) -> Result<&str, Denied> {
        self.secret(name)?;
        let (requested, allowed) = self.secret_rules(name);
        let asks = requested.is_some_and(|rule| rule.hosts.is_empty() || rule.reaches(url));
        let from = allowed.filter(|rule| rule.reaches(url)).and_then(|rule| rule.from.as_deref());
        match (Missing::of(asks, from.is_some()), from) {
            (None, Some(from)) => Ok(from),
            (missing, _) => {
                let origin = match url.host() {
                    Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) => {
                        url.origin().ascii_serialization()
                    }
                    None => url.scheme().to_owned(),
                };
                let rule = |from: Option<&str>| {
                    let hosts = origin.parse().into_iter().collect();
                    SecretRule { name: name.to_owned(), hosts, from: from.map(str::to_owned) }
                };
                let missing = missing.unwrap_or(Missing::Allowed);
                let from = allowed.map(|rule| rule.from.as_deref().unwrap_or("env:NAME"));
                Err(self.denied(
                    Capability::Secrets,
                    format!("send the secret '{name}' to {origin}"),
                    missing,
                    |side| {
                        side.secrets.retain(|rule| rule.name != name);
                        side.secrets.push(rule(from));
                    },
                ))
            }
        }
    }

    fn secret_rules(&self, name: &str) -> (Option<&SecretRule>, Option<&SecretRule>) {
        let of = |rules: &'_ [SecretRule]| rules.iter().position(|rule| rule.name == name);
        let (requested, allowed) = (&self.requested.secrets, &self.allowed.secrets);
        (of(requested).map(|i| &requested[i]), of(allowed).map(|i| &allowed[i]))
    }
}
