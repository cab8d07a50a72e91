//! The layer of the environment: variables that set a key, the Python original's switches for single executors as
//! grants, and a note for every variable that looks like ours and means nothing here.

use std::collections::BTreeMap;

use apflow_core::error::{Error, ErrorCode, Result};
use toml::{Table, Value};

use super::keys::{KEYS, Key, switch};
use super::single;

/// Secrets that webhooks refer to; found when they are needed.
pub(crate) const SECRETS: &str = "APFLOW_WEBHOOK_";
/// Variables that mean something outside this layer.
const ELSEWHERE: &[&str] = &[
    "APFLOW_CONFIG",
    "APFLOW_SERVER_URL",
    "APFLOW_BASE_URL",
    "APFLOW_REGISTRY_USER",
    "APFLOW_REGISTRY_PASSWORD",
    "APFLOW_SIGNING_PASSWORD",
];
const ALLOW_COMMAND: &str = "APFLOW_STDIO_ALLOW_COMMAND";
const COMMAND_WHITELIST: &str = "APFLOW_STDIO_COMMAND_WHITELIST";
const ALLOW_PRIVATE_URLS: &str = "APFLOW_REST_ALLOW_PRIVATE_URLS";

/// What the environment says.
pub(super) struct Environment {
    /// For each variable that sets a key: its name and what it sets.
    pub tables: Vec<(String, Table)>,
    /// What switches for single plugins grant.
    pub grants: Vec<Grant>,
    /// Variables that were not used.
    pub notes: Vec<String>,
}

/// A grant that a variable gives.
pub(super) struct Grant {
    /// The variable.
    pub variable: &'static str,
    /// The plugin.
    pub plugin: &'static str,
    /// `[plugins.NAME.grants]` with one capability.
    pub table: Table,
}

/// Reads the environment.
pub(super) fn read(variables: &BTreeMap<String, String>) -> Result<Environment> {
    let mut tables = Vec::new();
    for key in KEYS {
        if let Some((variable, text)) = strongest(key, variables) {
            let value = key.read(text).map_err(|problem| refuse(&variable, key.path, &problem))?;
            tables.push((variable.clone(), single(key.path, value, &variable)?));
        }
    }
    let mut notes = unused(variables);
    let grants = commands(variables, &mut notes)?.into_iter().chain(private_urls(variables)?).collect();
    Ok(Environment { tables, grants, notes })
}

fn strongest<'a>(key: &Key, variables: &'a BTreeMap<String, String>) -> Option<(String, &'a str)> {
    key.variables().find_map(|name| {
        let text = variables.get(&name).filter(|text| !text.is_empty())?;
        Some((name, text.as_str()))
    })
}

fn refuse(variable: &str, path: &str, problem: &str) -> Error {
    Error::new(ErrorCode::InvalidParams, format!("{variable} (sets {path}): {problem}"))
        .with("field", path)
        .with("origin", variable)
}

fn is_on(variable: &str, variables: &BTreeMap<String, String>) -> Result<bool> {
    let Some(text) = variables.get(variable) else { return Ok(false) };
    switch(text).map_err(|problem| refuse(variable, "plugins", &problem))
}

/// The original's switch for the command executor: on means every program, or those of the list.
fn commands(variables: &BTreeMap<String, String>, notes: &mut Vec<String>) -> Result<Option<Grant>> {
    let list = variables.get(COMMAND_WHITELIST).map(String::as_str).unwrap_or_default();
    if !is_on(ALLOW_COMMAND, variables)? {
        if !list.is_empty() {
            notes.push(format!("{COMMAND_WHITELIST} does nothing without {ALLOW_COMMAND}=1"));
        }
        return Ok(None);
    }
    let mut programs: Vec<Value> =
        list.split(',').map(str::trim).filter(|program| !program.is_empty()).map(Value::from).collect();
    if programs.is_empty() {
        programs.push("*".into());
    }
    grant("command_executor", "process", programs, ALLOW_COMMAND).map(Some)
}

