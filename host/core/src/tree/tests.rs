use serde_json::{Value, json};

use super::*;
use crate::draft::{TreeLimits, read_all};

fn tree(tasks: Value) -> Result<NewTree> {
    assemble(read_all(tasks, TreeLimits::default())?, Timestamp::from_micros(1_000_000))
}

fn refused(tasks: Value) -> (ErrorCode, String) {
    let error = tree(tasks).unwrap_err();
    (error.code, error.message)
}

#[test]
fn names_become_positions_in_pre_order_and_duplicates_collapse() {
    let tree = tree(json!([
        {"name": "b", "id": "B", "parent_id": "root"},
        {"name": "root", "id": "R", "dependencies": ["a", {"id": "B", "required": false}, "A"]},
        {"name": "a", "id": "A", "parent_id": "R", "inputs": {"x": {"$from": "b"}}},
    ]))
    .unwrap();
    let names: Vec<_> = tree.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["root", "b", "a"]);
    assert_eq!((tree.id.as_str(), tree.root().as_str()), ("R", "R"));
    let root = &tree.tasks[0].dependencies;
    assert_eq!(root.iter().map(|d| (d.target, d.required)).collect::<Vec<_>>(), [(2, true), (1, false)]);
    let reference = &tree.tasks[2].dependencies[0];
    assert_eq!((reference.target, reference.kind), (1, DependencyKind::Reference));
    assert!(tree.tasks[0].has_children && !tree.tasks[1].has_children);
}

#[test]
fn what_is_wrong_with_a_list_is_said_in_the_known_words() {
    use ErrorCode::*;
    let starts = |tasks, code, text: &str| {
        let (found, message) = refused(tasks);
        assert!(message.starts_with(text), "{message}");
        assert_eq!(found, code, "{message}");
    };
    starts(json!([]), InvalidTree, "Tasks array cannot be empty");
    starts(
        json!([{"name": "a", "parent_id": "a"}]),
        InvalidTree,
        "No root task found (task with no parent_id).",
    );
    starts(json!([{"name": "a"}, {"name": "b"}]), InvalidTree, "Multiple root tasks found.");
    starts(json!([{"id": "a"}]), InvalidTask, "Task at index 0 must have a 'name' field");
    starts(json!([{"name": "a"}, {"name": "a"}]), InvalidTree, "Duplicate task name 'a' at index 1");
    starts(
        json!([{"name": "a", "id": "1"}, {"name": "b", "id": "1", "parent_id": "1"}]),
        InvalidTree,
        "Duplicate task id '1' at index 1",
    );
    starts(
        json!([{"name": "a"}, {"name": "b", "parent_id": "x"}]),
        InvalidParent,
        "Task at index 1 has parent_id 'x' which is not in the task array.",
    );
    starts(
        json!([{"name": "a", "dependencies": ["x"]}]),
        InvalidDependency,
        "Task at index 0 has dependency reference 'x' which is not a valid id or name in the task array.",
    );
    starts(
        json!([{"name": "a", "dependencies": ["b"]}, {"name": "b", "parent_id": "a", "dependencies": ["a"]}]),
        CircularDependency,
        "Circular dependency detected involving task '",
    );
    starts(
        json!([{"name": "a", "user_id": "u"}, {"name": "b", "user_id": "v", "parent_id": "a"}]),
        InvalidTree,
        "All tasks must have the same user_id. Found multiple user_ids: {'u', 'v'}",
    );
    starts(
        json!([{"name": "r"}, {"name": "a", "parent_id": "b"}, {"name": "b", "parent_id": "a"}]),
        InvalidParent,
        "Task at index 1 ('a') is not below the root",
    );
}

