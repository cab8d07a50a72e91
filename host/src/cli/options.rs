//! Flags that several commands take, and how they become the configuration of a host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_core::id::new_id;
use apflow_host::Config;
use apflow_host::config::{self, Loaded, LogFormat, Sources};
use toml::Value;

use super::errors::Failure;

/// Flags of commands that start a host in this process.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Host")]
pub struct HostArgs {
    /// Configuration file [default: apflow.toml in the working folder, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Database, as sqlite:PATH or postgres://USER@HOST/DATABASE [default: sqlite:.apflow/apflow.db]
    #[arg(long, value_name = "URL", global = true)]
    pub database_url: Option<String>,
    /// Folder with plugins, instead of the usual ones; may be given several times, later ones win
    #[arg(long, value_name = "DIR", global = true)]
    pub plugins: Vec<PathBuf>,
    /// error, warn, info, debug, trace or off
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
}

/// The configuration of a host that lives as long as a command. A database server may have a host with the configured node
/// name at this moment, whose runs must not be taken from it: the command is a node of its own.
pub fn for_a_command(mut config: Config) -> Config {
    config.sandbox.watch = false;
    // A command does what it is asked for; due times, webhooks and old events are for `apflow serve`.
    config.engine.schedules = false;
    config.webhooks.max_concurrent = 0;
    (config.events.retain_days, config.events.retain_max) = (0, 0);
    if config.database.is_server() {
        config.engine.node = format!("{}-{}", config.engine.node, new_id(SystemClock.now()));
    }
    config
}

impl HostArgs {
    /// The configuration of all layers, with the command's own flags on top.
    pub fn load(&self, more: Vec<(&'static str, Value, &'static str)>) -> Result<Loaded, Failure> {
        let mut flags = Vec::new();
        if let Some(url) = &self.database_url {
            flags.push(("database.url", Value::String(url.clone()), "--database-url"));
        }
        if !self.plugins.is_empty() {
            let folders: Result<Vec<Value>, Failure> = self.plugins.iter().map(|path| folder(path)).collect();
            flags.push(("sandbox.folders", Value::Array(folders?), "--plugins"));
        }
        if let Some(level) = &self.log_level {
            flags.push(("log.level", Value::String(level.clone()), "--log-level"));
        }
        flags.extend(more);
        let sources = Sources {
            file: self.config.clone(),
            environment: environment(),
            flags,
            working_folder: PathBuf::new(),
        };
        Ok(config::load(&sources)?)
    }
}

fn folder(path: &Path) -> Result<Value, Failure> {
    let text = path.to_str().ok_or_else(|| {
        Failure::usage("invalid_params", format!("--plugins {}: the path is not Unicode", path.display()))
    })?;
    if !path.is_dir() {
        let message = format!(
            "--plugins {text}: there is no such folder; build the plugins with `cargo xtask plugins`"
        );
        return Err(Failure::usage("invalid_params", message));
    }
    Ok(Value::String(text.into()))
}

/// The environment, as far as it is text.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The level of commands that talk to people: what is wrong, but not what a plugin would like to have besides.
pub const QUIET: &str = "warn,apflow_wasm::registry=error";

/// Starts logging to standard error. `quiet` is the level if nobody has asked for one.
pub fn start_logging(loaded: &Loaded, quiet: Option<&str>) {
    let asked = loaded.origins.contains_key("log.level");
    let level = match quiet {
        Some(level) if !asked => level.to_owned(),
        _ => loaded.config.log.filter(),
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(console::colors_enabled_stderr());
    match loaded.config.log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
}
