//! The store on PostgreSQL, which several hosts may use at a time. What is written is written by functions of our own
//! (`functions/`): one round trip for a turn, and each statement in it sees what the one before it did. How the tables
//! differ from SQLite's is said in the migration, why all this is so in docs/decisions/0005-postgresql.md.

mod code;
mod connect;
mod insert;
mod log;
mod peers;
#[cfg(test)]
mod tests;
mod tidy;
mod transaction;
mod turn;

use apflow_core::error::Result;
use sqlx::PgPool;
use tokio::sync::Mutex;

use connect::Target;
pub(crate) use connect::{create_beside, remove, schema_version};
use log::Log;
use peers::Peers;
use turn::Turner;

use crate::StoreOptions;
use crate::migrations::Files;

pub(crate) const MIGRATIONS: Files = &[
    (1, "init", include_str!("../../../../migrations/postgres/0001_init.sql")),
    (2, "origins", include_str!("../../../../migrations/postgres/0002_origins.sql")),
    (3, "receipts", include_str!("../../../../migrations/postgres/0003_receipts.sql")),
    (4, "schedules", include_str!("../../../../migrations/postgres/0004_schedules.sql")),
    (5, "gates", include_str!("../../../../migrations/postgres/0005_gates.sql")),
    (6, "webhooks", include_str!("../../../../migrations/postgres/0006_webhooks.sql")),
    (7, "plugins", include_str!("../../../../migrations/postgres/0007_plugins.sql")),
];

/// An open database.
#[derive(Debug)]
pub(crate) struct PostgresStore {
    target: Target,
    /// What writes beside turns.
    writers: PgPool,
    /// What reads; the only connections whose plans follow statistics.
    readers: PgPool,
    /// What listens; one connection.
    ears: PgPool,
    peers: Peers,
    turner: Mutex<Turner>,
    log: Log,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    pub(crate) async fn open(url: &str, options: StoreOptions) -> Result<Self> {
        let target = Target::of(url, options)?;
        target.prepare().await?;
        let (writers, readers) = (target.pool(connect::Role::Writer), target.pool(connect::Role::Reader));
        let ears = target.ear();
        let (peers, turner, log) = (Peers::default(), Mutex::default(), Log::default());
        Ok(Self { target, writers, readers, ears, peers, turner, log })
    }
}
