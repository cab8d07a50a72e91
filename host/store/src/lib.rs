//! Durable storage behind [`apflow_core::store::Store`]: the only crate that knows SQL. [`open`] picks the database by
//! its URL, creates or upgrades it, and hands out the trait object; the host's façade calls it once at start.
//!
//! `tests/conformance.rs` runs the shared suite of the testkit against every database.

mod database;
mod error;
mod migrations;
mod postgres;
mod rows;
pub mod scratch;
mod sqlite;
mod stored;
mod transfer;
mod verbs;

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::store::Store;

pub use transfer::Moved;

use database::Database;
use postgres::PostgresStore;
use sqlite::SqliteStore;
use stored::Stored;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A crash of the process and a loss of power: every commit waits for the disk.
    #[default]
    Full,
    /// A crash of the process. A loss of power may take the last moments with it, never the database's consistency.
    Normal,
}

/// How to open a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// What a commit survives.
    pub durability: Durability,
    /// How long to wait for another process that is writing to the same database file.
    pub busy_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { durability: Durability::default(), busy_timeout: Duration::from_secs(5) }
    }
}

/// Opens the database at `url` and brings it to this version's schema.
///
/// `sqlite:PATH` and `sqlite://PATH` name a file, which is made with its folders if need be; `sqlite::memory:` is a
/// database that lives as long as the store. `postgres://USER@HOST:PORT/DATABASE` (or `postgresql://`) names a database
/// that exists; in it the schema `apflow` is made. Several hosts may use one at a time.
///
/// # Errors
/// `InvalidParams` for a URL of another form, `StoreUnavailable` if the database cannot be reached, `StoreCorrupt` if it is
/// damaged, not apflow's, or written by a newer version.
pub async fn open(url: &str, options: StoreOptions) -> Result<Arc<dyn Store>> {
    Ok(match Location::of(url)? {
        Location::Sqlite(path) => Arc::new(Stored(SqliteStore::open(path, options).await?)),
        Location::Postgres(url) => Arc::new(Stored(PostgresStore::open(url, options).await?)),
    })
}

/// Copies the whole database at `from` into the empty one at `to`, of the same or another kind: trees, queues, runs, leases,
/// attempts, the log. Both are brought to this version's schema first. The copy is one transaction; what is at `from`
/// stays as it is.
///
/// # Errors
/// As [`open`]; `InvalidParams` if `to` is not empty or the same as `from`, `StoreUnavailable` while a host holds a lease
/// at `from`.
pub async fn copy(from: &str, to: &str, now: Timestamp) -> Result<Vec<Moved>> {
    let options = StoreOptions::default();
    let (source, target) = (Location::of(from)?, Location::of(to)?);
    if source == target {
        let text = "The database would be moved onto itself. Name another one as the target";
        return Err(Error::new(ErrorCode::InvalidParams, text).with("field", "to"));
    }
    match source {
        Location::Sqlite(path) => copy_from(&SqliteStore::open(path, options).await?, target, now).await,
        Location::Postgres(url) => copy_from(&PostgresStore::open(url, options).await?, target, now).await,
    }
}

async fn copy_from(source: &impl Database, target: Location<'_>, now: Timestamp) -> Result<Vec<Moved>> {
    let options = StoreOptions::default();
    match target {
        Location::Sqlite(path) => transfer::copy(source, &SqliteStore::open(path, options).await?, now).await,
        Location::Postgres(url) => {
            transfer::copy(source, &PostgresStore::open(url, options).await?, now).await
        }
    }
}

/// The schema version of the database at `url`, without changing it; 0 if there is none yet. [`latest_schema`] is the one
/// that [`open`] brings it to.
///
/// # Errors
/// As [`open`].
pub async fn schema_version(url: &str) -> Result<i64> {
    match Location::of(url)? {
        Location::Sqlite(path) => sqlite::schema_version(path).await,
        Location::Postgres(url) => postgres::schema_version(url).await,
    }
}

/// The newest schema version that this build knows for the kind of database at `url`.
///
/// # Errors
/// `InvalidParams` for a URL of another form.
pub fn latest_schema(url: &str) -> Result<i64> {
    Ok(migrations::latest(match Location::of(url)? {
        Location::Sqlite(_) => sqlite::MIGRATIONS,
        Location::Postgres(_) => postgres::MIGRATIONS,
    }))
}

/// Where a database is.
#[derive(Debug, PartialEq, Eq)]
enum Location<'u> {
    /// A path, or `:memory:`.
    Sqlite(&'u str),
    /// The whole URL.
    Postgres(&'u str),
}

impl<'u> Location<'u> {
    fn of(url: &'u str) -> Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url));
        }
        let refuse = |problem: &str| {
            let text = format!(
                "Database URL '{url}' {problem}. Write sqlite:PATH, sqlite://PATH, sqlite::memory: or \
                 postgres://USER@HOST/DATABASE"
            );
            Err(Error::new(ErrorCode::InvalidParams, text).with("field", "database_url").with("value", url))
        };
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return refuse("is not of a database that this build can open");
        };
        match rest.strip_prefix("//").unwrap_or(rest) {
            "" => refuse("names no file"),
            path if path.contains('?') => refuse("carries options, which it cannot"),
            path => Ok(Self::Sqlite(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_file_or_memory_or_a_server() {
        assert_eq!(Location::of("sqlite:a/b.db"), Ok(Location::Sqlite("a/b.db")));
        assert_eq!(Location::of("sqlite:///var/lib/a.db"), Ok(Location::Sqlite("/var/lib/a.db")));
        assert_eq!(Location::of("sqlite::memory:"), Ok(Location::Sqlite(":memory:")));
        for url in ["postgres://h/d", "postgresql://u@h:5433/d?application_name=x"] {
            assert_eq!(Location::of(url), Ok(Location::Postgres(url)));
        }
        for wrong in ["", "sqlite:", "sqlite://", "sqlite:a.db?mode=ro", "mysql://localhost/a", "a.db"] {
            let error = Location::of(wrong).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidParams);
            assert_eq!(error.data["value"], wrong);
        }
    }
}
