//! The rule for addresses that are not public: a range, or a name wherever it resolves to; how it is written, read and
//! matched. Which addresses are public is in `guard`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Host;

use super::pattern::{HostPattern, split_port};

/// Which addresses that are not public may be reached: a range of addresses, or whatever a name resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetworkRule {
    /// Name or range.
    pub target: NetworkTarget,
    /// None is every port.
    pub port: Option<u16>,
}

/// What a [`NetworkRule`] names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NetworkTarget {
    /// `10.0.0.0/8`, or one address.
    Range(IpNet),
    /// `*`, `*.internal`, `db.internal`: the host as the request names it, wherever it resolves to.
    Name(HostPattern),
}

impl NetworkRule {
    /// Whether a connection to `address`, asked for as `host`, is covered.
    pub fn matches(&self, host: &Host<String>, address: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == address.port())
            && match &self.target {
                NetworkTarget::Range(range) => range.contains(&address.ip().to_canonical()),
                NetworkTarget::Name(pattern) => pattern.matches(host),
            }
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        (self.port.is_none() || self.port == other.port)
            && match (&self.target, &other.target) {
                (NetworkTarget::Range(mine), NetworkTarget::Range(theirs)) => mine.contains(theirs),
                (NetworkTarget::Name(mine), NetworkTarget::Name(theirs)) => mine.covers(theirs),
                (NetworkTarget::Name(mine), NetworkTarget::Range(_)) => *mine == HostPattern::Any,
                (NetworkTarget::Range(_), NetworkTarget::Name(_)) => false,
            }
    }
}

impl FromStr for NetworkRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // IPv6 without brackets has colons of its own, and so no port.
        if let Some(range) = parse_range(text) {
            return Ok(Self { target: NetworkTarget::Range(range), port: None });
        }
        let (host, port) = split_port(text)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Some(range) = parse_range(bare) {
            return Ok(Self { target: NetworkTarget::Range(range), port });
        }
        let pattern: HostPattern = host.parse().map_err(|error| {
            format!("{error}; write a host, an address, a range like `10.0.0.0/8`, or `*`")
        })?;
        let target = match pattern {
            HostPattern::Exact(Host::Ipv4(v4)) => NetworkTarget::Range(IpNet::from(IpAddr::V4(v4))),
            pattern => NetworkTarget::Name(pattern),
        };
        Ok(Self { target, port })
    }
}

/// A range or one address, in normal form: host bits cleared, IPv4-mapped addresses as IPv4.
fn parse_range(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse::<IpNet>().ok().map(|range| range.trunc()),
    }
}

impl fmt::Display for NetworkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            NetworkTarget::Name(pattern) => pattern.fmt(f)?,
            NetworkTarget::Range(range) => {
                let single = range.prefix_len() == range.max_prefix_len();
                let text = if single { range.addr().to_string() } else { range.to_string() };
                match range {
                    IpNet::V6(_) if self.port.is_some() => write!(f, "[{text}]")?,
                    IpNet::V4(_) | IpNet::V6(_) => f.write_str(&text)?,
                }
            }
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl<'de> Deserialize<'de> for NetworkRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for NetworkRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
