//! The shapes of documents that operations give and take, for JSON Schema only: field by field what `apflow_core`
//! writes and reads (tests compare them). Kept apart from the core types so that the ground floor stays small.

#![expect(dead_code, reason = "only the schemas of these types are used")]

mod plugins;

use schemars::JsonSchema;
use serde_json::{Map, Value};

pub(super) use plugins::{PluginGrants, PluginVersion};

/// JSON Schema of a type, as a value.
pub(super) fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// Where a task stands.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// Not started, or waiting for another attempt.
    Pending,
    /// A node runs it.
    InProgress,
    /// Its result is recorded.
    Completed,
    /// Its last attempt failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A task to be created.
#[derive(JsonSchema)]
#[schemars(rename = "NewTask", deny_unknown_fields)]
pub(super) struct NewTask {
    /// Unique in the call; dependencies and parents may name a task by it. At most 100 characters.
    name: String,
    /// Chosen id, at most 255 bytes; a UUID if left out.
    id: Option<String>,
    /// Id or name of the task above it. Exactly one task of a call has none: the root. Gates nothing.
    parent_id: Option<String>,
    /// Chosen id of the tree; the root's id if left out.
    task_tree_id: Option<String>,
    /// Owner; the same for all tasks of a call.
    user_id: Option<String>,
    /// 0 (most urgent) to 3; 2 if left out.
    priority: Option<u8>,
    /// What gates it: ids or names of tasks of the same call, bare or as objects.
    dependencies: Option<Vec<NewDependency>>,
    /// Runtime inputs. `{"$from": "<task>", "pointer": "/…"}` anywhere inside is replaced by another task's result.
    inputs: Option<Map<String, Value>>,
    /// For the executor's construction; `executor_id` names the executor.
    params: Option<Map<String, Value>>,
    /// `method` (names the executor where nothing else does), `input_schema`, `output_schema`.
    schemas: Option<Map<String, Value>>,
    /// The executor; short for `params.executor_id`.
    executor: Option<String>,
    /// Free text.
    description: Option<String>,
    /// A free object.
    metadata: Option<Map<String, Value>>,
    /// When to try again.
    retry: Option<Retry>,
    /// Longest time for one attempt, in milliseconds.
    timeout_ms: Option<u32>,
    /// Longest time for one execution of the tree, in milliseconds; only a root has one.
    deadline_ms: Option<u32>,
    /// Tasks with the same key, in whatever trees, run one at a time, or as the operator's rule for the key says.
    concurrency_key: Option<String>,
    /// `once`, `interval`, `cron`, `daily`, `weekly` or `monthly`; only the root may have a schedule.
    schedule_type: Option<String>,
    /// In the form that the type says; at most 100 characters.
    schedule_expression: Option<String>,
    /// Whether the schedule is in force; default false.
    schedule_enabled: Option<bool>,
    /// No due time before (RFC 3339).
    schedule_start_at: Option<String>,
    /// No due time after (RFC 3339).
    schedule_end_at: Option<String>,
    /// IANA name of the zone of the expression; default `UTC`.
    schedule_timezone: Option<String>,
    /// What becomes of due times while no host was there: `skip`, `once` (default) or `all`.
    schedule_missed: Option<String>,
    /// What becomes of due times while the tree runs: `skip` (default) or `queue`.
    schedule_overlap: Option<String>,
    /// At most so many runs.
    max_runs: Option<u32>,
    /// At the root only: the tree is created once, however often the request is sent.
    idempotency_key: Option<String>,
}

/// A dependency as callers write it.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(super) enum NewDependency {
    /// Id or name; required.
    Bare(String),
    /// With particulars.
    Object {
        /// Id or name of the task to wait for; `name` is accepted too.
        id: String,
        /// True (default): it must complete. False: any end will do.
        required: Option<bool>,
        /// `result` (default): its result is merged into the inputs. `reference`: only where `$from` asks for it.
        r#type: Option<String>,
    },
}

