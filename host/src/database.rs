//! Care of the database while no host works on it: which schema it has, bringing it up to date, moving it elsewhere.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use serde::Serialize;

pub use apflow_store::{Moved, scratch};

use crate::config::DatabaseConfig;
use crate::host::prepare;
use crate::lock::DatabaseLock;

/// The schema of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaState {
    /// Where it is; a password is left out.
    pub database: String,
    /// The version that it has; 0 if there is none yet.
    pub version: i64,
    /// The version that this build brings it to.
    pub latest: i64,
}

/// Which schema a database has. Changes nothing.
///
/// # Errors
/// `StoreUnavailable` or `StoreCorrupt` for the database.
pub async fn state(database: &DatabaseConfig) -> Result<SchemaState> {
    Ok(SchemaState {
        database: database.shown(),
        version: apflow_store::schema_version(&database.url).await?,
        latest: apflow_store::latest_schema(&database.url)?,
    })
}

/// Makes the database if it is missing and brings its schema up to date; gives what it was before. A host does the same
/// when it starts.
///
/// # Errors
/// `StoreUnavailable`, also while a host has the database file; `StoreCorrupt`.
pub async fn migrate(database: &DatabaseConfig) -> Result<SchemaState> {
    let _lock = lock(database)?;
    let before = state(database).await?;
    apflow_store::open(&database.url, apflow_store::StoreOptions::default()).await?;
    Ok(before)
}

/// Copies everything into an empty database of any kind. The one it came from stays as it is; hosts must be told of the
/// new place.
///
/// # Errors
/// `StoreUnavailable`, also while a host works on the source or has one of the files; `StoreCorrupt`; `InvalidParams` if the
/// target is not empty.
pub async fn copy(from: &DatabaseConfig, to: &DatabaseConfig, now: Timestamp) -> Result<Vec<Moved>> {
    let _locks = (lock(from)?, lock(to)?);
    apflow_store::copy(&from.url, &to.url, now).await
}

fn lock(database: &DatabaseConfig) -> Result<Option<DatabaseLock>> {
    database.file().map(|file| prepare(&file)).transpose()
}
