//! The conformance suite, run against the store in memory.

use std::sync::Arc;

use apflow_core::store::Store;
use apflow_testkit::mem::MemStore;

async fn open() -> Arc<dyn Store> {
    Arc::new(MemStore::new())
}

apflow_testkit::store_suite!(open);
