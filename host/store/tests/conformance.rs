//! The shared suite of the store's contract, on a database file, on one in memory and on PostgreSQL.

use std::sync::Arc;

use apflow_core::store::Store;
use apflow_store::{Durability, StoreOptions};
use apflow_testkit::postgres::Database;
use tempfile::TempDir;

async fn in_file() -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let url = format!("sqlite:{}", folder.path().join("apflow.db").display());
    // What a commit survives has a test of its own; here it would only wait for the disk.
    let options = StoreOptions { durability: Durability::Normal, ..StoreOptions::default() };
    (apflow_store::open(&url, options).await.expect("a new file opens"), folder)
}

async fn in_memory() -> Arc<dyn Store> {
    apflow_store::open("sqlite::memory:", StoreOptions::default()).await.expect("memory opens")
}

async fn on_postgres() -> (Arc<dyn Store>, Database) {
    let database = Database::new();
    let options = StoreOptions { durability: Durability::Normal, ..StoreOptions::default() };
    (apflow_store::open(&database.url, options).await.expect("a new database opens"), database)
}

mod file {
    use super::*;
    apflow_testkit::store_suite!(in_file);
}

mod memory {
    use super::*;
    apflow_testkit::store_suite!(in_memory);
}

mod postgres {
    use super::*;
    apflow_testkit::store_suite!(on_postgres);
}
