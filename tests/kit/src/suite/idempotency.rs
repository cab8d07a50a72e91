//! `insert_once` and `receipt`: one tree for one key, whoever asks how often.

use std::sync::Arc;

use apflow_core::error::ErrorCode;
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::store::{InsertedOnce, Store, TaskFilter};
use serde_json::{Value, json};

use super::rig::{Rig, tree};

/// The tree has new ids each time, as that of a caller who leaves them to the host.
async fn insert(
    rig: &Rig,
    key: &str,
    tasks: &Value,
    execute: bool,
) -> apflow_core::error::Result<InsertedOnce> {
    let receipt = NewReceipt::new(key, "tasks.create", tasks).unwrap();
    rig.store.insert_once(&tree(tasks.clone()), &receipt, execute, rig.now).await
}

fn two(user: Option<&str>) -> Value {
    json!([{"name": "r", "user_id": user}, {"name": "a", "parent_id": "r"}])
}

/// The second request gets the first one's tree, and writes nothing.
pub async fn the_same_request_gets_the_same_tree(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let first = insert(&rig, "k", &two(None), false).await.unwrap();
    let Receipt { tree_id, root, tree, .. } = first.receipt.clone();
    assert_eq!(first.inserted.map(|inserted| (inserted.tree, inserted.execution)), Some((tree, None)));
    assert_eq!((first.receipt.key.as_str(), first.receipt.created_at), ("k", rig.now));
    assert_eq!(rig.task(root.as_str()).await.idempotency_key.as_deref(), Some("k"));
    assert_eq!(rig.task(root.as_str()).await.tree_id, tree_id);
    let child = rig.store.children(&root).await.unwrap().remove(0);
    assert_eq!(child.idempotency_key, None);
    let (seq, before) = (rig.last_seq().await, rig.now);
    rig.wait_ms(5);
    let second = insert(&rig, "k", &two(None), false).await.unwrap();
    assert_eq!(
        second,
        InsertedOnce { receipt: Receipt { created_at: before, ..first.receipt }, inserted: None }
    );
    assert_eq!(
        (rig.last_seq().await, rig.store.count(TaskFilter::default()).await.unwrap().total()),
        (seq, 2)
    );
    assert_eq!(rig.store.receipt(None, "k").await.unwrap(), Some(second.receipt));
    assert_eq!(rig.store.receipt(None, "other").await.unwrap(), None);
}

/// With execution the tree is armed, once.
pub async fn an_execution_is_armed_once(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let first = insert(&rig, "k", &two(None), true).await.unwrap();
    assert_eq!(first.inserted.and_then(|inserted| inserted.execution), Some(1));
    assert_eq!(rig.drain().await, ["r", "a"]);
    assert_eq!(insert(&rig, "k", &two(None), true).await.unwrap().inserted, None);
    assert!(rig.claim(10).await.is_empty());
}

/// Other content under the same key is a conflict, and writes nothing.
pub async fn other_content_is_a_conflict(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let first = insert(&rig, "k", &two(None), false).await.unwrap().receipt;
    let seq = rig.last_seq().await;
    let error = insert(&rig, "k", &json!([{"name": "r"}]), false).await.unwrap_err();
    assert_eq!(
        (error.code, &error.data["tree_id"]),
        (ErrorCode::IdempotencyConflict, &first.tree_id.as_str().into())
    );
    assert_eq!(rig.last_seq().await, seq);
    insert(&rig, "l", &json!([{"name": "r"}]), false).await.unwrap();
}

/// A key is its owner's.
pub async fn owners_have_keys_of_their_own(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    for user in [None, Some("ann"), Some("bob")] {
        assert!(insert(&rig, "k", &two(user), false).await.unwrap().inserted.is_some());
    }
    let of = async |owner: Option<&str>| rig.store.receipt(owner, "k").await.unwrap().unwrap().tree_id;
    assert_ne!(of(Some("ann")).await, of(Some("bob")).await);
    assert_ne!(of(Some("ann")).await, of(None).await);
}

/// A tree that cannot be written leaves no receipt.
pub async fn a_refused_tree_leaves_no_receipt(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r").await;
    let taken = json!([{"id": "r", "name": "r"}]);
    assert_eq!(insert(&rig, "k", &taken, false).await.unwrap_err().code, ErrorCode::InvalidTree);
    assert_eq!(rig.store.receipt(None, "k").await.unwrap(), None);
    assert!(insert(&rig, "k", &two(None), false).await.unwrap().inserted.is_some());
}

/// A key goes with its tree, not with a part of it.
pub async fn a_key_goes_with_its_tree(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let first = insert(&rig, "k", &two(None), false).await.unwrap().receipt;
    let child = rig.store.children(&first.root).await.unwrap().remove(0);
    rig.store.delete(&child.id, rig.now).await.unwrap();
    assert_eq!(insert(&rig, "k", &two(None), false).await.unwrap().receipt, first);
    rig.store.delete(&first.root, rig.now).await.unwrap();
    assert_eq!(rig.store.receipt(None, "k").await.unwrap(), None);
    let second = insert(&rig, "k", &two(None), false).await.unwrap();
    assert!(second.inserted.is_some() && second.receipt.tree_id != first.tree_id);
}

/// Of many requests at the same time one creates, and all get its tree.
pub async fn requests_at_the_same_time_make_one_tree(store: Arc<dyn Store>) {
    let rig = Arc::new(Rig::new(store).await);
    let requests = (0..20).map(|_| {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move { insert(&rig, "k", &two(None), true).await.unwrap() })
    });
    let mut answers = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        answers.push(request.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| answer.inserted.is_some()).count(), 1);
    assert!(answers.iter().all(|answer| answer.receipt == answers[0].receipt));
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap().total(), 2);
}

/// A tree of many pieces is written as one.
pub async fn a_large_tree(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let tasks = crate::trees::fan(500);
    assert!(insert(&rig, "k", &tasks, true).await.unwrap().inserted.is_some());
    assert!(insert(&rig, "k", &tasks, true).await.unwrap().inserted.is_none());
    assert_eq!(rig.drain().await.len(), 502);
}