/// When a failed attempt is tried again; only retryable failures are.
#[derive(JsonSchema)]
pub(super) struct Retry {
    /// Attempts in one execution, the first included; 1 to 100, default 1.
    max_attempts: Option<u32>,
    /// `fixed`, `linear` or `exponential` (default).
    backoff: Option<String>,
    /// The first wait in milliseconds, default 1000.
    base_ms: Option<u32>,
    /// The longest wait in milliseconds, default 300000.
    cap_ms: Option<u32>,
    /// How much of the wait is random, 0.0 to 1.0, default 0.25.
    jitter: Option<f64>,
}

/// What an owner may change; fields that are left out stay as they are.
#[derive(JsonSchema)]
pub(super) struct TaskChanges {
    /// New name.
    name: Option<String>,
    /// `cancelled` for a pending or running task, `pending` for a failed one.
    status: Option<Status>,
    /// 0 (most urgent) to 3; also moves the task in the queue.
    priority: Option<u8>,
    /// New inputs.
    inputs: Option<Map<String, Value>>,
    /// New params.
    params: Option<Map<String, Value>>,
    /// New executor.
    executor: Option<String>,
    /// New schemas.
    schemas: Option<Map<String, Value>>,
    /// New dependencies: ids in the same tree. Only while the task is pending and not under execution.
    dependencies: Option<Vec<NewDependency>>,
    /// New description.
    description: Option<String>,
    /// New metadata.
    metadata: Option<Map<String, Value>>,
    /// New retry policy.
    retry: Option<Retry>,
    /// New timeout of one attempt in milliseconds.
    timeout_ms: Option<u32>,
    /// New deadline of executions in milliseconds; only of a root.
    deadline_ms: Option<u32>,
    /// New concurrency key.
    concurrency_key: Option<String>,
    /// `once`, `interval`, `cron`, `daily`, `weekly` or `monthly`; null takes the schedule away.
    schedule_type: Option<String>,
    /// In the form that the type says; at most 100 characters.
    schedule_expression: Option<String>,
    /// Whether the schedule is in force.
    schedule_enabled: Option<bool>,
    /// No due time before (RFC 3339).
    schedule_start_at: Option<String>,
    /// No due time after (RFC 3339).
    schedule_end_at: Option<String>,
    /// IANA name of the zone of the expression.
    schedule_timezone: Option<String>,
    /// What becomes of due times while no host was there: `skip`, `once` or `all`.
    schedule_missed: Option<String>,
    /// What becomes of due times while the tree runs: `skip` or `queue`.
    schedule_overlap: Option<String>,
    /// At most so many runs.
    max_runs: Option<u32>,
    /// The next due time, instead of the computed one.
    next_run_at: Option<String>,
    /// When the last run ended.
    last_run_at: Option<String>,
    /// Runs that have ended.
    run_count: Option<u32>,
}

/// What is different in a copy; fields that are left out are those of the original.
#[derive(JsonSchema)]
pub(super) struct CloneChanges {
    /// New name of the root.
    name: Option<String>,
    /// New owner of the tree.
    user_id: Option<String>,
    /// New priority.
    priority: Option<u8>,
    /// New inputs.
    inputs: Option<Map<String, Value>>,
    /// New params.
    params: Option<Map<String, Value>>,
    /// New executor.
    executor: Option<String>,
    /// New schemas.
    schemas: Option<Map<String, Value>>,
    /// New description.
    description: Option<String>,
    /// New metadata.
    metadata: Option<Map<String, Value>>,
    /// New retry policy.
    retry: Option<Retry>,
    /// New timeout of one attempt in milliseconds.
    timeout_ms: Option<u32>,
    /// New deadline of executions in milliseconds; only of a root.
    deadline_ms: Option<u32>,
    /// New concurrency key.
    concurrency_key: Option<String>,
}

