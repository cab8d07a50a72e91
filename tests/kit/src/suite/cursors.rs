//! Cursors: named positions that readers of the log keep.

use std::sync::Arc;

use apflow_core::id::Seq;
use apflow_core::store::Store;

use super::rig::START;

/// None at first, then what was written last; each name for itself.
pub async fn they_are_kept_by_name(store: Arc<dyn Store>) {
    assert_eq!(store.cursor("metrics").await.unwrap(), None);
    store.set_cursor("metrics", Seq(5), START).await.unwrap();
    store.set_cursor("other", Seq(0), START).await.unwrap();
    assert_eq!(store.cursor("metrics").await.unwrap(), Some(Seq(5)));
    store.set_cursor("metrics", Seq(9), START).await.unwrap();
    store.set_cursor("metrics", Seq(3), START).await.unwrap();
    assert_eq!(store.cursor("metrics").await.unwrap(), Some(Seq(3)));
    assert_eq!(store.cursor("other").await.unwrap(), Some(Seq(0)));
    assert_eq!(store.cursor("third").await.unwrap(), None);
}
