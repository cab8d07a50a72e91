//! The rule for outgoing HTTP: scheme, host pattern, port and methods; how it is written, read and matched. It says
//! nothing about addresses: those that are not public need a `network_rule` besides.

use std::str::FromStr;

use ::http::Method;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::pattern::{HostPattern, split_port};
use super::written::string_or_table;

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Which HTTP requests are covered: `[scheme://]host-pattern[:port]`, and optionally only some methods. Without scheme
/// both, without port every port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRule {
    /// None is both.
    pub scheme: Option<Scheme>,
    /// The hosts.
    pub host: HostPattern,
    /// None is every port.
    pub port: Option<u16>,
    /// None is every method.
    pub methods: Option<Vec<Method>>,
}

impl HttpRule {
    /// Whether a request for `url` with `method` is covered. Path and query do not matter.
    pub fn matches(&self, method: &Method, url: &Url) -> bool {
        self.reaches(url) && self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }

    /// The same for at least one method.
    pub(super) fn reaches(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        matches!(url.scheme(), "http" | "https")
            && self.scheme.is_none_or(|scheme| scheme.as_str() == url.scheme())
            && self.host.matches(&host.to_owned())
            && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => theirs.iter().all(|method| mine.contains(method)),
        };
        methods
            && (self.scheme.is_none() || self.scheme == other.scheme)
            && (self.port.is_none() || self.port == other.port)
            && self.host.covers(&other.host)
    }

    fn pattern(&self) -> String {
        let scheme = self.scheme.map_or("*", Scheme::as_str);
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}", self.host)
    }
}

impl FromStr for HttpRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some(("*", rest)) => (None, rest),
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some((other, _)) => {
                return Err(format!("`{text}`: scheme `{other}` is none of `http`, `https`, `*`"));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(format!("`{text}`: a rule is `scheme://host[:port]`, without path, query or user"));
        }
        let (host, port) = split_port(rest)?;
        Ok(Self { scheme, host: host.parse()?, port, methods: None })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTable {
    #[serde(alias = "host")]
    pattern: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<String>>,
}

impl TryFrom<HttpTable> for HttpRule {
    type Error = String;

    fn try_from(table: HttpTable) -> Result<Self, String> {
        let methods =
            table.methods.map(|names| names.iter().map(|name| parse_method(name)).collect()).transpose()?;
        Ok(Self { methods, ..table.pattern.parse()? })
    }
}

fn parse_method(name: &str) -> Result<Method, String> {
    Method::from_bytes(name.to_ascii_uppercase().as_bytes())
        .map_err(|_| format!("`{name}` is not an HTTP method"))
}

impl<'de> Deserialize<'de> for HttpRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_or_table::<Self, HttpTable, D>(deserializer, "`scheme://host[:port]` or { pattern, methods }")
    }
}

impl Serialize for HttpRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(methods) = &self.methods else { return serializer.serialize_str(&self.pattern()) };
        let methods = Some(methods.iter().map(Method::to_string).collect());
        HttpTable { pattern: self.pattern(), methods }.serialize(serializer)
    }
}
