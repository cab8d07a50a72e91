//! Durable storage behind [`apflow_core::store::Store`]: the only crate that knows SQL. [`open`] picks the database by
//! its URL, creates or upgrades it, and hands out the trait object; the host's façade calls it once at start.
//!
//! `tests/conformance.rs` runs the shared suite of the testkit against every database.

mod error;
mod rows;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::store::Store;

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

/// Opens the database at `url`, creating file and folders if need be, and brings it to this version's schema.
///
/// `sqlite:PATH` and `sqlite://PATH` name a file; `sqlite::memory:` is a database that lives as long as the store.
///
/// # Errors
/// `InvalidParams` for a URL of another form, `StoreUnavailable` if the database cannot be reached, `StoreCorrupt` if it is
/// damaged, not apflow's, or written by a newer version.
pub async fn open(url: &str, options: StoreOptions) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(sqlite::SqliteStore::open(sqlite_location(url)?, options).await?))
}

/// The schema version of the database at `url`, without changing it; 0 if there is none yet. [`latest_schema`] is the one
/// that [`open`] brings it to.
///
/// # Errors
/// As [`open`].
pub async fn schema_version(url: &str) -> Result<i64> {
    sqlite::schema_version(sqlite_location(url)?).await
}

/// The newest schema version that this build knows.
pub fn latest_schema() -> i64 {
    sqlite::latest_schema()
}

/// Takes the location out of a URL: a path or `:memory:`.
fn sqlite_location(url: &str) -> Result<&str> {
    let refuse = |problem: &str| {
        let text =
            format!("Database URL '{url}' {problem}. Write sqlite:PATH, sqlite://PATH or sqlite::memory:");
        Err(Error::new(ErrorCode::InvalidParams, text).with("field", "database_url").with("value", url))
    };
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return refuse("is not of a database that this build can open");
    };
    match rest.strip_prefix("//").unwrap_or(rest) {
        "" => refuse("names no file"),
        path if path.contains('?') => refuse("carries options, which it cannot"),
        path => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_file_or_memory() {
        assert_eq!(sqlite_location("sqlite:a/b.db"), Ok("a/b.db"));
        assert_eq!(sqlite_location("sqlite:///var/lib/a.db"), Ok("/var/lib/a.db"));
        assert_eq!(sqlite_location("sqlite::memory:"), Ok(":memory:"));
        for wrong in ["", "sqlite:", "sqlite://", "sqlite:a.db?mode=ro", "postgres://localhost/a", "a.db"] {
            let error = sqlite_location(wrong).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidParams);
            assert_eq!(error.data["value"], wrong);
        }
    }
}
