//! Where a round works: a folder and a database of its own, so that no round meets what another one left.

use std::path::Path;

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_core::id::new_id;
use apflow_host::{Config, database};
use tempfile::TempDir;

use super::super::errors::Failure;

/// A temporary folder and a database, empty.
pub struct Place {
    folder: TempDir,
    /// The database.
    pub url: String,
    is_server: bool,
}

impl Place {
    /// A new one: a file, or a database beside the one that `config` names, on the same server.
    pub async fn new(config: &Config) -> Result<Self, Failure> {
        let folder = temporary()?;
        if !config.database.is_server() {
            let url = format!("sqlite:{}", folder.path().join("bench.db").display());
            return Ok(Self { folder, url, is_server: false });
        }
        let name = format!("apflow_bench_{}", new_id(SystemClock.now()).as_str().replace('-', "_"));
        let url = database::scratch::create(&config.database.url, &name).await?;
        Ok(Self { folder, url, is_server: true })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The same configuration, working here.
    pub fn config(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.database.url.clone_from(&self.url);
        config.sandbox.grants_file = self.folder().join("grants.toml");
        config.sandbox.versions_folder = self.folder().join("versions");
        config
    }

    /// Removes it. A database whose round has failed stays, for whoever wants to know why.
    pub async fn remove(self) -> Result<(), Failure> {
        if self.is_server {
            database::scratch::remove(&self.url).await?;
        }
        Ok(())
    }
}

/// A folder that goes when it is dropped.
pub fn temporary() -> Result<TempDir, Failure> {
    tempfile::tempdir()
        .map_err(|error| Failure::missing("store_unavailable", format!("no temporary folder: {error}")))
}
