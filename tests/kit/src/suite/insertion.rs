//! `insert_tree`: what is written, in which order, and that a refusal writes nothing.

use std::sync::Arc;

use apflow_core::error::ErrorCode;
use apflow_core::id::{Seq, TaskId};
use apflow_core::json::Json;
use apflow_core::store::{Store, TaskFilter};
use apflow_core::task::{DependencyKind, OriginType, TaskStatus, TreeStatus};
use serde_json::json;

use super::rig::{Rig, completed, tree};
use crate::trees::{fan, outline};

/// Tasks are kept in pre-order, and a tree that is not executed does not run.
pub async fn pre_order_without_execution(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let inserted = rig.insert("r; a; b; a1^a; b1^b; a2^a").await;
    assert_eq!(inserted.execution, None);
    let tasks = rig.store.subtree(&"r".into()).await.unwrap();
    let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["r", "a", "a1", "a2", "b", "b1"]);
    let parents: Vec<Option<&str>> =
        tasks.iter().map(|task| task.parent_id.as_ref().map(TaskId::as_str)).collect();
    assert_eq!(parents, [None, Some("r"), Some("a"), Some("a"), Some("r"), Some("b")]);
    assert!(tasks.iter().all(|task| task.status == TaskStatus::Pending && task.tree_id.as_str() == "r"));
    assert_eq!(rig.tree_status("b1").await, TreeStatus::Pending);
    assert!(rig.claim(10).await.is_empty());
    assert_eq!(rig.log("r", Seq(0)).await, ["tree.created"]);
}

/// With `execute` the tree is armed in the same transaction.
pub async fn armed_at_once(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let inserted = rig.start("r <- a; a").await;
    assert_eq!(inserted.execution, Some(1));
    assert_eq!(rig.log("r", Seq(0)).await, ["tree.created", "tree.started"]);
    let state = rig.store.tree_state(&"a".into()).await.unwrap().unwrap();
    assert_eq!((state.key, state.status, state.execution), (inserted.tree, TreeStatus::InProgress, 1));
    assert_eq!((state.started_at, state.ended_at), (Some(rig.now), None));
    rig.claim_exactly(&["a"]).await;
}

/// Every field of a definition is read back, and everything else has its first value.
pub async fn every_field_comes_back(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let inputs = json!({"text": "naïve ☃ \" \\ \n", "n": 1.5, "list": [null, true]});
    rig.insert_json(
        json!([{
            "id": "r", "task_tree_id": "the-tree", "name": "the root", "user_id": "ann", "priority": 3,
            "executor": "x", "inputs": inputs, "params": {"p": 1}, "schemas": {"method": "x"},
            "description": "words", "metadata": {"colour": "red"}, "timeout_ms": 1500,
            "retry": {"max_attempts": 4, "base_ms": 10},
            "dependencies": [{"id": "b", "required": false, "type": "reference"}, "c"],
        }, {"id": "b", "name": "b", "parent_id": "r"}, {"id": "c", "name": "c", "parent_id": "r"}]),
        false,
    )
    .await;
    let task = rig.task("r").await;
    assert_eq!((task.tree_id.as_str(), task.name.as_str()), ("the-tree", "the root"));
    assert_eq!((task.user_id.as_deref(), task.priority), (Some("ann"), 3));
    assert_eq!((task.executor.as_deref(), task.inputs.value()), (Some("x"), inputs));
    assert_eq!((task.params.value(), task.schemas.value()), (json!({"p": 1}), json!({"method": "x"})));
    assert_eq!(task.metadata.unwrap().value(), json!({"colour": "red"}));
    assert_eq!((task.description.as_deref(), task.timeout_ms), (Some("words"), Some(1500)));
    assert_eq!(task.retry.map(|retry| (retry.max_attempts, retry.base_ms)), Some((4, 10)));
    let edges: Vec<_> = task.dependencies.iter().map(|d| (d.id.as_str(), d.required, d.kind)).collect();
    assert_eq!(edges, [("b", false, DependencyKind::Reference), ("c", true, DependencyKind::Result)]);
    assert!(task.has_children);

    let task = rig.task("b").await;
    assert_eq!((task.user_id.as_deref(), task.priority, task.has_children), (Some("ann"), 2, false));
    assert_eq!((task.inputs, task.params, task.schemas), (Json::object(), Json::object(), Json::object()));
    assert_eq!((task.result, task.error, task.progress), (None, None, 0.0));
    assert_eq!((task.created_at, task.updated_at), (rig.now, rig.now));
    assert_eq!((task.started_at, task.completed_at), (None, None));
    assert_eq!((task.attempt, task.lease_id, task.last_assigned_node), (0, None, None));
    assert_eq!((task.origin_type, task.blocked_by), (OriginType::Create, None));
    assert_eq!((task.executor, task.metadata, task.retry, task.timeout_ms), (None, None, None, None));
}

