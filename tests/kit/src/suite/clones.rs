//! `insert_clone` and `archive`: what a clone is, that links read through and never run, that archives are frozen, and
//! that a refusal writes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use apflow_core::clone::{CloneMode, CloneRequest, NewClone, build, select};
use apflow_core::error::{ErrorCode, Result};
use apflow_core::id::{Seq, TaskId};
use apflow_core::json::Json;
use apflow_core::store::{ExecuteRequest, Execution, Inserted, Store, TaskFilter, TaskPatch};
use apflow_core::task::{OriginType, Task, TaskStatus, TreeStatus};
use serde_json::json;

use super::rig::{Rig, completed_with, status_patch};

fn request(task: &str, mode: CloneMode, link: &[&str]) -> CloneRequest {
    let link = link.iter().map(|id| TaskId::from(*id)).collect();
    CloneRequest { mode, link, ..CloneRequest::copy(task.into()) }
}

impl Rig {
    /// What the arithmetic of the core makes of the tree of a task, as it is stored now.
    async fn plan_clone(&self, request: &CloneRequest) -> NewClone {
        let root = self.store.tree_state(&request.task).await.unwrap().unwrap().root;
        let tree = self.store.subtree(&root).await.unwrap();
        let ids: Vec<TaskId> = tree.iter().filter_map(|task| task.original_task_id.clone()).collect();
        let originals: HashMap<TaskId, Task> = self
            .store
            .get(&ids)
            .await
            .unwrap()
            .into_iter()
            .flatten()
            .map(|task| (task.id.clone(), task))
            .collect();
        build(&tree, &select(&tree, request).unwrap(), &originals, request, self.now).unwrap()
    }

    /// Makes a clone; gives the ids of its tasks by their names.
    async fn make_clone(&self, request: &CloneRequest) -> HashMap<String, String> {
        let clone = self.plan_clone(request).await;
        self.store.insert_clone(&clone, self.now).await.unwrap();
        clone.tree.tasks.iter().map(|task| (task.name.clone(), task.id.to_string())).collect()
    }

    async fn archive(&self, ids: &[&str]) -> Result<()> {
        let ids: Vec<TaskId> = ids.iter().map(|id| TaskId::from(*id)).collect();
        self.store.archive(&ids, self.now).await
    }

    /// Runs an outline to its end.
    async fn run(&self, text: &str) -> Inserted {
        let inserted = self.start(text).await;
        self.drain().await;
        inserted
    }
}

/// A copy of a finished tree is pending and clean, has the same shape, and runs like its source.
pub async fn a_copy_is_clean_and_runs(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.run("r <- a b; a; a1^a; b <- a1?").await;
    rig.wait_ms(5);
    let copy = rig.make_clone(&request("r", CloneMode::Copy, &[])).await;
    let tasks = rig.store.subtree(&copy["r"].as_str().into()).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["r", "a", "a1", "b"]);
    for task in &tasks {
        assert_eq!((task.status, task.attempt, &task.result), (TaskStatus::Pending, 0, &None));
        assert_eq!((task.created_at, task.completed_at), (rig.now, None));
        assert_eq!((task.origin_type, task.tree_id.as_str()), (OriginType::Copy, copy["r"].as_str()));
        assert_eq!(task.original_task_id.as_ref().map(TaskId::as_str), Some(task.name.as_str()));
        assert!(rig.store.attempts(&task.id).await.unwrap().is_empty());
        assert!(rig.task(&task.name).await.has_references);
    }
    let edges: Vec<_> = tasks[3].dependencies.iter().map(|d| (d.id.as_str(), d.required)).collect();
    assert_eq!(edges, [(copy["a1"].as_str(), false)]);
    assert_eq!(rig.log(&copy["r"], Seq(0)).await, ["tree.created"]);
    rig.execute(&copy["r"]).await;
    assert_eq!(rig.drain().await, ["a", "a1", "b", "r"]);
    assert_eq!(rig.tree_status(&copy["r"]).await, TreeStatus::Completed);
    assert_eq!(rig.task("r").await.attempt, 1);
}

