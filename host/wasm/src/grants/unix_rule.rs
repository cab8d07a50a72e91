//! The rule for upstreams behind a socket of the machine: a name that the plugin knows, and, on the operator's side, the socket.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::written::string_or_table;

/// An upstream that speaks HTTP on a Unix socket. A plugin asks by name (`"docker"`) and sends to `unix://docker/path`; the
/// operator says which socket that is: `{ name = "docker", socket = "/run/docker.sock" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnixRule {
    /// 1 to 64 of `a`–`z`, `0`–`9` and `-`.
    pub name: String,
    /// Absolute path; the operator's counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnixTable {
    name: String,
    socket: Option<PathBuf>,
}

impl TryFrom<UnixTable> for UnixRule {
    type Error = String;

    fn try_from(UnixTable { name, socket }: UnixTable) -> Result<Self, String> {
        if let Some(path) = socket.as_ref().filter(|path| !path.is_absolute()) {
            return Err(format!("`socket = \"{}\"` is not an absolute path", path.display()));
        }
        Ok(Self { socket, ..name.parse()? })
    }
}

impl FromStr for UnixRule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return Err(format!(
                "`{name}` is not the name of an upstream: 1 to 64 of `a`-`z`, `0`-`9` and `-`"
            ));
        }
        Ok(Self { name: name.into(), socket: None })
    }
}

impl<'de> Deserialize<'de> for UnixRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_or_table::<Self, UnixTable, D>(deserializer, "a name, or a table with `name` and `socket`")
    }
}
