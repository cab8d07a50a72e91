//! The one typed configuration and the one place where it is put together: defaults < file < environment < flags.
//! Embedders may build a [`Config`] in code and never come here; the binary calls [`load`] once.

mod database;
mod engine;
mod environment;
mod events;
mod file;
mod keys;
mod limits;
mod log;
mod packages;
mod sandbox;
mod server;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_wasm::grants::PluginPolicy;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use environment::Grant;
pub(crate) use environment::SECRETS;

pub use database::{DEFAULT_URL, DatabaseConfig, Durability};
pub use engine::EngineConfig;
pub use events::EventsConfig;
pub use limits::{GateConfig, LimitsConfig};
pub use log::{LogConfig, LogFormat};
pub use packages::PackagesConfig;
pub(crate) use sandbox::Home;
pub use sandbox::{RollbackConfig, SandboxConfig};
pub use server::ServerConfig;
pub use webhooks::WebhooksConfig;

/// The documented default configuration, as text: `docs/config.toml`. It parses to [`Config::default`].
pub const DEFAULT_CONFIG: &str = include_str!("../../../docs/config.toml");

/// Everything that an operator can set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where state is kept.
    pub database: DatabaseConfig,
    /// How much runs, and how.
    pub engine: EngineConfig,
    /// How much of the event log is kept.
    pub events: EventsConfig,
    /// Where webhooks may go.
    pub webhooks: WebhooksConfig,
    /// How large a tree may be, and how much of it runs at a time over all trees.
    pub limits: LimitsConfig,
    /// Where plugins are found and what they may use at most.
    pub sandbox: SandboxConfig,
    /// Where plugins may be installed from.
    pub packages: PackagesConfig,
    /// What single plugins are allowed, by name.
    pub plugins: BTreeMap<String, PluginPolicy>,
    /// Where the server listens.
    pub server: ServerConfig,
    /// What is logged.
    pub log: LogConfig,
}

impl Config {
    /// Checks what types alone cannot say: ranges and forms.
    ///
    /// # Errors
    /// `InvalidParams` with the key, the value and the remedy.
    pub fn check(&self) -> Result<()> {
        self.database.check()?;
        self.engine.check()?;
        self.events.check()?;
        self.webhooks.check()?;
        self.limits.check()?;
        self.sandbox.check()?;
        self.packages.check()?;
        self.server.check()?;
        self.log.check()
    }

    /// Reads the text of a configuration file; what it does not name keeps its default.
    ///
    /// # Errors
    /// `InvalidParams` with line, key and remedy.
    pub fn parse(text: &str) -> Result<Self> {
        let config = from_table(file::parse(text, "configuration")?)?;
        config.check()?;
        Ok(config)
    }
}

/// What [`load`] puts together.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment, read once at the edge.
    pub environment: BTreeMap<String, String>,
    /// Keys that flags set, as `("server.port", 8000)`, with the flag's name.
    pub flags: Vec<(&'static str, Value, &'static str)>,
    /// The folder that relative paths count from.
    pub working_folder: PathBuf,
}

/// A configuration and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The result of all layers.
    pub config: Config,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// For every key that is not at its default through silence: what set it (a file, a variable, a flag).
    pub origins: BTreeMap<String, String>,
    /// What an operator should know: variables that mean nothing here.
    pub notes: Vec<String>,
}

/// Puts the layers together, the later ones winning: defaults, file, environment, flags. Tables are joined key by key,
/// lists are replaced whole. Each layer is checked by itself, so that an error names the line, variable or flag.
///
/// # Errors
/// `InvalidParams`.
pub fn load(sources: &Sources) -> Result<Loaded> {
    let mut layers = Layers { table: defaults()?, origins: BTreeMap::new() };
    let file = file::find(sources.file.as_deref(), &sources.environment, &sources.working_folder);
    if let Some(path) = &file {
        layers.put(file::read(path)?, &shown(path, &sources.working_folder));
    }
    let environment = environment::read(&sources.environment)?;
    for (variable, table) in environment.tables {
        layers.put(table, &variable);
    }
    for grant in environment.grants {
        layers.put_over_shipped(grant)?;
    }
    for (key, value, flag) in &sources.flags {
        layers.put(single(key, value.clone(), flag)?, flag);
    }
    let Layers { table, origins } = layers;
    let config = from_table(table)?;
    config.check().map_err(|error| blame(error, &origins))?;
    Ok(Loaded { config, file, origins, notes: environment.notes })
}

