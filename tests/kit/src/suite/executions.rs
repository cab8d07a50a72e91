//! `execute`: what runs again, what does not, and how a tree stands.

use std::sync::Arc;

use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, TaskId};
use apflow_core::store::{ExecuteRequest, Execution, QueuePlace, Store};
use apflow_core::task::TreeStatus;
use serde_json::json;

use super::rig::{Rig, completed, data, failed, names};

/// The failed task and what waits behind it run again; what has completed does not.
pub async fn re_execution_continues_a_failed_tree(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let inserted = rig.start("r <- a b; a; b; c <- b").await;
    let runs = rig.claim_exactly(&["a", "b"]).await;
    let outcome = rig.turn(vec![completed(&runs[0]), failed(&runs[1])], 10).await;
    assert_eq!((outcome.ended[0].execution, outcome.ended[0].status), (1, TreeStatus::Failed));
    rig.wait_ms(10);
    let seq = rig.last_seq().await;
    let Execution::Started { tree, tree_id, root, execution } = rig.execute("r").await else { panic!() };
    assert_eq!((tree, tree_id.as_str(), root.as_str(), execution), (inserted.tree, "r", "r", 2));
    assert_eq!(rig.statuses(&["r", "a", "b", "c"]).await, "pending completed pending pending");
    assert_eq!((rig.task("r").await.blocked_by, rig.task("c").await.blocked_by), (None, None));
    assert_eq!(rig.drain().await, ["b", "r", "c"]);
    let state = rig.store.tree_state(&"r".into()).await.unwrap().unwrap();
    assert_eq!((state.status, state.execution, state.ended_at), (TreeStatus::Completed, 2, Some(rig.now)));
    let first = &rig.events("r", seq).await[0];
    assert_eq!((first.kind, first.attempt, data(first)), (EventKind::TreeStarted, 2, json!({"tasks": 3})));
}

/// With `rerun_completed` everything runs again, in order.
pub async fn rerun_completed_runs_everything(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a b; a; b <- a").await;
    rig.drain().await;
    let request = ExecuteRequest { task: "r".into(), rerun_completed: true, now: rig.now };
    let started = rig.store.execute(request).await.unwrap();
    assert!(matches!(started, Execution::Started { execution: 2, .. }));
    assert_eq!(rig.statuses(&["r", "a", "b"]).await, "pending pending pending");
    let run = rig.claim_exactly(&["a"]).await.remove(0);
    assert_eq!((run.execution, run.attempt, run.tries), (2, 2, 1));
    rig.complete(&[run]).await;
    assert_eq!(rig.drain().await, ["b", "r"]);
    assert_eq!(rig.tree_status("r").await, TreeStatus::Completed);
}

/// Where nothing can run nothing is written.
pub async fn nothing_to_run_changes_nothing(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a; a").await;
    rig.drain().await;
    rig.insert("s <- b; b").await;
    rig.cancel(&["b"], false).await;
    let seq = rig.last_seq().await;
    for (task, expected) in
        [("r", TreeStatus::Completed), ("a", TreeStatus::Completed), ("s", TreeStatus::Pending)]
    {
        let Execution::NothingToRun { root, status, .. } = rig.execute(task).await else { panic!("{task}") };
        assert_eq!((root.as_str(), status), (if task == "s" { "s" } else { "r" }, expected));
    }
    assert_eq!(rig.last_seq().await, seq);
    assert_eq!(rig.task("s").await.blocked_by, None);
    assert_eq!(rig.store.tree_state(&"r".into()).await.unwrap().unwrap().execution, 1);
}

/// A task that is not the root brings what it depends on and nothing else.
pub async fn a_child_runs_with_what_it_needs(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r <- b c; a; b <- a; c; d^b").await;
    assert!(matches!(rig.execute("b").await, Execution::Started { execution: 1, .. }));
    let event = rig.only_event("r", EventKind::TreeStarted, None).await;
    assert_eq!(data(&event), json!({"tasks": 2}));
    assert_eq!(rig.drain().await, ["a", "b"]);
    assert_eq!(rig.statuses(&["r", "a", "b", "c", "d"]).await, "pending completed completed pending pending");
    assert_eq!(rig.tree_status("r").await, TreeStatus::Completed);
    assert_eq!(rig.place("c").await, QueuePlace::NotArmed);
    assert!(matches!(rig.execute("r").await, Execution::Started { execution: 2, .. }));
    assert_eq!(rig.drain().await, ["d", "c", "r"]);
}

/// A tree has one execution at a time.
pub async fn a_running_tree_is_left_alone(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let inserted = rig.start("r; a").await;
    let seq = rig.last_seq().await;
    for task in ["r", "a"] {
        let Execution::AlreadyRunning { tree, root, execution, .. } = rig.execute(task).await else {
            panic!()
        };
        assert_eq!((tree, root.as_str(), execution), (inserted.tree, "r", 1));
    }
    assert_eq!(rig.last_seq().await, seq);
}

/// There is no such task.
pub async fn an_unknown_task_is_named(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    let request = ExecuteRequest { task: "ghost".into(), rerun_completed: false, now: rig.now };
    let error = rig.store.execute(request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TaskNotFound);
    assert!(error.message.contains("ghost"), "{error}");
}

/// What stands behind a cancelled task is blocked from the start, which is logged and makes the tree fail.
pub async fn blocked_from_the_start(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a; b <- a; c <- b; d <- b?").await;
    rig.cancel(&["a"], false).await;
    let seq = rig.last_seq().await;
    assert!(matches!(rig.execute("r").await, Execution::Started { .. }));
    assert_eq!(rig.log("r", seq).await, ["tree.started", "task.blocked b", "task.blocked c"]);
    assert_eq!(rig.statuses(&["a", "b", "c"]).await, "cancelled pending pending");
    assert_eq!(rig.task("c").await.blocked_by, Some(TaskId::from("a")));
    let runs = rig.claim(10).await;
    assert_eq!(names(&runs), ["r", "d"]);
    let outcome = rig.complete(&runs).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Failed);
}

/// A new execution forgets the blocks of the last one, also of tasks that it leaves out.
pub async fn blocks_are_those_of_the_newest_execution(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r <- a; a; c").await;
    let runs = rig.claim_exactly(&["a", "c"]).await;
    rig.turn(vec![failed(&runs[0]), completed(&runs[1])], 0).await;
    assert_eq!(rig.task("r").await.blocked_by, Some(TaskId::from("a")));
    assert!(matches!(rig.execute("a").await, Execution::Started { execution: 2, .. }));
    assert_eq!(rig.task("r").await.blocked_by, None);
    assert_eq!(rig.place("r").await, QueuePlace::NotArmed);
    let run = rig.claim_one("a").await;
    let outcome = rig.fail(&run).await;
    assert_eq!(outcome.ended[0].status, TreeStatus::Failed);
    assert_eq!(rig.task("r").await.blocked_by, None);
}

/// `started_seq` stands before the first event of the newest execution.
pub async fn started_seq_is_where_to_read_from(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r").await;
    for execution in 1..=2 {
        let run = rig.claim_one("r").await;
        rig.fail(&run).await;
        let state = rig.store.tree_state(&"r".into()).await.unwrap().unwrap();
        assert_eq!(state.execution, execution);
        let log = rig.log("r", state.started_seq).await;
        assert_eq!(log, ["tree.started", "task.started r", "task.failed r", "tree.failed"]);
        rig.execute("r").await;
    }
    assert_eq!(rig.log("r", Seq(0)).await.len(), 1 + 2 * 4 + 1);
}
