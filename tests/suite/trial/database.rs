//! The database of a trial: a file, or one on a PostgreSQL server of the trial's own, which can be stopped under load.

use std::path::Path;

use apflow_testkit::postgres;
use tokio::task::block_in_place;

/// Which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A file in a temporary folder
    Sqlite,
    /// A server that the trial starts
    Postgres,
}

/// A database.
#[derive(Debug)]
pub struct Database {
    url: String,
    // Before the server, so that it is dropped first.
    database: Option<postgres::Database>,
    server: Option<postgres::Server>,
}

impl Database {
    /// A new one.
    pub fn new(kind: Kind, folder: &Path) -> Self {
        match kind {
            Kind::Sqlite => {
                let url = format!("sqlite:{}", folder.join("apflow.db").display());
                Self { url, database: None, server: None }
            }
            Kind::Postgres => block_in_place(|| {
                let server = postgres::Server::own();
                let database = server.database();
                Self { url: database.url.clone(), database: Some(database), server: Some(server) }
            }),
        }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is on a server.
    pub const fn is_server(&self) -> bool {
        self.server.is_some()
    }

    /// Runs SQL on a server's database and gives its rows, their columns as texts; none for a file.
    pub fn query(&self, text: &str) -> Vec<Vec<String>> {
        let Some(database) = &self.database else { return Vec::new() };
        let printed = block_in_place(|| database.query(text));
        printed.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        self.url.strip_prefix("sqlite:").map(Path::new)
    }

    /// Stops the server, in good order or not; `restart` starts it again.
    pub fn stop(&self, in_order: bool) {
        if let Some(server) = &self.server {
            block_in_place(|| if in_order { server.stop_in_order() } else { server.stop() });
        }
    }

    /// Starts the server again.
    pub fn restart(&self) {
        if let Some(server) = &self.server {
            block_in_place(|| server.restart());
        }
    }

    /// Ends all connections.
    pub fn cut_connections(&self) {
        if let Some(database) = &self.database {
            block_in_place(|| database.cut_connections());
        }
    }
}