fn private_urls(variables: &BTreeMap<String, String>) -> Result<Option<Grant>> {
    if !is_on(ALLOW_PRIVATE_URLS, variables)? {
        return Ok(None);
    }
    grant("rest_executor", "private_network", vec!["*".into()], ALLOW_PRIVATE_URLS).map(Some)
}

fn grant(plugin: &'static str, capability: &str, rules: Vec<Value>, variable: &'static str) -> Result<Grant> {
    let path = format!("plugins.{plugin}.grants.{capability}");
    Ok(Grant { variable, plugin, table: single(&path, Value::Array(rules), variable)? })
}

fn unused(variables: &BTreeMap<String, String>) -> Vec<String> {
    let used = |name: &String| {
        ELSEWHERE.contains(&name.as_str())
            || [ALLOW_COMMAND, COMMAND_WHITELIST, ALLOW_PRIVATE_URLS].contains(&name.as_str())
            || name.starts_with(SECRETS)
            || KEYS.iter().any(|key| key.variables().any(|variable| variable == *name))
    };
    variables
        .keys()
        .filter(|name| name.starts_with("APFLOW_") && !used(name))
        .map(|name| format!("the variable {name} means nothing to this version and is ignored"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn tables(list: &[(&str, &str)]) -> Vec<(String, String)> {
        let read = read(&variables(list)).unwrap().tables;
        read.into_iter().map(|(name, table)| (name, on_one_line(&table))).collect()
    }

    fn grants(list: &[(&str, &str)]) -> Vec<String> {
        read(&variables(list)).unwrap().grants.iter().map(|grant| on_one_line(&grant.table)).collect()
    }

    fn on_one_line(table: &Table) -> String {
        table.to_string().trim().replace('\n', " ")
    }

    #[test]
    fn variables_set_keys_and_stronger_names_win() {
        let found =
            tables(&[("DATABASE_URL", "sqlite:a"), ("APFLOW_DATABASE_URL", "sqlite:b"), ("API_PORT", "")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "APFLOW_DATABASE_URL");
        assert!(found[0].1.contains("url = \"sqlite:b\""), "{found:?}");
    }

    #[test]
    fn switches_of_the_original_become_grants() {
        let found =
            grants(&[(ALLOW_COMMAND, "1"), (COMMAND_WHITELIST, "echo, ls"), (ALLOW_PRIVATE_URLS, "true")]);
        assert_eq!(found[0], "[plugins.command_executor.grants] process = [\"echo\", \"ls\"]");
        assert_eq!(found[1], "[plugins.rest_executor.grants] private_network = [\"*\"]");
        assert_eq!(
            grants(&[(ALLOW_COMMAND, "yes")])[0],
            "[plugins.command_executor.grants] process = [\"*\"]"
        );
        assert!(grants(&[(ALLOW_COMMAND, "0"), (ALLOW_PRIVATE_URLS, "false")]).is_empty());
    }

    #[test]
    fn what_means_nothing_is_noted() {
        let list =
            [("APFLOW_JWT_SECRET", "x"), ("APFLOW_CONFIG", "y"), (COMMAND_WHITELIST, "echo"), ("HOME", "/")];
        let notes = read(&variables(&list)).unwrap().notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("APFLOW_JWT_SECRET"));
        assert!(notes[1].contains("does nothing without"));
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_variable() {
        let text = |list: &[(&str, &str)]| read(&variables(list)).err().unwrap().message;
        assert_eq!(
            text(&[("APFLOW_API_PORT", "eighty")]),
            "APFLOW_API_PORT (sets server.port): 'eighty' is not a whole number"
        );
        let message = text(&[("APFLOW_API_PORT", "70000")]);
        assert!(message.starts_with("APFLOW_API_PORT=70000: ") && message.contains("u16"), "{message}");
        assert!(text(&[(ALLOW_COMMAND, "perhaps")]).contains("'perhaps'"));
    }
}
