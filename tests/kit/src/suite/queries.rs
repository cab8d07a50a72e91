//! Reading: tasks, trees, lists, counts, and why a task is not running.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{Error, ErrorCode};
use apflow_core::store::{Page, ProgressReport, QueuePlace, StatusCounts, Store, TaskFilter, Turn};
use apflow_core::task::{TaskStatus, TreeStatus};
use serde_json::json;

use super::rig::{Rig, completed, failed, retried};

const ALL: Page = Page { limit: 1_000, offset: 0 };

async fn ids(rig: &Rig, filter: TaskFilter, page: Page) -> Vec<String> {
    rig.store.list(filter, page).await.unwrap().iter().map(|task| task.id.to_string()).collect()
}

/// In the order of the request, with holes and repetitions.
pub async fn get_answers_in_order(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a; b").await;
    let wanted = ["b", "ghost", "r", "b"].map(Into::into);
    let tasks = rig.store.get(&wanted).await.unwrap();
    let found: Vec<_> = tasks.iter().map(|task| task.as_ref().map(|task| task.id.as_str())).collect();
    assert_eq!(found, [Some("b"), None, Some("r"), Some("b")]);
    assert!(rig.store.get(&[]).await.unwrap().is_empty());
}

/// A task and what is below it, in pre-order.
pub async fn subtree_is_in_pre_order(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a:3; b:0; a1^a:2; a2^a:1; a11^a1; b1^b").await;
    let order = async |id: &str| -> Vec<String> {
        let tasks = rig.store.subtree(&id.into()).await.unwrap();
        let mut one_by_one = Vec::new();
        let each = &mut |task| {
            one_by_one.push(task);
            Ok(())
        };
        rig.store.each_below(&id.into(), each).await.unwrap();
        assert_eq!(one_by_one, tasks);
        tasks.iter().map(|task| task.id.to_string()).collect()
    };
    assert_eq!(order("r").await, ["r", "a", "a1", "a11", "a2", "b", "b1"]);
    assert_eq!(order("a").await, ["a", "a1", "a11", "a2"]);
    assert_eq!(order("b1").await, ["b1"]);
    assert!(order("ghost").await.is_empty());
    let mut seen = 0;
    let each = &mut |_| {
        seen += 1;
        if seen == 2 { Err(Error::new(ErrorCode::LimitExceeded, "enough")) } else { Ok(()) }
    };
    let error = rig.store.each_below(&"r".into(), each).await.unwrap_err();
    assert_eq!((error.code, seen), (ErrorCode::LimitExceeded, 2));
}

/// Children by priority, then insertion; not grandchildren.
pub async fn children_are_by_priority(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r; a:2; b:0; c:2; d:1; a1^a:0").await;
    let children = rig.store.children(&"r".into()).await.unwrap();
    let order: Vec<&str> = children.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(order, ["b", "d", "a", "c"]);
    assert!(rig.store.children(&"b".into()).await.unwrap().is_empty());
    assert!(rig.store.children(&"ghost".into()).await.unwrap().is_empty());
}