/// The definition is copied, not what an attempt ran with.
pub async fn a_copy_has_the_inputs_of_the_definition(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.insert_json(json!([{"id": "r", "name": "r", "executor": "x", "inputs": {"n": 1}}]), true).await;
    let run = rig.claim_one("r").await;
    let mut finished = completed_with(&run, json!(1));
    finished.inputs = Some(json!({"n": 1, "merged": true}).into());
    rig.turn(vec![finished], 0).await;
    let task = rig.task("r").await;
    assert_eq!(task.inputs.value(), json!({"n": 1, "merged": true}));
    assert_eq!(task.defined_inputs.unwrap().value(), json!({"n": 1}));
    let copy = rig.make_clone(&request("r", CloneMode::Copy, &[])).await;
    assert_eq!(rig.task(&copy["r"]).await.inputs.value(), json!({"n": 1}));
    // An edit is newer than the attempt.
    rig.wait_ms(1);
    rig.update("r", TaskPatch { inputs: Some(json!({"n": 2}).into()), ..TaskPatch::default() }).await;
    let task = rig.task("r").await;
    assert_eq!((task.inputs.value(), task.defined_inputs), (json!({"n": 2}), None));
}

/// A link is completed, has nothing of its own, and its tree has nothing to run.
pub async fn a_link_is_completed_and_empty(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.run("r <- a; a").await;
    rig.wait_ms(5);
    let link = rig.make_clone(&request("r", CloneMode::Link, &[])).await;
    let task = rig.task(&link["a"]).await;
    assert_eq!(
        (task.status, task.origin_type, task.is_link),
        (TaskStatus::Completed, OriginType::Link, true)
    );
    assert_eq!((task.progress, task.completed_at, task.started_at), (1.0, Some(rig.now), None));
    assert_eq!((&task.inputs, &task.params, &task.schemas), (&Json::null(), &Json::null(), &Json::null()));
    assert_eq!((task.result, task.executor, task.attempt), (None, None, 0));
    assert_eq!(task.original_task_id, Some("a".into()));
    let attempts = rig.store.attempts(&task.id).await.unwrap();
    assert_eq!(
        attempts.iter().map(|one| (one.attempt, one.status)).collect::<Vec<_>>(),
        [(0, TaskStatus::Completed)]
    );
    assert_eq!((attempts[0].node.clone(), attempts[0].completed_at), (None, rig.now));
    let state = rig.store.tree_state(&task.id).await.unwrap().unwrap();
    assert_eq!((state.status, state.execution, state.ended_at), (TreeStatus::Completed, 0, Some(rig.now)));
    let again = ExecuteRequest { task: link["r"].as_str().into(), rerun_completed: true, now: rig.now };
    let execution = rig.store.execute(again).await.unwrap();
    assert!(matches!(execution, Execution::NothingToRun { status: TreeStatus::Completed, .. }));
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap().completed, 4);
    let (code, text) = rig.refused_update(&link["a"], status_patch(TaskStatus::Pending)).await;
    assert_eq!(code, ErrorCode::TaskImmutable, "{text}");
}

/// In a mixed clone only the copies run, and take the results of the links' originals.
pub async fn copies_take_the_results_of_links(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let tasks = json!([
        {"id": "r", "name": "r", "executor": "x", "dependencies": ["a", "b"]},
        {"id": "a", "name": "a", "parent_id": "r", "executor": "y", "schemas": {"s": 1}},
        {"id": "b", "name": "b", "parent_id": "r", "executor": "x"},
    ]);
    rig.insert_json(tasks, true).await;
    let runs = rig.claim_exactly(&["a", "b"]).await;
    rig.turn(vec![completed_with(&runs[0], json!({"of": "a"})), completed_with(&runs[1], json!(2))], 0).await;
    rig.drain().await;
    let mixed = rig.make_clone(&request("r", CloneMode::Mixed, &["a"])).await;
    let origins = [&mixed["r"], &mixed["a"], &mixed["b"]].map(String::as_str);
    assert_eq!(rig.statuses(&origins).await, "pending completed pending");
    assert_eq!(rig.tree_status(&mixed["r"]).await, TreeStatus::Pending);
    rig.execute(&mixed["r"]).await;
    let run = rig.claim_one("b").await;
    rig.complete(&[run]).await;
    let run = rig.claim_one("r").await;
    let link = &run.dependencies[0];
    assert_eq!(
        (link.id.as_str(), link.name.as_str(), link.status),
        (mixed["a"].as_str(), "a", TaskStatus::Completed)
    );
    assert_eq!((link.executor.as_deref(), link.schemas.value()), (Some("y"), json!({"s": 1})));
    assert_eq!(link.result.as_ref().map(Json::value), Some(json!({"of": "a"})));
    rig.complete(&[run]).await;
    assert_eq!(rig.tree_status(&mixed["r"]).await, TreeStatus::Completed);
    // A rerun leaves the link alone.
    let again = ExecuteRequest { task: mixed["r"].as_str().into(), rerun_completed: true, now: rig.now };
    rig.store.execute(again).await.unwrap();
    assert_eq!(rig.drain().await, ["b", "r"]);
}