struct Layers {
    table: Table,
    origins: BTreeMap<String, String>,
}

impl Layers {
    fn put(&mut self, layer: Table, origin: &str) {
        merge(&mut self.table, layer, "", &mut |path| {
            self.origins.insert(path.to_owned(), origin.to_owned());
        });
    }

    /// A switch of the environment adds to the grants that are in force without it.
    fn put_over_shipped(&mut self, grant: Grant) -> Result<()> {
        let plugins = self.table.entry("plugins").or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(plugins) = plugins {
            plugins.entry(grant.plugin).or_insert_with(|| Value::Table(Table::new()));
        }
        keep_shipped_grants(&mut self.table)?;
        self.put(grant.table, grant.variable);
        Ok(())
    }
}

/// A table of policy that does not speak of grants leaves those that are shipped for that plugin, so that changing a
/// limit takes nothing away. A `grants` table, even an empty one, replaces them as a whole.
fn keep_shipped_grants(table: &mut Table) -> Result<()> {
    let Some(Value::Table(plugins)) = table.get_mut("plugins") else { return Ok(()) };
    for (name, policy) in plugins.iter_mut() {
        if let (Some(shipped), Value::Table(policy)) = (PluginPolicy::shipped().get(name), policy)
            && !policy.contains_key("grants")
        {
            let grants = Value::try_from(&shipped.grants).map_err(|error| internal(&error))?;
            policy.insert("grants".into(), grants);
        }
    }
    Ok(())
}

fn merge(base: &mut Table, layer: Table, above: &str, set: &mut impl FnMut(&str)) {
    for (key, value) in layer {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(layer)) => merge(base, layer, &path, set),
            (None, Value::Table(layer)) => {
                let mut inner = Table::new();
                merge(&mut inner, layer, &path, set);
                base.insert(key, Value::Table(inner));
            }
            (_, value) => {
                set(&path);
                base.insert(key, value);
            }
        }
    }
}

fn defaults() -> Result<Table> {
    Table::try_from(Config::default()).map_err(|error| internal(&error))
}

fn from_table(mut table: Table) -> Result<Config> {
    keep_shipped_grants(&mut table)?;
    table.try_into().map_err(|error: toml::de::Error| internal(&error))
}

/// Layers are checked one by one, so this cannot be an operator's mistake.
fn internal(error: &dyn Display) -> Error {
    Error::new(ErrorCode::Internal, format!("The configuration cannot be put together: {error}"))
}

/// A table with one key, checked against the type of that key.
fn single(path: &str, value: Value, origin: &str) -> Result<Table> {
    let text = value.to_string();
    let table =
        path.rsplit('.').fold(value, |inner, key| Value::Table(Table::from_iter([(key.to_owned(), inner)])));
    let Value::Table(table) = table else { return Ok(Table::new()) };
    table.clone().try_into::<Config>().map_err(|error| {
        let problem = file::with_nearest(error.message().trim());
        Error::new(ErrorCode::InvalidParams, format!("{origin}={text}: {problem}"))
            .with("field", path)
            .with("origin", origin)
    })?;
    Ok(table)
}

/// The refusal of a value that has the right type and is wrong all the same.
fn wrong(key: &str, value: impl Display, remedy: impl Display) -> Error {
    Error::new(ErrorCode::InvalidParams, format!("{key} is '{value}': {remedy}")).with("field", key)
}

fn blame(mut error: Error, origins: &BTreeMap<String, String>) -> Error {
    let field = error.data.get("field").and_then(serde_json::Value::as_str).unwrap_or_default();
    if let Some(origin) = origins.get(field).cloned() {
        error.message = format!("{} (set by {origin})", error.message);
        error = error.with("origin", origin);
    }
    error
}

fn shown(path: &Path, working_folder: &Path) -> String {
    path.strip_prefix(working_folder).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;
