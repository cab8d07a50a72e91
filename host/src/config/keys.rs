//! The list of keys that one value can set: their type and the variables of the environment that set them. Tables of
//! policy and limits (`[plugins.NAME]`, `[sandbox.limits]`, `[sandbox.rollback]`) are set in the file.

use std::path::PathBuf;

use toml::Value;

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`; also `1`, `0`, `yes`, `no`, `on`, `off`.
    Switch,
    /// Folders, separated as in `PATH`.
    Folders,
    /// Texts, separated by commas.
    List,
}

/// A key and what sets it.
#[derive(Debug)]
pub(super) struct Key {
    /// `section.key`.
    pub path: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Variables beside `APFLOW_<SECTION>_<KEY>`, the strongest first: names that the Python original reads.
    pub aliases: &'static [&'static str],
}

const fn key(path: &'static str, kind: Kind, aliases: &'static [&'static str]) -> Key {
    Key { path, kind, aliases }
}

/// Every key, in the order of `docs/config.toml`.
pub(super) const KEYS: &[Key] = &[
    key("database.url", Kind::Text, &["DATABASE_URL"]),
    key("database.durability", Kind::Text, &[]),
    key("engine.node", Kind::Text, &[]),
    key("engine.max_concurrent_runs", Kind::Number, &[]),
    key("engine.lease_ms", Kind::Number, &[]),
    key("engine.default_timeout_ms", Kind::Number, &[]),
    key("engine.breaker_failures", Kind::Number, &[]),
    key("engine.breaker_cool_down_ms", Kind::Number, &[]),
    key("engine.stop_grace_ms", Kind::Number, &[]),
    key("engine.schedules", Kind::Switch, &[]),
    key("engine.started_first", Kind::Switch, &[]),
    key("events.retain_days", Kind::Number, &[]),
    key("events.retain_max", Kind::Number, &[]),
    key("events.hold_days", Kind::Number, &[]),
    key("webhooks.http", Kind::List, &[]),
    key("webhooks.private_network", Kind::List, &[]),
    key("webhooks.secrets_folder", Kind::Text, &[]),
    key("webhooks.max_concurrent", Kind::Number, &[]),
    key("limits.max_tasks", Kind::Number, &[]),
    key("limits.max_depth", Kind::Number, &[]),
    key("limits.max_field_bytes", Kind::Number, &[]),
    key("sandbox.folders", Kind::Folders, &["APFLOW_PLUGINS"]),
    key("sandbox.bundled", Kind::Switch, &[]),
    key("sandbox.cache", Kind::Text, &[]),
    key("sandbox.watch", Kind::Switch, &[]),
    key("sandbox.max_instances", Kind::Number, &[]),
    key("sandbox.grants_file", Kind::Text, &[]),
    key("sandbox.versions_folder", Kind::Text, &[]),
    key("sandbox.keep_versions", Kind::Number, &[]),
    key("packages.keys", Kind::List, &[]),
    key("packages.require_signature", Kind::Switch, &[]),
    key("packages.plain_http", Kind::List, &[]),
    key("packages.max_bytes", Kind::Number, &[]),
    key("packages.timeout_seconds", Kind::Number, &[]),
    key("server.host", Kind::Text, &["APFLOW_API_HOST", "API_HOST"]),
    key("server.port", Kind::Number, &["APFLOW_API_PORT", "API_PORT"]),
    key("server.max_body_bytes", Kind::Number, &[]),
    key("server.body_timeout_ms", Kind::Number, &[]),
    key("server.max_batch", Kind::Number, &[]),
    key("server.max_streams", Kind::Number, &[]),
    key("server.keep_alive_ms", Kind::Number, &[]),
    key("server.allowed_origins", Kind::List, &["APFLOW_CORS_ORIGINS"]),
    key("log.level", Kind::Text, &["LOG_LEVEL"]),
    key("log.format", Kind::Text, &[]),
];

impl Key {
    /// All variables that set it, the strongest first.
    pub fn variables(&self) -> impl Iterator<Item = String> {
        let own = format!("APFLOW_{}", self.path.replace('.', "_").to_uppercase());
        std::iter::once(own).chain(self.aliases.iter().map(ToString::to_string))
    }

    /// Reads the text of a variable.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Text => Ok(Value::String(text.into())),
            Kind::Number => {
                text.trim().parse().map(Value::Integer).map_err(|_| format!("'{text}' is not a whole number"))
            }
            Kind::Switch => switch(text).map(Value::Boolean),
            Kind::Folders => std::env::split_paths(text)
                .filter(|path| !path.as_os_str().is_empty())
                .map(folder)
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Kind::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Value::Array(items.map(Value::from).collect()))
            }
        }
    }
}

fn folder(path: PathBuf) -> Result<Value, String> {
    path.into_os_string()
        .into_string()
        .map(Value::String)
        .map_err(|path| format!("the path {} is not Unicode", path.display()))
}

/// Reads a switch as people write them.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        other => Err(format!("'{other}' is not a switch; use true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_variables_in_order() {
        let port = KEYS.iter().find(|key| key.path == "server.port").unwrap();
        assert_eq!(
            port.variables().collect::<Vec<_>>(),
            ["APFLOW_SERVER_PORT", "APFLOW_API_PORT", "API_PORT"]
        );
        let url = KEYS.iter().find(|key| key.path == "database.url").unwrap();
        assert_eq!(url.variables().collect::<Vec<_>>(), ["APFLOW_DATABASE_URL", "DATABASE_URL"]);
    }

    #[test]
    fn texts_become_values_of_the_right_type() {
        let read = |path: &str, text: &str| KEYS.iter().find(|key| key.path == path).unwrap().read(text);
        assert_eq!(read("server.port", "81"), Ok(Value::Integer(81)));
        assert!(read("server.port", "eighty").unwrap_err().contains("'eighty'"));
        assert_eq!(read("sandbox.watch", "Off"), Ok(Value::Boolean(false)));
        let folders = std::env::join_paths(["a", "b"]).unwrap().into_string().unwrap();
        assert_eq!(read("sandbox.folders", &folders), Ok(Value::Array(vec!["a".into(), "b".into()])));
    }
}
