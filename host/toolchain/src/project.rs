//! A plugin's folder as far as building goes: name, version, language, kinds and the capabilities that its world
//! imports, from `plugin.toml`. The rest of that file is read and judged by the host.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The interfaces that are imported where `[requests]` has a key of the same name. What else may be asked for needs no
/// import of its own: `private_network` and `unix` go with `http`; `env` and `fs` come through WASI.
pub const CAPABILITIES: [&str; 7] = ["http", "process", "system", "secrets", "state", "tasks", "net"];

/// Languages that components are built from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Rust.
    Rust,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// Python.
    Python,
    /// C.
    C,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rust, Self::JavaScript, Self::TypeScript, Self::Python, Self::C];

    /// As in `plugin.toml`; also the folder of its templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// The folder of its SDK below `sdk`.
    pub const fn sdk(self) -> &'static str {
        match self {
            Self::TypeScript => "javascript",
            other => other.as_str(),
        }
    }
}

/// What a plugin is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Does work.
    Executor,
    /// Decides.
    #[serde(rename = "hooks")]
    Hook,
    /// Measures.
    Collector,
}

impl Kind {
    /// The folder of its templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executor => "executor",
            Self::Hook => "hook",
            Self::Collector => "collector",
        }
    }

    /// The world of the contract that exports it.
    pub(crate) const fn world(self) -> &'static str {
        match self {
            Self::Executor => "executor-plugin",
            Self::Hook => "hooks-plugin",
            Self::Collector => "collector-plugin",
        }
    }
}

/// One plugin's folder.
#[derive(Clone, Debug)]
pub struct Project {
    /// Where its sources are.
    pub folder: PathBuf,
    /// `plugin.name`.
    pub name: String,
    /// `plugin.version`.
    pub version: String,
    /// `plugin.language`.
    pub language: Language,
    /// `plugin.kind`.
    pub kinds: Vec<Kind>,
    /// The capabilities that it imports, in the order of [`CAPABILITIES`].
    pub capabilities: Vec<&'static str>,
}

impl Project {
    /// Reads `plugin.toml` in `folder`.
    ///
    /// # Errors
    /// If it is missing, is not TOML, or lacks what building needs.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("plugin.toml");
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{} cannot be read; a plugin's folder holds plugin.toml", path.display())
        })?;
        let File { plugin, requests } =
            toml::from_str(&text).with_context(|| format!("{} is not as it must be", path.display()))?;
        let Head { name, version, kind, language } = plugin;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            bail!("{}: `plugin.name` is {name:?}; use letters, digits, `_` and `-`", path.display());
        }
        let asked = |name: &str| requests.get(name).is_some_and(asks);
        let through = |name: &str| name == "http" && asked("unix");
        let capabilities = CAPABILITIES.into_iter().filter(|name| asked(name) || through(name)).collect();
        Ok(Self { folder: folder.to_owned(), name, version, language, kinds: kind, capabilities })
    }
}

/// Whether a value of `[requests]` asks for anything.
fn asks(value: &toml::Value) -> bool {
    match value {
        toml::Value::Boolean(wanted) => *wanted,
        toml::Value::Array(items) => !items.is_empty(),
        toml::Value::Table(table) => !table.is_empty(),
        _ => true,
    }
}

#[derive(Deserialize)]
struct File {
    plugin: Head,
    #[serde(default)]
    requests: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Head {
    name: String,
    version: String,
    kind: Vec<Kind>,
    language: Language,
}

/// Words that one of the languages keeps for itself, where a plugin's name becomes a crate, module or function.
const WORDS: &str = "abstract and as assert async await become box break case catch class const continue core crate \
    debugger def default del delete do double elif else enum eval except export extends extern false final finally float \
    fn for from function global goto if impl implements import in inline instanceof int interface is lambda let long loop \
    macro main match mod move mut new none nonlocal not null or override package pass priv private protected pub public \
    raise ref register return self short signed sizeof static std struct super switch test this throw trait true try type \
    typedef typeof union unsafe unsized unsigned use var virtual void volatile where while with yield";

/// Whether a plugin can be called that, in every language.
///
/// # Errors
/// The rule that it breaks, with the name.
pub fn check_name(name: &str) -> Result<(), String> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if name.len() > 64 || !begins || !name.chars().all(lower) || name.ends_with(['_', '-']) {
        return Err(format!(
            "NAME is `{name}`; it must be 1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`, beginning with a letter and not \
             ending in `_` or `-`"
        ));
    }
    if WORDS.split_whitespace().any(|word| word == name) {
        return Err(format!(
            "NAME is `{name}`, a word that programming languages keep for themselves; try `{name}_plugin`"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Project> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("plugin.toml"), text).unwrap();
        Project::read(dir.path())
    }

    #[test]
    fn what_is_asked_for_becomes_imports() {
        let head = "[plugin]\nname = \"a\"\nversion = \"1\"\nkind = [\"executor\", \"hooks\"]\nlanguage = \"typescript\"\n";
        let read = project(&format!(
            "{head}[requests]\nsystem = false\nstate = true\nenv = [\"LANG\"]\nprocess = []\nhttp = [\"https://*\"]\n"
        ))
        .unwrap();
        assert_eq!(read.capabilities, ["http", "state"]);
        assert_eq!((read.language, read.kinds), (Language::TypeScript, vec![Kind::Executor, Kind::Hook]));
        assert!(project(head).unwrap().capabilities.is_empty());
    }

    #[test]
    fn a_language_without_recipe_is_named() {
        let error = project("[plugin]\nname = \"a\"\nversion = \"1\"\nkind = []\nlanguage = \"cobol\"\n")
            .unwrap_err();
        assert!(format!("{error:#}").contains("unknown variant `cobol`"), "{error:#}");
    }

    #[test]
    fn names_fit_every_language() {
        for name in ["weather", "my-plugin", "a1", "rest_executor"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "1a", "A", "a b", "a/b", "../a", "a-", "async", "struct", &"a".repeat(65)] {
            let problem = check_name(name).unwrap_err();
            assert!(problem.contains(&format!("`{name}`")), "{problem}");
        }
    }
}