/// Which tree an idempotency key stands for.
#[derive(JsonSchema)]
#[schemars(rename = "Receipt")]
pub(super) struct Receipt {
    /// The key.
    idempotency_key: String,
    /// The tree.
    tree_id: String,
    /// Its root.
    root_task_id: String,
    /// Whether this request has created it; else it was there.
    created: bool,
}

/// A dependency of a stored task.
#[derive(JsonSchema)]
#[schemars(rename = "Dependency")]
pub(super) struct Dependency {
    /// The task to wait for; in the same tree.
    id: String,
    /// True: it must be completed. False: any terminal status will do.
    required: bool,
    /// `result` or `reference`.
    r#type: String,
}

/// A task with its state; every field is always present.
#[derive(JsonSchema)]
#[schemars(rename = "Task")]
pub(super) struct Task {
    /// Public id.
    id: String,
    /// The task above it in the structure; gates nothing.
    parent_id: Option<String>,
    /// The tree.
    task_tree_id: String,
    /// Owner.
    user_id: Option<String>,
    /// Unique among the tasks of one creation.
    name: String,
    /// Where it stands.
    status: Status,
    /// 0 (most urgent) to 3.
    priority: u8,
    /// What gates it.
    dependencies: Vec<Dependency>,
    /// The inputs of the newest attempt if there is one, else the definition's; null for a link, as the next two.
    inputs: Option<Map<String, Value>>,
    /// For the executor's construction; `executor_id` names the executor.
    params: Option<Map<String, Value>>,
    /// `method`, `input_schema`, `output_schema`.
    schemas: Option<Map<String, Value>>,
    /// The result of the newest attempt.
    result: Option<Value>,
    /// The error message of the newest attempt.
    error: Option<String>,
    /// The same error with kind, code and pointer.
    error_info: Option<TaskError>,
    /// 0.0 to 1.0.
    progress: f64,
    /// When it was accepted (RFC 3339, as all times).
    created_at: String,
    /// When its newest attempt began.
    started_at: Option<String>,
    /// When anything last changed.
    updated_at: String,
    /// When it reached a terminal status.
    completed_at: Option<String>,
    /// Whether it is the parent of others.
    has_children: bool,
    /// What it is a clone of.
    original_task_id: Option<String>,
    /// How it came about: `create`, `copy`, `link` or `archive`.
    origin_type: String,
    /// Whether there are clones of it.
    has_references: bool,
    /// `once`, `interval`, `cron`, `daily`, `weekly` or `monthly`.
    schedule_type: Option<String>,
    /// In the form that the type says.
    schedule_expression: Option<String>,
    /// Whether the schedule is in force.
    schedule_enabled: bool,
    /// Not before.
    schedule_start_at: Option<String>,
    /// Not after.
    schedule_end_at: Option<String>,
    /// IANA name of the zone of the expression.
    schedule_timezone: Option<String>,
    /// What becomes of due times while no host was there: `skip`, `once` or `all`.
    schedule_missed: Option<String>,
    /// What becomes of due times while the tree runs: `skip` or `queue`.
    schedule_overlap: Option<String>,
    /// The next due time.
    next_run_at: Option<String>,
    /// When the last run ended.
    last_run_at: Option<String>,
    /// At most so many runs.
    max_runs: Option<u32>,
    /// Runs that have ended.
    run_count: u32,
    /// The fencing token of the run that holds it.
    lease_id: Option<String>,
    /// When that lease ends unless it is renewed.
    lease_expires_at: Option<String>,
    /// Which nodes may run it.
    placement_constraints: Option<Value>,
    /// Number of the newest attempt; 0 before the first.
    attempt_id: u32,
    /// The key of the request that created the tree; at its root only.
    idempotency_key: Option<String>,
    /// The node of the newest attempt.
    last_assigned_node: Option<String>,
    /// Free text.
    description: Option<String>,
    /// The executor that will run it.
    executor: Option<String>,
    /// A free object.
    metadata: Option<Map<String, Value>>,
    /// When to try again.
    retry: Option<Retry>,
    /// Longest time for one attempt, in milliseconds.
    timeout_ms: Option<u32>,
    /// Longest time for one execution of the tree, in milliseconds; only a root has one.
    deadline_ms: Option<u32>,
    /// Tasks with the same key, in whatever trees, run one at a time, or as the operator's rule for the key says.
    concurrency_key: Option<String>,
    /// The failed or cancelled dependency that it waits behind.
    blocked_by: Option<String>,
}