#[test]
fn fields_are_known_or_refused_by_name() {
    let task = |field: &str, value: Value| json!([{"name": "a", field: value}]);
    assert!(refused(task("colour", json!(1))).1.contains("field 'colour': there is no such field"));
    assert!(refused(task("status", json!("completed"))).1.contains("set by the host"));
    assert!(refused(task("priority", json!(7))).1.contains("7 is not a whole number from 0"));
    assert!(refused(task("placement_constraints", json!({"x": 1}))).1.contains("does not support"));
    let (code, text) = refused(task("schedule_type", json!("cron")));
    assert_eq!(code, ErrorCode::ScheduleInvalid);
    assert!(text.starts_with("Task at index 0: Schedule field 'schedule_expression' is 'null'"), "{text}");
    assert!(refused(task("inputs", json!([]))).1.contains("an object is expected, not an array"));
    assert!(refused(task("retry", json!({"max_attempts": 0}))).1.contains("must be 1 to 100"));
    assert!(refused(task("retry", json!({"max_attempt": 2}))).1.contains("unknown field `max_attempt`"));
    assert!(tree(task("status", json!("pending"))).is_ok());
    assert!(tree(task("lease_id", json!(null))).is_ok());
}

#[test]
fn the_executor_has_three_names() {
    let executor = |task: Value| tree(json!([task])).unwrap().tasks[0].executor.clone();
    assert_eq!(executor(json!({"name": "a", "executor": "x"})).as_deref(), Some("x"));
    assert_eq!(executor(json!({"name": "a", "params": {"executor_id": "x"}})).as_deref(), Some("x"));
    assert_eq!(executor(json!({"name": "a", "schemas": {"method": "x"}})).as_deref(), Some("x"));
    let both = json!([{"name": "a", "executor": "x", "params": {"executor_id": "y"}}]);
    assert!(refused(both).1.contains("it says 'x' but params.executor_id says 'y'"));
}

#[test]
fn only_the_root_has_a_schedule() {
    let daily = json!({"schedule_type": "daily", "schedule_expression": "09:00", "schedule_enabled": true});
    let with = |mut task: Value| {
        task.as_object_mut().unwrap().extend(daily.as_object().unwrap().clone());
        task
    };
    let made = tree(json!([with(json!({"name": "r"})), {"name": "c", "parent_id": "r"}])).unwrap();
    assert_eq!(made.schedule.unwrap().next_run_at.unwrap().to_string(), "1970-01-01T09:00:00Z");
    let (code, text) = refused(json!([{"name": "r"}, with(json!({"name": "c", "parent_id": "r"}))]));
    assert_eq!(code, ErrorCode::ScheduleInvalid);
    assert!(text.starts_with("Task at index 1: ") && text.contains("'c' is not the root"), "{text}");
    // What was read may be sent back: a task without a schedule says nothing about one.
    let nothing = json!({"name": "r", "schedule_type": null, "schedule_enabled": false, "max_runs": null, "run_count": 0});
    assert_eq!(tree(nothing).unwrap().schedule, None);
    let (_, text) = refused(with(json!({"name": "r", "run_count": 3})));
    assert!(text.contains("'run_count': it is set by the host"), "{text}");
}

#[test]
fn size_and_depth_are_limited_by_name() {
    let deep = tree(json!([{"name": "a"}, {"name": "b", "parent_id": "a"}, {"name": "c", "parent_id": "b"}]))
        .unwrap();
    let limits = |max_tasks, max_depth| TreeLimits { max_tasks, max_depth, ..TreeLimits::default() };
    assert_eq!(deep.check_size(limits(3, 3)), Ok(()));
    let error = deep.check_size(limits(3, 2)).unwrap_err();
    assert_eq!(error.code, ErrorCode::LimitExceeded);
    assert!(
        error.message.contains("Task 'c' stands on level 3") && error.message.contains("limits.max_depth"),
        "{error}"
    );
    assert!(deep.check_size(limits(2, 3)).unwrap_err().message.contains("limits.max_tasks"));
}

#[test]
fn a_key_below_the_root_is_refused() {
    let tasks = json!([{"name": "a"}, {"name": "b", "parent_id": "a", "idempotency_key": "k"}]);
    assert!(refused(tasks).1.contains("it belongs to the whole request"));
}
