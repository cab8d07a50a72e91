//! Where a command does its work: on a server, or on the local database with an engine in this process. Both answer
//! the same operations.

use apflow_engine::operation::{Door, Reply};
use apflow_host::Host;
use apflow_host::config::{Loaded, ServerConfig};
use serde_json::Value;

use super::client::Client;
use super::errors::Failure;
use super::options::{HostArgs, QUIET, environment, for_a_command, start_logging};

/// Flags that choose the target.
#[derive(Debug, Clone, clap::Args)]
pub struct TargetArgs {
    /// Server to ask [default: $APFLOW_SERVER_URL, else where the configuration lets `apflow serve` listen:
    /// http://127.0.0.1:8000]
    #[arg(long, value_name = "URL", global = true, conflicts_with = "local")]
    server: Option<String>,
    /// Work on the local database instead of asking a server
    #[arg(long, global = true)]
    local: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// What a command needs of a local host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The plugins; no database.
    Plugins,
    /// Reading and writing the database; nothing is run.
    Database,
    /// Running tasks, too.
    Runs,
}

/// A server or a local host.
#[derive(Debug)]
pub enum Target {
    /// Over JSON-RPC.
    Server(Box<Client>),
    /// In this process.
    Local(Box<Host>),
}

impl TargetArgs {
    /// Opens the target.
    pub async fn open(&self, need: Need) -> Result<Target, Failure> {
        if self.local {
            let loaded = self.load()?;
            start_logging(&loaded, Some(QUIET));
            let host = Host::builder().config(config_for(&loaded, need)).start().await?;
            return Ok(Target::Local(Box::new(host)));
        }
        let only_local = [
            ("--database-url", self.host.database_url.is_some()),
            ("--plugins", !self.host.plugins.is_empty()),
        ];
        if let Some((flag, _)) = only_local.iter().find(|(_, given)| *given) {
            let message =
                format!("{flag} is about the local database: add --local, or leave it out to ask a server");
            return Err(Failure::usage("invalid_params", message));
        }
        Ok(Target::Server(Box::new(Client::new(&self.server_url()?)?)))
    }

    /// The configuration, for commands that need nothing else.
    pub fn load(&self) -> Result<Loaded, Failure> {
        self.host.load(Vec::new())
    }

    fn server_url(&self) -> Result<String, Failure> {
        if let Some(url) = &self.server {
            return Ok(url.clone());
        }
        let environment = environment();
        let named = ["APFLOW_SERVER_URL", "APFLOW_BASE_URL"].iter().find_map(|name| environment.get(*name));
        match named.filter(|url| !url.is_empty()) {
            Some(url) => Ok(url.clone()),
            None => Ok(url_of(&self.load()?.config.server)),
        }
    }
}

/// Where a server with this configuration is reached from this machine.
fn url_of(server: &ServerConfig) -> String {
    let host = match server.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "[::1]".to_owned(),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    };
    format!("http://{host}:{}", server.port)
}

fn config_for(loaded: &Loaded, need: Need) -> apflow_host::Config {
    let mut config = for_a_command(loaded.config.clone());
    if need != Need::Runs {
        config.engine.max_concurrent_runs = 0;
    }
    if need == Need::Plugins {
        let (sandbox, database) = (&mut config.sandbox, &config.database);
        sandbox.grants_file = sandbox.grants_file_or_default(database).unwrap_or_default();
        // A look at plugins begins no history where none is kept yet.
        let versions = sandbox.versions_folder_or_default(database).filter(|folder| folder.is_dir());
        sandbox.versions_folder = versions.unwrap_or_default();
        config.database.url = "sqlite::memory:".into();
    }
    config
}

impl Target {
    /// Calls an operation.
    pub async fn call(&self, door: Door, method: &str, params: Value) -> Result<Value, Failure> {
        match self {
            Self::Server(client) => client.call(door, method, params).await,
            Self::Local(host) => {
                let operation = door.find(method)?;
                match (operation.call)(host.engine(), params).await? {
                    Reply::Value(json) => Ok(json.value()),
                    Reply::Parts(parts) => Ok(serde_json::from_str(&parts.concat()).unwrap_or_default()),
                    Reply::Stream(stream) => Ok(stream.first.value()),
                }
            }
        }
    }

    /// An operation on tasks.
    pub async fn tasks(&self, method: &str, params: Value) -> Result<Value, Failure> {
        self.call(Door::Tasks, method, params).await
    }

    /// An operation on the host.
    pub async fn system(&self, method: &str, params: Value) -> Result<Value, Failure> {
        self.call(Door::System, method, params).await
    }

    /// Stops a local host.
    pub async fn close(self) {
        match self {
            Self::Server(_) => {}
            Self::Local(host) => host.stop().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_reached_on_this_machine() {
        let url =
            |host: &str| url_of(&ServerConfig { host: host.into(), port: 1, ..ServerConfig::default() });
        assert_eq!(url("0.0.0.0"), "http://127.0.0.1:1");
        assert_eq!(url("::"), "http://[::1]:1");
        assert_eq!(url("::1"), "http://[::1]:1");
        assert_eq!(url("example.test"), "http://example.test:1");
    }
}
