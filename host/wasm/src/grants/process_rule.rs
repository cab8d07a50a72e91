//! The rule for programs: name, patterns of arguments and variables that a plugin may set; how it is written, read and
//! matched. Starting programs is elsewhere; there is no shell anywhere.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::capabilities::EnvName;
use super::written::string_or_table;

/// Which runs of which program are covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRule {
    /// The program.
    pub program: Program,
    /// Patterns, one an argument; None is any arguments.
    pub args: Option<Vec<String>>,
    /// Variables that the plugin may set for it.
    pub env: Vec<EnvName>,
}

/// A program by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// `*`: every program, with any arguments and variables.
    Any,
    /// A bare name, found in `PATH`, or an absolute path; it is asked for exactly as it is written here.
    Named(String),
}

/// In a list of argument patterns, at its end: any further arguments.
pub const REST: &str = "**";

impl ProcessRule {
    /// Whether the rule is about this program, whatever the arguments.
    pub fn names(&self, program: &str) -> bool {
        match &self.program {
            Program::Any => true,
            Program::Named(name) => name == program,
        }
    }

    /// Whether these arguments fit. `*` inside a pattern stands for any text within one argument.
    pub fn allows_args(&self, args: &[String]) -> bool {
        let Some(patterns) = &self.args else { return true };
        let (patterns, rest) = match patterns.split_last() {
            Some((last, before)) if last == REST => (before, true),
            _ => (patterns.as_slice(), false),
        };
        (args.len() == patterns.len() || (rest && args.len() > patterns.len()))
            && patterns.iter().zip(args).all(|(pattern, arg)| wildcard(pattern, arg))
    }

    /// Whether the plugin may set this variable. `*` may run anything, so a variable gives it nothing more.
    pub fn allows_env(&self, name: &str) -> bool {
        self.program == Program::Any || self.env.iter().any(|one| one.as_str() == name)
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        match (&self.program, &other.program) {
            (Program::Any, _) => true,
            (Program::Named(_), Program::Any) => false,
            (Program::Named(mine), Program::Named(theirs)) => {
                mine == theirs
                    && (self.args.is_none() || self.args == other.args)
                    && other.env.iter().all(|name| self.env.contains(name))
            }
        }
    }
}

/// `*` in `pattern` stands for any text; everything else for itself.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

impl FromStr for ProcessRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let program = if text == "*" { Program::Any } else { Program::Named(check_program(text)?.into()) };
        Ok(Self { program, args: None, env: Vec::new() })
    }
}

/// A bare name or an absolute path; nothing that depends on a working folder or names several words.
pub(super) fn check_program(name: &str) -> Result<&str, String> {
    let absolute = name.starts_with('/');
    if name.is_empty() || name.contains(['\0', '*']) || (name.contains('/') && !absolute) {
        return Err(format!(
            "`{name}` is not a program: write a name that `PATH` has, an absolute path, or `*`"
        ));
    }
    if !absolute && name.contains(char::is_whitespace) {
        return Err(format!(
            "`{name}` is not a program: arguments are written as {{ program = \"…\", args = [\"…\"] }}"
        ));
    }
    Ok(name)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessTable {
    program: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<EnvName>,
}

impl TryFrom<ProcessTable> for ProcessRule {
    type Error = String;

    fn try_from(table: ProcessTable) -> Result<Self, String> {
        let ProcessTable { program, args, env } = table;
        let rule = Self { args, env, ..program.parse()? };
        if rule.program == Program::Any && (rule.args.is_some() || !rule.env.is_empty()) {
            return Err(
                "`program = \"*\"` allows everything; name a program to restrict its `args` or `env`".into(),
            );
        }
        if let Some((_, before)) = rule.args.as_ref().and_then(|args| args.split_last())
            && before.iter().any(|pattern| pattern == REST)
        {
            return Err(format!("`{REST}` in `args` of `{program}` may only be the last pattern"));
        }
        Ok(rule)
    }
}

impl<'de> Deserialize<'de> for ProcessRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_or_table::<Self, ProcessTable, D>(deserializer, "a program or { program, args, env }")
    }
}

impl Serialize for ProcessRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let program = match &self.program {
            Program::Any => "*",
            Program::Named(name) => name,
        };
        if self.args.is_none() && self.env.is_empty() {
            return serializer.serialize_str(program);
        }
        let (args, env) = (self.args.clone(), self.env.clone());
        ProcessTable { program: program.into(), args, env }.serialize(serializer)
    }
}
