//! `plugin.toml`: what a plugin says of itself and what it asks for. Read strictly: an unknown key is refused by name
//! and line, so that a misspelt request is not a silent refusal at run time. The loader reads it; `grants` joins it
//! with the operator's word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grants::Capabilities;
use crate::settings::{Setting, SettingName};

/// A whole `plugin.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who it is.
    pub plugin: About,
    /// What it asks for.
    #[serde(default)]
    pub requests: Capabilities,
    /// What the operator can set, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<SettingName, Setting>,
}

/// The table `[plugin]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Unique on a host: 1–64 of `a`–`z`, `0`–`9`, `_`, `-`, beginning with a letter.
    pub name: String,
    /// For example `0.1.0`.
    pub version: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// What it is; at least one.
    pub kind: Vec<Kind>,
    /// The language it is written in, for listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Does work.
    Executor,
    /// Decides.
    Hooks,
    /// Measures.
    Collector,
}

impl Kind {
    /// The text in `plugin.toml`; also the name of the WIT interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executor => "executor",
            Self::Hooks => "hooks",
            Self::Collector => "collector",
        }
    }
}

/// Why a `plugin.toml` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin.toml{}: {problem}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct ManifestError {
    /// From 1; none where the problem has no place.
    pub line: Option<usize>,
    /// What is wrong, with the key and the value.
    pub problem: String,
}

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    ///
    /// # Errors
    /// The first problem: TOML's syntax, an unknown or missing key, or a value that breaks its rule.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|error| ManifestError {
            line: error.span().map(|span| line_of(text, span.start)),
            problem: error.message().trim_end().to_owned(),
        })?;
        manifest
            .plugin
            .check()
            .map_err(|(key, problem)| ManifestError { line: line_of_key(text, key), problem })?;
        Ok(manifest)
    }
}

impl About {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let Self { name, version, kind, .. } = self;
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(lower)
        {
            let rule = "1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`, beginning with a letter";
            return Err(("name", format!("`plugin.name` is `{name}`; it must be {rule}")));
        }
        if version.is_empty()
            || version.len() > 64
            || version.contains(|c: char| c.is_whitespace() || c == '@')
        {
            return Err(("version", format!("`plugin.version` is `{version}`; write it like `0.1.0`")));
        }
        if kind.is_empty() {
            let problem =
                "`plugin.kind` is empty; write one or more of \"executor\", \"hooks\", \"collector\"";
            return Err(("kind", problem.into()));
        }
        Ok(())
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// The first line that sets `key`; every key that is checked here stands in `[plugin]`, the only place to set it.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines().position(sets).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WHOLE: &str = r#"
[plugin]
name = "rest_executor"
version = "0.1.0"
description = "HTTP requests"
kind = ["executor"]
language = "rust"

[requests]
http = ["https://*", { pattern = "http://*.example.com:8080/", methods = ["get", "HEAD"] }, { host = "a.test" }]
private_network = ["*", "10.0.0.1/8:5432", "[fd00::/8]:80", "fe80::1", "db.internal", "0x7f.1:8080"]
env = ["LANG"]
fs = [{ host = "/srv/data", guest = "/data", mode = "rw" }, { guest = "/etc/ssl" }]
process = ["*", "git", { program = "git", args = ["log", "**"], env = ["LANG"] }]
system = true
"#;

    #[test]
    fn a_whole_file_is_read_and_listed_in_normal_form() {
        let manifest = Manifest::parse(WHOLE).unwrap();
        assert_eq!(manifest.plugin.kind, [Kind::Executor]);
        assert_eq!(
            serde_json::to_value(&manifest).unwrap()["requests"],
            json!({
                "http": [
                    "https://*",
                    {"pattern": "http://*.example.com:8080", "methods": ["GET", "HEAD"]},
                    "*://a.test",
                ],
                "private_network": ["*", "10.0.0.0/8:5432", "[fd00::/8]:80", "fe80::1", "db.internal", "127.0.0.1:8080"],
                "env": ["LANG"],
                "fs": [
                    {"host": "/srv/data", "guest": "/data", "mode": "rw"},
                    {"host": "/etc/ssl", "guest": "/etc/ssl", "mode": "ro"},
                ],
                "process": ["*", "git", {"program": "git", "args": ["log", "**"], "env": ["LANG"]}],
                "system": true,
            })
        );
        let again = Manifest::parse(&toml::to_string(&manifest).unwrap()).unwrap();
        assert_eq!(again, manifest);
    }