/// JSON travels as text: spaces, order of keys and the form of numbers stay.
pub async fn json_text_is_kept(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let text = r#"{"b":1,  "a":[1.50, 1e2, 12345678901234567890123]}"#;
    let mut tree = tree(outline("r"));
    tree.tasks[0].inputs = Json::parse(text).unwrap();
    rig.store.insert_tree(&tree, true, rig.now).await.unwrap();
    let run = rig.claim_one("r").await;
    assert_eq!(run.inputs.as_str(), text);
    let mut finished = completed(&run);
    finished.outcome = apflow_core::store::RunOutcome::Completed { result: Json::parse(text).unwrap() };
    rig.turn(vec![finished], 0).await;
    assert_eq!(rig.task("r").await.result.unwrap().as_str(), text);
}

/// A task id that is taken is named, and nothing of the tree is there.
pub async fn a_taken_task_id_leaves_nothing(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a; b").await;
    let seq = rig.last_seq().await;
    let error = rig.store.insert_tree(&tree(outline("s; c; b")), true, rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidTree);
    assert!(error.message.contains("already exists") && error.message.contains("id: b"), "{error}");
    assert_eq!(rig.statuses(&["s", "c", "b"]).await, "none none pending");
    assert_eq!(rig.task("b").await.tree_id.as_str(), "r");
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap().total(), 3);
    assert_eq!(rig.last_seq().await, seq);
    assert!(rig.claim(10).await.is_empty());
    rig.start("s; c").await;
    rig.claim_exactly(&["s", "c"]).await;
}

/// So is a tree id, where no task id is.
pub async fn a_taken_tree_id_leaves_nothing(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a").await;
    let seq = rig.last_seq().await;
    let other = tree(json!([{"id": "s", "name": "s", "task_tree_id": "r"}]));
    let error = rig.store.insert_tree(&other, true, rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidTree);
    assert!(error.message.contains("already exists") && error.message.contains("tree_id: r"), "{error}");
    assert_eq!(rig.statuses(&["s", "r"]).await, "none pending");
    assert_eq!(rig.last_seq().await, seq);
}

/// A tree of 5,000 tasks is inserted, read and run like a small one.
pub async fn five_thousand_tasks(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(fan(4_998), true).await;
    let tasks = rig.store.subtree(&"join".into()).await.unwrap();
    assert_eq!((tasks.len(), tasks[0].dependencies.len()), (5_000, 4_998));
    assert_eq!(tasks[4_999].id.as_str(), "leaf-4998");
    let mut ended = Vec::new();
    let mut order = Vec::new();
    let mut outcome = rig.turn(Vec::new(), 1_000).await;
    while !outcome.claimed.is_empty() {
        order.extend(outcome.claimed.iter().map(|run| run.name.clone()));
        outcome = rig.turn(outcome.claimed.iter().map(completed).collect(), 1_000).await;
        ended.extend(outcome.ended.iter().map(|end| end.status));
    }
    assert_eq!((order.len(), order[0].as_str(), order[4_999].as_str()), (5_000, "fork", "join"));
    assert_eq!(ended, [TreeStatus::Completed]);
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap().completed, 5_000);
}
