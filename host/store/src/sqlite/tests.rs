//! What is SQLite's own: files, settings, locks, rollbacks. The meaning of the verbs is tested by the shared suite.

use super::*;

/// A store in memory.
pub(crate) async fn store() -> SqliteStore {
    SqliteStore::open(MEMORY, StoreOptions::default()).await.unwrap()
}