/// An original that runs again and fails still gives what it once completed with.
pub async fn a_link_gives_the_newest_completed_result(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.run("r <- a; a").await;
    let mixed = rig.make_clone(&request("r", CloneMode::Mixed, &["a"])).await;
    let again = ExecuteRequest { task: "a".into(), rerun_completed: true, now: rig.now };
    rig.store.execute(again).await.unwrap();
    let run = rig.claim_one("a").await;
    rig.fail(&run).await;
    assert_eq!(rig.statuses(&["a", &mixed["a"]]).await, "failed completed");
    rig.execute(&mixed["r"]).await;
    let run = rig.claim_one("r").await;
    assert_eq!(run.dependencies[0].result.as_ref().map(Json::value), Some(json!("a")));
}

/// A link to a link is a link to the original, and a copy of a link is a copy of the original.
pub async fn clones_of_clones_name_the_original(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.run("r").await;
    let link = rig.make_clone(&request("r", CloneMode::Link, &[])).await;
    let second = rig.make_clone(&request(&link["r"], CloneMode::Link, &[])).await;
    assert_eq!(rig.task(&second["r"]).await.original_task_id, Some("r".into()));
    let copy = rig.make_clone(&request(&second["r"], CloneMode::Copy, &[])).await;
    let task = rig.task(&copy["r"]).await;
    assert_eq!(
        (task.original_task_id, task.executor.as_deref()),
        (Some("r".into()), Some(crate::trees::EXECUTOR))
    );
    let of_copy = rig.make_clone(&request(&copy["r"], CloneMode::Copy, &[])).await;
    assert_eq!(rig.task(&of_copy["r"]).await.original_task_id, Some(copy["r"].as_str().into()));
    assert!(!rig.task(&link["r"]).await.has_references);
}

/// What has changed since the clone was thought of is seen, and then nothing is written.
pub async fn originals_are_checked_again(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.run("r").await;
    let link = rig.plan_clone(&request("r", CloneMode::Link, &[])).await;
    let again = ExecuteRequest { task: "r".into(), rerun_completed: true, now: rig.now };
    rig.store.execute(again).await.unwrap();
    rig.insert("s").await;
    let copy = rig.plan_clone(&request("s", CloneMode::Copy, &[])).await;
    rig.store.delete(&"s".into(), rig.now).await.unwrap();
    let seq = rig.last_seq().await;
    let error = rig.store.insert_clone(&link, rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CannotClone, "{error}");
    let error = rig.store.insert_clone(&copy, rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TaskNotFound, "{error}");
    assert_eq!(rig.last_seq().await, seq);
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap().total(), 1);
    // The writer is free again.
    rig.insert("t").await;
}

/// An id that is taken leaves nothing.
pub async fn a_taken_id_leaves_nothing(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a").await;
    let mut clone = rig.plan_clone(&request("r", CloneMode::Copy, &[])).await;
    clone.tree.tasks[1].id = "a".into();
    let seq = rig.last_seq().await;
    let error = rig.store.insert_clone(&clone, rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidTree);
    assert!(error.message.contains("id: a"), "{error}");
    assert_eq!(
        (rig.last_seq().await, rig.store.count(TaskFilter::default()).await.unwrap().total()),
        (seq, 2)
    );
    assert!(!rig.task("r").await.has_references);
}

