//! The rule for secrets: which name, for which hosts, and, on the operator's side, where the value comes from.

use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::http_rule::HttpRule;
use super::written::string_or_table;

/// A secret that a plugin may refer to. A plugin asks by name (`"github"`), or with the hosts that it means to send it to; the
/// operator's side names hosts and source: `{ name = "github", hosts = ["https://api.github.com"], from = "env:GITHUB_TOKEN" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretRule {
    /// 1 to 64 of `a`–`z`, `0`–`9`, `_` and `-`.
    pub name: String,
    /// Where it may be sent. Empty: on the plugin's side wherever the operator says, on the operator's side nowhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HttpRule>,
    /// `env:NAME`, `file:PATH`, `command:PROGRAM ARGUMENTS`, or what a provider of the embedding program understands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl SecretRule {
    /// Whether it may be sent to `url`, as far as this side goes.
    pub(super) fn reaches(&self, url: &Url) -> bool {
        self.hosts.iter().any(|rule| rule.reaches(url))
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        self.name == other.name
            && other.hosts.iter().all(|theirs| self.hosts.iter().any(|mine| mine.covers(theirs)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretTable {
    name: String,
    #[serde(default)]
    hosts: Vec<HttpRule>,
    from: Option<String>,
}

impl TryFrom<SecretTable> for SecretRule {
    type Error = String;

    fn try_from(table: SecretTable) -> Result<Self, String> {
        let SecretTable { name, hosts, from } = table;
        let rule = Self { hosts, from, ..name.parse()? };
        match rule.from.as_deref().map(|from| from.split_once(':')) {
            None => Ok(rule),
            Some(Some((kind, rest))) if !kind.is_empty() && !rest.is_empty() => Ok(rule),
            Some(_) => Err(format!(
                "secret `{}`: `from` is `{}`; write `env:NAME`, `file:PATH` or `command:PROGRAM`",
                rule.name,
                rule.from.unwrap_or_default()
            )),
        }
    }
}

impl std::str::FromStr for SecretRule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(lower) {
            return Err(format!(
                "`{name}` is not the name of a secret: 1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`"
            ));
        }
        Ok(Self { name: name.into(), hosts: Vec::new(), from: None })
    }
}

impl<'de> Deserialize<'de> for SecretRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_or_table::<Self, SecretTable, D>(
            deserializer,
            "a name, or a table with `name`, `hosts` and `from`",
        )
    }
}