/// Why an attempt failed.
#[derive(JsonSchema)]
#[schemars(rename = "TaskError")]
pub(super) struct TaskError {
    /// `bad_input`, `retryable`, `permanent`, `cancelled` or `plugin`.
    kind: String,
    /// Stable code: one of the host's (`timeout`, `memory_limit`, …) or the plugin's own.
    code: String,
    /// One sentence.
    message: String,
    /// JSON pointer into the inputs.
    pointer: Option<String>,
    /// More facts.
    data: Option<Map<String, Value>>,
}

/// One task, or several in pre-order.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// One.
    One(Box<Task>),
    /// Several.
    Many(Vec<Task>),
}

/// A task with what is below it.
#[derive(JsonSchema)]
#[schemars(rename = "Nested")]
pub(super) struct Nested {
    /// The task.
    task: Task,
    /// Its children, each with theirs.
    children: Vec<Nested>,
}

/// A tree in the form that was asked for.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(super) enum TreeForm {
    /// `format: "nested"`.
    Nested(Box<Nested>),
    /// `format: "flat"`: pre-order.
    Flat(Vec<Task>),
}

/// One attempt at a task.
#[derive(JsonSchema)]
#[schemars(rename = "Attempt")]
pub(super) struct Attempt {
    /// From 1; 0 for a task that was cancelled before its first attempt, and for a link, which never runs.
    attempt: u32,
    /// `completed`, `failed` or `cancelled`.
    status: Status,
    /// The node that ran it.
    node: Option<String>,
    /// When it began.
    started_at: Option<String>,
    /// When it was recorded.
    completed_at: String,
    /// Its result.
    result: Option<Value>,
    /// Its error.
    error: Option<TaskError>,
    /// The resolved inputs, where they differ from the definition.
    inputs: Option<Map<String, Value>>,
    /// What it used: CPU time, memory, bytes, plugin and version; under `hooks` what hooks did.
    receipt: Option<Map<String, Value>>,
}

/// What became of a due time of a schedule.
#[derive(JsonSchema)]
#[schemars(rename = "ScheduleRun")]
pub(super) struct ScheduleRun {
    /// The due time.
    due_at: String,
    /// `running`, `completed`, `failed`, `cancelled`, `skipped` (the tree was running) or `missed` (no host was there).
    status: String,
    /// Due times that this entry stands for: `due_at` and those after it.
    due_count: u32,
    /// The execution of the tree; none where there was none here.
    execution: Option<u32>,
    /// When it was decided, which is when the execution began.
    started_at: String,
    /// When the execution ended.
    ended_at: Option<String>,
    /// Why it failed, where that was reported from outside.
    error: Option<String>,
}

/// One entry of the event log.
#[derive(JsonSchema)]
#[schemars(rename = "Event")]
pub(super) struct Event {
    /// Position; increasing, with possible gaps.
    seq: i64,
    /// The tree.
    tree_id: String,
    /// The task; none for events of the tree.
    task_id: Option<String>,
    /// The task's executor.
    executor: Option<String>,
    /// The attempt for task events, the execution for tree events.
    attempt: u32,
    /// What happened, for example `task.completed`.
    kind: String,
    /// When.
    at: String,
    /// For `task.started` on: when the attempt began.
    started_at: Option<String>,
    /// As the kind says.
    data: Option<Value>,
}

