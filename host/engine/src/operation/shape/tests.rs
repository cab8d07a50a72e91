//! Whether the shapes are those that are written and read; and a stored task for other tests of operations.

use std::collections::BTreeSet;

use apflow_core::clock::Timestamp;
use apflow_core::draft::{TreeLimits, read_all};
use apflow_core::id::{NodeId, Seq, TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::schedule::{Schedule, ScheduleRunStatus};
use apflow_core::task::{OriginType, TaskStatus};
use serde::Serialize;
use serde_json::json;

use super::*;

/// A stored task with nothing special about it.
pub fn task(id: &str) -> apflow_core::task::Task {
    let now = Timestamp::from_micros(1);
    apflow_core::task::Task {
        id: TaskId::from(id),
        parent_id: None,
        tree_id: TreeId::from("tree"),
        user_id: None,
        name: id.into(),
        status: TaskStatus::Pending,
        priority: 2,
        dependencies: vec![],
        inputs: Json::object(),
        params: Json::object(),
        schemas: Json::object(),
        result: None,
        error: None,
        error_info: None,
        progress: 0.0,
        created_at: now,
        started_at: None,
        updated_at: now,
        completed_at: None,
        has_children: false,
        original_task_id: None,
        origin_type: OriginType::Create,
        has_references: false,
        schedule: Schedule::default(),
        lease_id: None,
        lease_expires_at: None,
        placement_constraints: None,
        attempt: 0,
        idempotency_key: None,
        last_assigned_node: None,
        description: None,
        executor: None,
        metadata: None,
        retry: None,
        timeout_ms: None,
        deadline_ms: None,
        concurrency_key: None,
        blocked_by: None,
        is_link: false,
        defined_inputs: None,
    }
}

fn declared<T: JsonSchema>() -> BTreeSet<String> {
    schema::<T>()["properties"].as_object().unwrap().keys().cloned().collect()
}

fn written(value: &impl Serialize) -> BTreeSet<String> {
    serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
}

#[test]
fn schemas_name_the_fields_that_are_written() {
    assert_eq!(declared::<Task>(), written(&task("t")));
    assert_eq!(
        declared::<Attempt>(),
        written(&apflow_core::task::Attempt {
            attempt: 1,
            status: TaskStatus::Failed,
            node: None,
            started_at: None,
            completed_at: Timestamp::from_micros(1),
            result: None,
            error: None,
            inputs: None,
            receipt: None,
        })
    );
    assert_eq!(
        declared::<ScheduleRun>(),
        written(&apflow_core::schedule::ScheduleRun {
            due_at: Timestamp::from_micros(1),
            status: ScheduleRunStatus::Missed,
            due_count: 1,
            execution: None,
            started_at: Timestamp::from_micros(1),
            ended_at: None,
            error: None,
        })
    );
    assert_eq!(
        declared::<Event>(),
        written(&apflow_core::event::Event {
            seq: Seq(1),
            tree_id: TreeId::from("t"),
            task_id: None,
            executor: None,
            attempt: 1,
            kind: apflow_core::event::EventKind::TreeCreated,
            at: Timestamp::from_micros(1),
            started_at: None,
            data: None,
        })
    );
    assert_eq!(
        declared::<Plugin>(),
        written(&apflow_core::plugin::PluginInfo {
            name: String::new(),
            version: String::new(),
            digest: String::new(),
            size_bytes: 1,
            kinds: vec![],
            executors: vec![],
            hook_points: vec![],
            imports: vec![],
            requested: Value::Null,
            granted: Value::Null,
            unset: vec![],
            path: String::new(),
            loaded_at: Timestamp::from_micros(1),
            problem: None,
        })
    );
    assert_eq!(
        declared::<Receipt>(),
        written(&crate::Receipted {
            idempotency_key: String::new(),
            tree_id: TreeId::from("t"),
            root: TaskId::from("t"),
            created: true,
        })
    );
    let record = apflow_core::plugin::HookRecord {
        hook: String::new(),
        point: apflow_core::plugin::HookPoint::TaskReady,
        decision: String::new(),
        delay_ms: Some(0),
        code: Some(String::new()),
        message: Some(String::new()),
        policy: Some(apflow_core::plugin::FailurePolicy::Open),
    };
    assert_eq!(declared::<HookRecord>(), written(&record));
    let blocker = crate::Blocker { code: "due", message: String::new(), data: Value::Null };
    assert_eq!(declared::<Blocker>(), written(&blocker));
    assert_eq!(
        declared::<Explanation>(),
        written(&crate::Explanation {
            task_id: TaskId::from("t"),
            status: TaskStatus::Pending,
            summary: String::new(),
            blockers: vec![blocker],
            position: None,
            hooks: vec![record.clone()],
        })
    );
    assert_eq!(
        declared::<Collector>(),
        written(&crate::CollectorStatus {
            name: String::new(),
            delivered_seq: Seq(0),
            lag_ms: 0,
            failures: 0,
            error: None,
            retry_at: None,
        })
    );
    assert_eq!(
        declared::<Health>(),
        written(&crate::Health {
            status: "healthy",
            message: String::new(),
            version: String::new(),
            timestamp: Timestamp::from_micros(1),
            running_tasks_count: 0,
            node_id: NodeId::from("n"),
            plugins: 0,
        })
    );
}

#[test]
fn an_update_may_change_every_field_of_a_schedule() {
    let fields: BTreeSet<String> = apflow_core::schedule::FIELDS.iter().map(ToString::to_string).collect();
    assert!(declared::<TaskChanges>().is_superset(&fields));
}

#[test]
fn a_new_task_may_have_every_field_of_its_schema() {
    let mut full = json!({
        "name": "n", "id": "i", "parent_id": "p", "task_tree_id": "t", "user_id": "u", "priority": 0,
        "dependencies": ["d", {"id": "e", "required": false, "type": "reference"}], "inputs": {}, "params": {},
        "schemas": {}, "executor": "x", "description": "d", "metadata": {}, "timeout_ms": 1, "deadline_ms": 1, "concurrency_key": "c", "idempotency_key": "k",
        "retry": {"max_attempts": 2, "backoff": "fixed", "base_ms": 1, "cap_ms": 2, "jitter": 0.0},
        "schedule_type": "daily", "schedule_expression": "09:00", "schedule_enabled": true,
        "schedule_start_at": "2030-01-01T00:00:00Z", "schedule_end_at": "2031-01-01T00:00:00Z",
        "schedule_timezone": "UTC", "schedule_missed": "all", "schedule_overlap": "queue", "max_runs": 3,
    });
    assert_eq!(declared::<NewTask>(), written(&full));
    assert_eq!(declared::<Retry>(), written(&full["retry"]));
    // Only a root may have it, and only until it is taken from there.
    full["parent_id"] = json!(null);
    assert_eq!(apflow_core::receipt::take_key(&mut full, None), Ok(Some("k".into())));
    assert_eq!(read_all(full, TreeLimits::default()).unwrap().len(), 1);
}
