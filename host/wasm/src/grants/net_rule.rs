//! The rule for byte streams and datagrams: transport, host pattern and port. It says nothing about addresses: those that are
//! not public need a `network_rule` besides.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Host;

use super::pattern::{HostPattern, split_port};

/// What travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// A byte stream, with TLS or without.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// As in a rule.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Which peers are covered: `[tcp://|udp://]host-pattern:port`; `*` for every port. Without transport it is `tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetRule {
    /// The transport.
    pub transport: Transport,
    /// The hosts.
    pub host: HostPattern,
    /// None is every port.
    pub port: Option<u16>,
}

impl NetRule {
    /// Whether a connection to `host` and `port` is covered.
    pub fn matches(&self, transport: Transport, host: &Host<String>, port: u16) -> bool {
        self.transport == transport && self.port.is_none_or(|own| own == port) && self.host.matches(host)
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        self.transport == other.transport
            && (self.port.is_none() || self.port == other.port)
            && self.host.covers(&other.host)
    }
}

impl FromStr for NetRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (transport, rest) = match text.split_once("://") {
            None => (Transport::Tcp, text),
            Some(("tcp", rest)) => (Transport::Tcp, rest),
            Some(("udp", rest)) => (Transport::Udp, rest),
            Some((other, _)) => return Err(format!("`{text}`: transport `{other}` is none of `tcp`, `udp`")),
        };
        if let Some(host) = rest.strip_suffix(":*") {
            return Ok(Self { transport, host: host.parse()?, port: None });
        }
        let (host, port) = split_port(rest)?;
        if port.is_none() {
            return Err(format!("`{text}` names no port; write `{text}:PORT`, or `{text}:*` for every port"));
        }
        Ok(Self { transport, host: host.parse()?, port })
    }
}

impl fmt::Display for NetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port.map_or_else(|| "*".to_owned(), |port| port.to_string());
        write!(f, "{}://{}:{port}", self.transport.as_str(), self.host)
    }
}

impl<'de> Deserialize<'de> for NetRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for NetRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_transport_host_and_port() {
        for (text, shown) in [
            ("db.internal:5432", "tcp://db.internal:5432"),
            ("udp://127.0.0.1:8125", "udp://127.0.0.1:8125"),
            ("tcp://*.example.com:*", "tcp://*.example.com:*"),
        ] {
            let rule: NetRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(shown.parse::<NetRule>().unwrap(), rule);
        }
        for (wrong, part) in
            [("db.internal", "names no port"), ("quic://a:1", "`quic` is none of"), ("a:70000", "70000")]
        {
            let error = wrong.parse::<NetRule>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn transport_and_port_count() {
        let rule: NetRule = "udp://stats.example.com:8125".parse().unwrap();
        let host = Host::Domain("stats.example.com".to_owned());
        assert!(rule.matches(Transport::Udp, &host, 8125));
        assert!(!rule.matches(Transport::Tcp, &host, 8125));
        assert!(!rule.matches(Transport::Udp, &host, 8126));
    }
}