/// A loaded plugin.
#[derive(JsonSchema)]
#[schemars(rename = "Plugin")]
pub(super) struct Plugin {
    /// Name.
    name: String,
    /// Version.
    version: String,
    /// SHA-256 of the component in hex.
    digest: String,
    /// Bytes of the component.
    size_bytes: u64,
    /// `executor`, `hooks`, `collector`.
    kinds: Vec<String>,
    /// Ids of its executors.
    executors: Vec<String>,
    /// Points that its hooks subscribe to.
    hook_points: Vec<String>,
    /// Host interfaces it imports.
    imports: Vec<String>,
    /// What it asks for.
    requested: Value,
    /// What the operator allows.
    granted: Value,
    /// Settings that it needs and nobody has set; until then it is not used.
    unset: Vec<String>,
    /// Where it was read.
    path: String,
    /// When this version went live.
    loaded_at: String,
    /// Why a newer file on disk is not in use, if so.
    problem: Option<String>,
}

/// How far a collector has come, as this host sees it.
#[derive(JsonSchema)]
#[schemars(rename = "Collector")]
pub(super) struct Collector {
    /// The collector: its plugin.
    name: String,
    /// Everything up to this position of the log is delivered.
    delivered_seq: i64,
    /// The age of the oldest event that is not delivered, in milliseconds; 0 if all are.
    lag_ms: u64,
    /// Deliveries that failed in a row.
    failures: u32,
    /// Why the last one failed.
    error: Option<String>,
    /// When the next one is tried, after a failure.
    retry_at: Option<String>,
}

/// Everything that keeps a task from running.
#[derive(JsonSchema)]
#[schemars(rename = "Explanation")]
pub(super) struct Explanation {
    /// The task.
    task_id: String,
    /// Where it stands.
    status: Status,
    /// A sentence for people.
    summary: String,
    /// The reasons; empty while it runs.
    blockers: Vec<Blocker>,
    /// Ready tasks that leave before it, if it is ready.
    position: Option<u64>,
    /// What hooks did when it was last claimed: put it off, or in its newest attempt.
    hooks: Vec<HookRecord>,
}

/// What a hook did to a task: every decision but to proceed, and every failure.
#[derive(JsonSchema)]
#[schemars(rename = "HookRecord")]
pub(super) struct HookRecord {
    /// The hook.
    hook: String,
    /// Where it was asked: `task.ready`, `placement`, `task.before-run` or `task.after-run`.
    point: String,
    /// `replace-inputs`, `supply-result`, `delay`, `veto` or `failed`.
    decision: String,
    /// How long the task was put off, in milliseconds.
    #[serde(default)]
    delay_ms: Option<u64>,
    /// The code of a veto or failure.
    #[serde(default)]
    code: Option<String>,
    /// Why it refused, or how it failed.
    #[serde(default)]
    message: Option<String>,
    /// What the failure meant: `open` or `closed`.
    #[serde(default)]
    policy: Option<String>,
}

/// One reason why a task is not running.
#[derive(JsonSchema)]
#[schemars(rename = "Blocker")]
pub(super) struct Blocker {
    /// `not_executed`, `finished`, `dependency`, `blocked`, `due`, `limit`, `queue`, `executor_not_found` or
    /// `executor_missing`.
    code: String,
    /// A sentence.
    message: String,
    /// Facts of that code.
    data: Value,
}

/// How the host is.
#[derive(JsonSchema)]
#[schemars(rename = "Health")]
pub(super) struct Health {
    /// `healthy`, or `degraded` while the store does not answer.
    status: String,
    /// A sentence.
    message: String,
    /// Version of the host.
    version: String,
    /// When this was asked.
    timestamp: String,
    /// Runs on this node.
    running_tasks_count: u32,
    /// Name of this node.
    node_id: String,
    /// Loaded plugins.
    plugins: u32,
}

#[cfg(test)]
pub(super) mod tests;