    #[test]
    fn requests_may_be_left_out() {
        let text = "[plugin]\nname = \"a\"\nversion = \"1\"\nkind = [\"hooks\", \"collector\"]\n";
        let manifest = Manifest::parse(text).unwrap();
        assert!(manifest.requests.is_empty());
        assert_eq!(
            manifest.plugin.kind.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
            ["hooks", "collector"]
        );
    }

    /// The text of the error for a file that ends in `line`, its tenth.
    fn refusal(section: &str, line: &str) -> String {
        let head = "# one\n\n[plugin]\nname = \"a\"\nversion = \"1\"\nkind = [\"executor\"]\n\n";
        Manifest::parse(&format!("{head}{section}\n# nine\n{line}\n")).unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_are_refused_by_name_and_line() {
        let text = "[plugin]\nname = \"a\"\nversion = \"1\"\nkinds = [\"executor\"]\n";
        let error = Manifest::parse(text).unwrap_err();
        assert_eq!(error.line, Some(4));
        assert!(error.problem.contains("unknown field `kinds`"), "{error}");
        assert!(refusal("[requests]", "htpp = []").starts_with("plugin.toml, line 10: unknown field `htpp`"));
        let nested = refusal("[requests]", "http = [{ pattern = \"*\", method = \"GET\" }]");
        assert!(nested.contains("line 10") && nested.contains("unknown field `method`"), "{nested}");
        assert!(refusal("[request]", "").contains("unknown field `request`"));
    }

    #[test]
    fn broken_values_are_refused_with_line_value_and_remedy() {
        for (line, part) in [
            ("http = [\"ftp://a.test\"]", "scheme `ftp` is none of"),
            ("http = [\"https://a.test/v1\"]", "without path, query or user"),
            ("http = [\"https://u:p@a.test\"]", "without path, query or user"),
            ("http = [\"https://a.test:70000\"]", "`70000` is not a port"),
            ("http = [7]", "`scheme://host[:port]` or { pattern, methods }"),
            ("http = [{ pattern = \"*\", methods = [\"G T\"] }]", "`G T` is not an HTTP method"),
            ("private_network = [\"10.0.0.0/99\"]", "a range like `10.0.0.0/8`"),
            ("env = [\"A=B\"]", "`A=B` is not the name"),
            ("fs = [{ guest = \"data\" }]", "not an absolute path"),
            ("fs = [{ guest = \"/a/../b\" }]", "without `..`"),
            ("fs = [{ guest = \"/a\", mode = \"rwx\" }]", "unknown variant `rwx`"),
            ("process = [\"git status\"]", "args = ["),
            ("process = [\"bin/git\"]", "an absolute path"),
            ("process = [{ program = \"*\", args = [\"x\"] }]", "name a program"),
            ("process = [{ program = \"git\", args = [\"**\", \"x\"] }]", "only be the last"),
            ("system = \"yes\"", "expected a boolean"),
            ("http = [", "line 10"),
        ] {
            let error = refusal("[requests]", line);
            assert!(error.starts_with("plugin.toml, line 1"), "{line}: {error}");
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn a_plugin_says_who_it_is() {
        for (text, part) in [
            ("", "missing field `plugin`"),
            (
                "[plugin]\nname = \"A b\"\nversion = \"1\"\nkind = [\"executor\"]",
                "line 2: `plugin.name` is `A b`",
            ),
            (
                "[plugin]\nname = \"a\"\nversion = \"\"\nkind = [\"executor\"]",
                "line 3: `plugin.version` is ``",
            ),
            ("[plugin]\nname = \"a\"\nversion = \"1\"\nkind = []", "line 4: `plugin.kind` is empty"),
            ("[plugin]\nname = \"a\"\nversion = \"1\"\nkind = [\"hook\"]", "unknown variant `hook`"),
        ] {
            let error = Manifest::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
