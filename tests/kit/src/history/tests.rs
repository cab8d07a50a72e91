//! Good and bad histories of one small tree.

use apflow_core::clock::Timestamp;

use super::*;

use EventKind::*;

/// `(kind, task or "", attempt)` as a log of one tree.
fn log(lines: &[(EventKind, &str, u32)]) -> Vec<Event> {
    let event = |(i, (kind, task, attempt)): (usize, &(EventKind, &str, u32))| Event {
        seq: Seq(i as i64 + 1),
        tree_id: "tree".into(),
        task_id: (!task.is_empty()).then(|| TaskId::from(*task)),
        executor: None,
        attempt: *attempt,
        kind: *kind,
        at: Timestamp::default(),
        started_at: None,
        data: None,
    };
    lines.iter().enumerate().map(event).collect()
}

/// `b` requires `a`, `c` does not.
fn rules() -> Rules {
    let edge = |dependent: &str, required: bool| {
        (("tree".into(), dependent.into()), vec![(Seq(0), vec![("a".into(), required)])])
    };
    Rules { edges: HashMap::from([edge("b", true), edge("c", false)]), renewals: HashSet::new() }
}

fn problem(lines: &[(EventKind, &str, u32)]) -> String {
    let begin = [(TreeCreated, "", 0), (TreeStarted, "", 1)];
    let mut problems = check(&log(&[&begin[..], lines].concat()), &rules()).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn a_good_history_is_summed_up() {
    let events = log(&[
        (TreeCreated, "", 0),
        (TreeStarted, "", 1),
        (TaskStarted, "a", 1),
        (TaskRescued, "a", 1),
        (TaskStarted, "a", 2),
        (TaskProgress, "a", 2),
        (TaskDelayed, "a", 2),
        (TaskStarted, "a", 2),
        (TaskFailed, "a", 2),
        (TaskBlocked, "b", 0),
        (TaskStarted, "c", 1),
        (TaskCompleted, "c", 1),
        (TreeFailed, "", 1),
        (TreeStarted, "", 2),
        (TaskStarted, "a", 3),
        (TaskCompleted, "a", 3),
        (TaskStarted, "b", 1),
    ]);
    let summary = check(&events, &rules()).unwrap();
    let expected = Summary { executions: 2, open: vec!["tree".into()], completed: 2, failed: 1, rescued: 1 };
    assert_eq!(summary, expected);
}

#[test]
fn dependents_must_not_come_too_early() {
    assert!(problem(&[(TaskStarted, "b", 1)]).contains("requires 'a', which has not completed"));
    assert!(problem(&[(TaskStarted, "a", 1), (TaskStarted, "c", 1)]).contains("'a' is running"));
    let after = problem(&[(TaskStarted, "c", 1), (TaskStarted, "a", 1)]);
    assert!(after.contains("'c' depends on it and has started before it"), "{after}");
}

#[test]
fn a_task_completes_once_and_only_while_it_runs() {
    let a = [(TaskStarted, "a", 1), (TaskCompleted, "a", 1)];
    assert!(
        problem(&[&a[..], &[(TaskStarted, "a", 2)]].concat()).contains("has completed in this execution")
    );
    assert!(problem(&[(TaskCompleted, "a", 1)]).contains("not running"));
    assert!(problem(&[(TaskStarted, "a", 1), (TaskCompleted, "a", 2)]).contains("attempt 1 is running"));
    assert!(problem(&[(TaskStarted, "a", 1), (TaskStarted, "a", 2)]).contains("attempt 1 is still running"));
    let again = [(TaskStarted, "a", 1), (TaskRescued, "a", 1), (TaskStarted, "a", 1)];
    assert!(problem(&again).contains("attempt 1 was before it"));
    assert!(problem(&[(TaskCancelled, "a", 0), (TaskStarted, "a", 1)]).contains("it was cancelled"));
    assert!(problem(&[(TaskBlocked, "a", 0), (TaskStarted, "a", 1)]).contains("it is blocked"));
}

#[test]
fn an_execution_ends_once_and_as_it_went() {
    assert!(problem(&[(TreeStarted, "", 2)]).contains("has not ended"));
    let ended = [(TreeCompleted, "", 1)];
    assert!(problem(&[&ended[..], &[(TreeCompleted, "", 1)]].concat()).contains("no execution"));
    assert!(problem(&[&ended[..], &[(TreeStarted, "", 3)]].concat()).contains("its number is not 2"));
    assert!(problem(&[&ended[..], &[(TaskStarted, "a", 1)]].concat()).contains("no execution"));
    assert!(problem(&[(TaskStarted, "a", 1), (TreeCompleted, "", 1)]).contains("'a' is still running"));
    assert!(problem(&[(TreeFailed, "", 1)]).contains("0 tasks have failed"));
    let failed = [(TaskStarted, "a", 1), (TaskFailed, "a", 1), (TreeCompleted, "", 1)];
    assert!(problem(&failed).contains("1 tasks have failed"));
    assert!(problem(&[(TreeCancelled, "", 1)]).contains("0 were cancelled"));
}

#[test]
fn positions_must_grow() {
    let mut events = log(&[(TreeCreated, "", 0), (TreeStarted, "", 1)]);
    events[1].seq = Seq(1);
    assert!(check(&events, &rules()).unwrap_err()[0].contains("does not come after"));
}

#[test]
fn every_change_of_a_status_is_one_that_the_core_knows() {
    let failed = [(TaskStarted, "a", 1), (TaskFailed, "a", 1), (TreeFailed, "", 1)];
    // A task that has failed is cancelled although nothing made it pending again.
    let begin = [(TreeCreated, "", 0), (TreeStarted, "", 1)];
    let cancelled = [&begin[..], &failed, &[(TaskCancelled, "a", 1)]].concat();
    let problems = check(&log(&cancelled), &rules()).unwrap_err();
    assert!(problems[0].contains("A task that is 'failed' cannot be cancelled"), "{problems:?}");
    // Another execution, or an edit, may have made it so.
    for between in [(TreeStarted, "", 2), (TaskUpdated, "a", 1)] {
        let cancelled = [&begin[..], &failed, &[between, (TaskCancelled, "a", 1)]].concat();
        check(&log(&cancelled), &rules()).unwrap();
    }
}

#[test]
fn only_a_schedule_lets_a_cancelled_task_run_again() {
    let events = log(&[
        (TreeCreated, "", 0),
        (TreeStarted, "", 1),
        (TaskCancelled, "a", 0),
        (TreeCancelled, "", 1),
        (TreeStarted, "", 2),
        (TaskStarted, "a", 1),
        (TaskCompleted, "a", 1),
        (TreeCompleted, "", 2),
    ]);
    assert!(check(&events, &rules()).unwrap_err()[0].contains("it was cancelled"));
    let mut renewed = rules();
    renewed.renewed("tree".into(), 2);
    check(&events, &renewed).unwrap();
}