/// Newest first, filtered and in pages.
pub async fn lists_are_filtered_and_paged(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let owned = |id: &str, user: &str| json!([{"id": id, "name": id, "user_id": user}]);
    rig.start("r; a; b").await;
    rig.wait_ms(1);
    rig.insert_json(owned("ann-1", "ann"), false).await;
    rig.wait_ms(1);
    rig.insert_json(owned("bob-1", "bob"), false).await;
    rig.wait_ms(1);
    rig.insert_json(owned("ann-2", "ann"), false).await;
    let runs = rig.claim_exactly(&["r", "a", "b"]).await;
    rig.turn(vec![completed(&runs[1]), failed(&runs[2])], 0).await;

    let every = TaskFilter::default();
    assert_eq!(ids(&rig, every.clone(), ALL).await, ["ann-2", "bob-1", "ann-1", "b", "a", "r"]);
    let roots = TaskFilter { root_only: true, ..TaskFilter::default() };
    assert_eq!(ids(&rig, roots.clone(), ALL).await, ["ann-2", "bob-1", "ann-1", "r"]);
    let ann = TaskFilter { user_id: Some("ann".into()), ..TaskFilter::default() };
    assert_eq!(ids(&rig, ann.clone(), ALL).await, ["ann-2", "ann-1"]);
    let of = |statuses: &[TaskStatus]| TaskFilter { statuses: statuses.to_vec(), ..TaskFilter::default() };
    assert_eq!(ids(&rig, of(&[TaskStatus::Completed, TaskStatus::Failed]), ALL).await, ["b", "a"]);
    assert_eq!(ids(&rig, of(&[TaskStatus::InProgress]), ALL).await, ["r"]);
    assert_eq!(ids(&rig, of(&[TaskStatus::Pending]), ALL).await, ["ann-2", "bob-1", "ann-1"]);
    assert!(ids(&rig, of(&[TaskStatus::Cancelled]), ALL).await.is_empty());
    let both = TaskFilter { statuses: vec![TaskStatus::InProgress], ..ann.clone() };
    assert!(ids(&rig, both, ALL).await.is_empty());

    let page = |limit, offset| Page { limit, offset };
    assert_eq!(ids(&rig, every.clone(), page(2, 0)).await, ["ann-2", "bob-1"]);
    assert_eq!(ids(&rig, every.clone(), page(2, 3)).await, ["b", "a"]);
    assert_eq!(ids(&rig, every.clone(), page(2, 5)).await, ["r"]);
    assert!(ids(&rig, every.clone(), page(2, 6)).await.is_empty());
    assert!(ids(&rig, every, page(0, 0)).await.is_empty());
    assert_eq!(ids(&rig, roots, page(1, 2)).await, ["ann-1"]);
}

/// Counts by status agree with the lists.
pub async fn counts_are_by_status(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; b; c; d; e").await;
    rig.insert_json(json!([{"id": "u", "name": "u", "user_id": "ann"}]), false).await;
    let runs = rig.claim(4).await;
    rig.turn(vec![completed(&runs[0]), failed(&runs[1]), retried(&runs[2], rig.now)], 0).await;
    rig.cancel(&["e"], false).await;
    let expected = StatusCounts { pending: 3, in_progress: 1, completed: 1, failed: 1, cancelled: 1 };
    assert_eq!(rig.store.count(TaskFilter::default()).await.unwrap(), expected);
    for status in TaskStatus::ALL {
        let filter = TaskFilter { statuses: vec![status], ..TaskFilter::default() };
        let listed = ids(&rig, filter.clone(), ALL).await.len() as u64;
        let mut counts = rig.store.count(filter).await.unwrap();
        assert_eq!((counts.total(), *counts.of(status)), (listed, listed));
    }
    let roots = TaskFilter { root_only: true, ..TaskFilter::default() };
    let counts = rig.store.count(roots).await.unwrap();
    assert_eq!((counts.total(), counts.pending, counts.completed), (2, 1, 1));
    let ann = TaskFilter { user_id: Some("ann".into()), ..TaskFilter::default() };
    assert_eq!(rig.store.count(ann).await.unwrap().total(), 1);
}

/// Tasks by status and what they have done, of a task and everything below it.
pub async fn progress_is_of_a_task_and_what_is_below(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.start("r; a; a1^a; b; c").await;
    let runs = rig.claim_exactly(&["r", "a", "a1", "b", "c"]).await;
    rig.turn(vec![completed(&runs[1]), failed(&runs[3])], 0).await;
    let report = |run: &apflow_core::store::ClaimedRun, fraction| ProgressReport {
        key: run.key,
        token: run.token,
        fraction,
        data: json!({ "fraction": fraction }).into(),
    };
    let progress = vec![report(&runs[0], 0.25), report(&runs[2], 0.5)];
    rig.store.turn(Turn { progress, ..rig.asks(&rig.session, Vec::new(), 0) }).await.unwrap();
    let of = async |id: &str| rig.store.progress(&id.into()).await.unwrap().unwrap();
    let tree = of("r").await;
    assert_eq!(
        tree.counts,
        StatusCounts { in_progress: 3, completed: 1, failed: 1, ..StatusCounts::default() }
    );
    assert!((tree.done - 1.75).abs() < 1e-9 && (tree.fraction() - 0.35).abs() < 1e-9, "{tree:?}");
    assert!((of("a").await.fraction() - 0.75).abs() < 1e-9);
    assert_eq!(of("b").await.counts, StatusCounts { failed: 1, ..StatusCounts::default() });
    assert_eq!(rig.store.progress(&"ghost".into()).await.unwrap(), None);
}

