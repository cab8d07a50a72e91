//! The store on SQLite: one connection that writes, a few that read. The hot verbs (`insert`, `turn`) have a file each, with
//! its SQL beside the function that runs it; the steps of the others stand in `steps.rs`. How the tables work together is
//! said in the migration.

mod connect;
mod gates;
mod insert;
mod procedure;
mod scratch;
mod settle;
mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;
mod turn;

use std::sync::Arc;

use apflow_core::error::Result;
use sqlx::sqlite::SqlitePool;
use tokio::sync::Mutex;

pub(crate) use connect::schema_version;
use transaction::Writer;

use crate::StoreOptions;
use crate::migrations::Files;

pub(crate) const MIGRATIONS: Files = &[
    (1, "init", include_str!("../../../../migrations/sqlite/0001_init.sql")),
    (2, "origins", include_str!("../../../../migrations/sqlite/0002_origins.sql")),
    (3, "receipts", include_str!("../../../../migrations/sqlite/0003_receipts.sql")),
    (4, "schedules", include_str!("../../../../migrations/sqlite/0004_schedules.sql")),
    (5, "gates", include_str!("../../../../migrations/sqlite/0005_gates.sql")),
    (6, "webhooks", include_str!("../../../../migrations/sqlite/0006_webhooks.sql")),
    (7, "plugins", include_str!("../../../../migrations/sqlite/0007_plugins.sql")),
];

/// The location of a database that has no file.
const MEMORY: &str = ":memory:";

/// An open database.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    writer: Arc<Mutex<Writer>>,
    /// None for a database in memory, which only its own connection sees.
    readers: Option<SqlitePool>,
}

impl SqliteStore {
    /// Opens the database at a path or in memory.
    pub(crate) async fn open(location: &str, options: StoreOptions) -> Result<Self> {
        let writer = connect::writer(location, options).await?;
        let readers = (location != MEMORY).then(|| connect::readers(location, options));
        Ok(Self { writer: Arc::new(Mutex::new(Writer::new(writer))), readers })
    }
}