/// An archived task stays as it is, and says so.
pub async fn archives_are_frozen(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.run("r <- a; a").await;
    rig.wait_ms(5);
    let seq = rig.last_seq().await;
    rig.archive(&["r", "a"]).await.unwrap();
    assert_eq!(rig.log("r", seq).await, ["task.updated r", "task.updated a"]);
    let before = rig.task("a").await;
    assert_eq!((before.origin_type, before.status), (OriginType::Archive, TaskStatus::Completed));
    assert_eq!((before.result.as_ref().map(Json::value), before.updated_at), (Some(json!("a")), rig.now));
    let (code, text) = rig.refused_update("a", TaskPatch { priority: Some(0), ..TaskPatch::default() }).await;
    assert_eq!(code, ErrorCode::TaskImmutable, "{text}");
    let error = rig.store.delete(&"a".into(), rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TaskImmutable, "{error}");
    for task in ["r", "a"] {
        let again = ExecuteRequest { task: task.into(), rerun_completed: true, now: rig.now };
        assert_eq!(rig.store.execute(again).await.unwrap_err().code, ErrorCode::TaskImmutable);
    }
    let seq = rig.last_seq().await;
    rig.archive(&["a"]).await.unwrap();
    assert_eq!((rig.last_seq().await, rig.task("a").await), (seq, before));
    // It can be copied and linked to.
    let copy = rig.make_clone(&request("r", CloneMode::Copy, &[])).await;
    rig.execute(&copy["r"]).await;
    assert_eq!(rig.drain().await, ["a", "r"]);
    rig.make_clone(&request("r", CloneMode::Link, &[])).await;
}

/// An archived part stays out of executions, and holds nobody up.
pub async fn an_archived_part_does_not_run_again(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.run("r <- a b; a; b").await;
    rig.archive(&["a"]).await.unwrap();
    let again = ExecuteRequest { task: "r".into(), rerun_completed: true, now: rig.now };
    rig.store.execute(again).await.unwrap();
    assert_eq!(rig.drain().await, ["b", "r"]);
    assert_eq!(rig.task("a").await.attempt, 1);
}

/// Only completed tasks can be archived: all or none.
pub async fn what_is_not_completed_is_not_archived(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.run("r").await;
    rig.insert("s").await;
    let seq = rig.last_seq().await;
    let error = rig.archive(&["r", "s"]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CannotClone);
    assert!(error.message.contains("s: pending"), "{error}");
    assert_eq!(rig.archive(&["r", "ghost"]).await.unwrap_err().code, ErrorCode::TaskNotFound);
    assert_eq!((rig.last_seq().await, rig.task("r").await.origin_type), (seq, OriginType::Create));
}

/// An archived link still reads through.
pub async fn an_archived_link_stays_a_link(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.run("r").await;
    let link = rig.make_clone(&request("r", CloneMode::Link, &[])).await;
    rig.archive(&[&link["r"]]).await.unwrap();
    let task = rig.task(&link["r"]).await;
    assert_eq!((task.origin_type, task.is_link), (OriginType::Archive, true));
    assert_eq!((task.original_task_id, task.inputs), (Some("r".into()), Json::null()));
}

/// What is linked to stays; links may go, and then it may go, too.
pub async fn a_linked_task_cannot_be_deleted(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a").await;
    let runs = rig.claim_exactly(&["r", "a"]).await;
    rig.complete(&runs).await;
    let link = rig.make_clone(&request("a", CloneMode::Link, &[])).await;
    let copy = rig.make_clone(&request("a", CloneMode::Copy, &[])).await;
    let again = ExecuteRequest { task: "a".into(), rerun_completed: true, now: rig.now };
    rig.store.execute(again).await.unwrap();
    let run = rig.claim_one("a").await;
    rig.fail(&run).await;
    rig.update("a", status_patch(TaskStatus::Pending)).await;
    let error = rig.store.delete(&"a".into(), rig.now).await.unwrap_err();
    let text = format!("Cannot delete task: task has 1 links to it: [{}] (delete them first)", link["a"]);
    assert_eq!((error.code, error.message), (ErrorCode::CannotDelete, text));
    rig.store.delete(&link["a"].as_str().into(), rig.now).await.unwrap();
    assert!(rig.task("a").await.has_references);
    rig.store.delete(&"a".into(), rig.now).await.unwrap();
    // The copy still says where it came from.
    assert_eq!(rig.task(&copy["a"]).await.original_task_id, Some("a".into()));
    rig.store.delete(&copy["a"].as_str().into(), rig.now).await.unwrap();
}

/// A tree of many pieces is cloned as a whole.
pub async fn a_large_tree(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert_json(crate::trees::fan(1_000), false).await;
    let copy = rig.make_clone(&request("join", CloneMode::Copy, &[])).await;
    assert_eq!(copy.len(), 1_002);
    let progress = rig.store.progress(&copy["join"].as_str().into()).await.unwrap().unwrap();
    assert_eq!((progress.counts.pending, progress.fraction()), (1_002, 0.0));
    assert_eq!(rig.task(&copy["leaf-1000"]).await.dependencies[0].id.as_str(), copy["fork"]);
}