/// Each place in the queues is told as it is.
pub async fn queue_facts_tell_the_place(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.insert("r <- a b?; a; b; c <- a; d; e <- d; f <- e?").await;
    assert_eq!(rig.store.queue_facts(&"ghost".into()).await.unwrap(), None);
    let facts = async |id: &str| rig.store.queue_facts(&id.into()).await.unwrap().unwrap();
    let unarmed = facts("r").await;
    assert_eq!(unarmed.place, QueuePlace::NotArmed);
    let pending = TaskStatus::Pending;
    assert_eq!(unarmed.unmet, [("a".into(), pending, true), ("b".into(), pending, false)]);

    rig.execute("r").await;
    assert_eq!(facts("r").await.place, QueuePlace::Waiting(2));
    assert_eq!(facts("d").await.place, QueuePlace::Ready(2));
    let runs = rig.claim_exactly(&["a", "b", "d"]).await;
    let running = facts("a").await;
    assert_eq!((running.place, running.task.status), (QueuePlace::Running, TaskStatus::InProgress));
    let later = rig.now.plus(Duration::from_secs(1));
    rig.turn(vec![retried(&runs[0], later), completed(&runs[1]), failed(&runs[2])], 0).await;
    let delayed = facts("a").await;
    assert_eq!((delayed.place, delayed.put_off), (QueuePlace::Delayed(later), None));
    let waiting = facts("r").await;
    assert_eq!((waiting.place, waiting.unmet), (QueuePlace::Waiting(1), vec![("a".into(), pending, true)]));
    let blocked = facts("e").await;
    assert_eq!(
        (blocked.place, blocked.unmet),
        (QueuePlace::Blocked, vec![("d".into(), TaskStatus::Failed, true)])
    );
    // What does not require a blocked task waits for nothing.
    let free = facts("f").await;
    assert_eq!((free.place, free.unmet), (QueuePlace::Ready(0), vec![]));
    let finished = facts("b").await;
    assert_eq!((finished.place, finished.task.id.as_str()), (QueuePlace::NotArmed, "b"));
}

/// The position of a ready task is how many leave before it.
pub async fn ready_positions_count(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.start("r:2; a:0; b:3; c:2").await;
    rig.wait_ms(1);
    rig.start("s:1; t:2").await;
    for (task, position) in [("a", 0), ("s", 1), ("r", 2), ("c", 3), ("t", 4), ("b", 5)] {
        assert_eq!(rig.place(task).await, QueuePlace::Ready(position), "{task}");
    }
    rig.claim(2).await;
    assert_eq!(rig.place("r").await, QueuePlace::Ready(0));
}

/// A tree as a whole, asked by any of its tasks, through its life.
pub async fn tree_state_follows_the_tree(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let inserted = rig.insert("r <- a; a").await;
    let state = async |rig: &Rig, id: &str| rig.store.tree_state(&id.into()).await.unwrap().unwrap();
    let pending = state(&rig, "a").await;
    assert_eq!((pending.key, pending.tree_id.as_str(), pending.root.as_str()), (inserted.tree, "r", "r"));
    assert_eq!((pending.status, pending.execution), (TreeStatus::Pending, 0));
    assert_eq!((pending.started_at, pending.ended_at), (None, None));
    rig.wait_ms(10);
    rig.execute("r").await;
    let began = rig.now;
    let running = state(&rig, "r").await;
    assert_eq!(
        (running.status, running.started_at, running.ended_at),
        (TreeStatus::InProgress, Some(began), None)
    );
    rig.wait_ms(10);
    rig.drain().await;
    let ended = state(&rig, "r").await;
    assert_eq!((ended.status, ended.execution), (TreeStatus::Completed, 1));
    assert_eq!((ended.started_at, ended.ended_at), (Some(began), Some(rig.now)));
    assert_eq!(rig.store.tree_state(&"ghost".into()).await.unwrap(), None);
}
