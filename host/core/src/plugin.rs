//! The contracts of what does work, decides and measures. `apflow-wasm` implements them over components, embedders may
//! implement them in Rust; the engine cannot tell the difference.

pub mod services;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::error::{Error, FailureKind, TaskError};
use crate::event::Event;
use crate::id::{TaskId, TreeId};
use crate::json::Json;

pub use services::RunContext;

/// What an executor says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutorInfo {
    /// What tasks name.
    pub id: String,
    /// A title for people.
    pub name: String,
    /// One paragraph.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Example inputs.
    pub examples: Vec<Value>,
    /// JSON Schema of the inputs: an object.
    pub input_schema: Value,
    /// JSON Schema of the result.
    pub output_schema: Value,
    /// Whether an interrupted call leaves the outside world whole.
    pub cancelable: bool,
    /// Whether running twice with the same idempotency key is running once.
    pub idempotent: bool,
    /// The result in demo mode.
    pub demo_result: Option<Value>,
    /// The plugin it lives in, for example `rest_executor@0.1.0`; `native` for Rust code of an embedder.
    pub provided_by: String,
}

impl ExecutorInfo {
    /// An executor of the embedding program that takes any object; fields may be set afterwards.
    pub fn native(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            name: id.clone(),
            id,
            description: String::new(),
            tags: Vec::new(),
            examples: Vec::new(),
            input_schema: serde_json::json!({ "type": "object" }),
            output_schema: Value::Bool(true),
            cancelable: true,
            idempotent: false,
            demo_result: None,
            provided_by: "native".into(),
        }
    }
}

/// The error of inputs that do not fit the schema of an executor: where, as a JSON pointer, and why.
pub fn schema_violation(executor: &str, pointer: String, problem: impl fmt::Display) -> TaskError {
    let message = format!("inputs{pointer} of executor '{executor}': {problem}");
    TaskError { pointer: Some(pointer), ..TaskError::new(FailureKind::BadInput, "schema_violation", message) }
}

/// One attempt at one task, ready to run.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Which executor.
    pub executor: String,
    /// The task.
    pub task_id: TaskId,
    /// Its tree.
    pub tree_id: TreeId,
    /// From 1.
    pub attempt: u32,
    /// The same for all attempts of one execution.
    pub idempotency_key: String,
    /// The longest the attempt may take, as the task says.
    pub timeout: Option<Duration>,
    /// Resolved inputs: an object.
    pub inputs: Json,
    /// Params without `executor_id`: an object.
    pub params: Json,
    /// W3C `traceparent`.
    pub trace_parent: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The result, or why there is none.
    pub result: Result<Json, RunFailure>,
    /// What it used.
    pub receipt: Option<Receipt>,
}

impl Outcome {
    /// A result without receipt.
    pub fn completed(result: Json) -> Self {
        Self { result: Ok(result), receipt: None }
    }

    /// A failure without receipt.
    pub fn failed(error: TaskError) -> Self {
        Self { result: Err(error.into()), receipt: None }
    }
}

/// Why an attempt failed, and what is known about another one.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFailure {
    /// What is stored.
    pub error: TaskError,
    /// The shortest wait before another attempt, where the other side named one.
    pub retry_after: Option<Duration>,
}

impl From<TaskError> for RunFailure {
    fn from(error: TaskError) -> Self {
        Self { error, retry_after: None }
    }
}

/// What an attempt used; stored with it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its component, the first 16 hex digits.
    pub digest: String,
    /// From call to return in microseconds.
    pub wall_us: u64,
    /// CPU time inside the guest in microseconds (wall time less time waiting for the host).
    pub cpu_us: u64,
    /// Highest total of the guest's memories in bytes.
    pub peak_memory_bytes: u64,
    /// Calls from guest to host.
    pub host_calls: u64,
    /// Bytes of inputs and params.
    pub bytes_in: u64,
    /// Bytes of the result.
    pub bytes_out: u64,
    /// `host:port` of every peer that was contacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// Does work.
#[async_trait]
pub trait Executor: Send + Sync + fmt::Debug {
    /// What it says of itself.
    fn info(&self) -> &ExecutorInfo;

    /// Runs one attempt. Dropping the future interrupts it: whoever implements this must then stop at its next
    /// suspension point and free everything.
    async fn execute(&self, call: Invocation, context: Arc<dyn RunContext>) -> Outcome;
}

/// A point where hooks are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HookPoint {
    /// A tree is about to be accepted.
    #[serde(rename = "tree.created")]
    TreeCreated,
    /// An execution is about to begin.
    #[serde(rename = "tree.started")]
    TreeStarted,
    /// An execution ended well.
    #[serde(rename = "tree.completed")]
    TreeCompleted,
    /// An execution ended otherwise.
    #[serde(rename = "tree.failed")]
    TreeFailed,
    /// A task may run as soon as there is room.
    #[serde(rename = "task.ready")]
    TaskReady,
    /// Inputs are resolved; the executor is called next.
    #[serde(rename = "task.before-run")]
    BeforeRun,
    /// The executor has returned.
    #[serde(rename = "task.after-run")]
    AfterRun,
    /// A webhook asks to trigger a task.
    #[serde(rename = "webhook.verify")]
    WebhookVerify,
    /// A node is chosen.
    #[serde(rename = "placement")]
    Placement,
}

impl HookPoint {
    /// All points.
    pub const ALL: [Self; 9] = [
        Self::TreeCreated,
        Self::TreeStarted,
        Self::TreeCompleted,
        Self::TreeFailed,
        Self::TaskReady,
        Self::BeforeRun,
        Self::AfterRun,
        Self::WebhookVerify,
        Self::Placement,
    ];

    /// The text in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TreeCreated => "tree.created",
            Self::TreeStarted => "tree.started",
            Self::TreeCompleted => "tree.completed",
            Self::TreeFailed => "tree.failed",
            Self::TaskReady => "task.ready",
            Self::BeforeRun => "task.before-run",
            Self::AfterRun => "task.after-run",
            Self::WebhookVerify => "webhook.verify",
            Self::Placement => "placement",
        }
    }

    /// The point with that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.as_str() == text)
    }
}

/// What a hook wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The point.
    pub point: HookPoint,
    /// Only tasks of these executors; empty means all.
    pub executors: Vec<String>,
}

impl Subscription {
    /// Whether an event at `point` about a task of `executor` belongs to it.
    pub fn covers(&self, point: HookPoint, executor: Option<&str>) -> bool {
        self.point == point
            && (self.executors.is_empty()
                || executor.is_some_and(|executor| self.executors.iter().any(|one| one == executor)))
    }
}

/// What a hook is told.
#[derive(Debug, Clone)]
pub struct HookEvent {
    /// The point.
    pub point: HookPoint,
    /// When.
    pub at: Timestamp,
    /// The tree.
    pub tree_id: TreeId,
    /// The task, at task points.
    pub task_id: Option<TaskId>,
    /// Its executor.
    pub executor: Option<String>,
    /// From 1; 0 where there is none.
    pub attempt: u32,
    /// Resolved inputs.
    pub inputs: Option<Json>,
    /// `{"status", "result" | "error", "duration_ms"}` after a run.
    pub outcome: Option<Json>,
    /// Name, owner, params, priority and metadata.
    pub subject: Json,
    /// What else the point has to tell, an object: at `placement` the `node` that has claimed the task.
    pub extra: Json,
}

/// What a hook decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Go on.
    Proceed,
    /// Run with these inputs: an object.
    ReplaceInputs(Json),
    /// Do not run; this is the result.
    SupplyResult(Json),
    /// Not before this much time has passed.
    Delay(Duration),
    /// Refuse.
    Veto(TaskError),
}

impl Decision {
    /// The name in the contract, and in records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Proceed => "proceed",
            Self::ReplaceInputs(_) => "replace-inputs",
            Self::SupplyResult(_) => "supply-result",
            Self::Delay(_) => "delay",
            Self::Veto(_) => "veto",
        }
    }

    /// Whether a hook can decide this at `point`; elsewhere it is a failure of the hook.
    pub const fn is_honoured_at(&self, point: HookPoint) -> bool {
        use HookPoint::{BeforeRun, Placement, TaskReady, TreeCreated, WebhookVerify};
        match self {
            Self::Proceed => true,
            Self::ReplaceInputs(_) | Self::SupplyResult(_) => matches!(point, BeforeRun),
            Self::Delay(_) => matches!(point, TaskReady | BeforeRun),
            Self::Veto(_) => matches!(point, TreeCreated | BeforeRun | WebhookVerify | Placement),
        }
    }
}

/// What a hook did to a task, as it is kept with the attempt: every decision but to proceed, and every failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookRecord {
    /// The hook.
    pub hook: String,
    /// Where it was asked.
    pub point: HookPoint,
    /// `replace-inputs`, `supply-result`, `delay`, `veto` or `failed`.
    pub decision: String,
    /// How long the task was put off, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The code of a veto or failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it refused, or how it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the failure meant for the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<FailurePolicy>,
}

/// What a failing hook means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailurePolicy {
    /// Log it and go on.
    Open,
    /// The task fails, or the tree is refused.
    #[default]
    Closed,
}

/// Decides.
#[async_trait]
pub trait Hook: Send + Sync + fmt::Debug {
    /// For logs and errors.
    fn name(&self) -> &str;
    /// What it wants to hear of.
    fn subscriptions(&self) -> &[Subscription];
    /// What its failure means.
    fn failure_policy(&self) -> FailurePolicy;
    /// Hooks with lower numbers are asked first; equal ones by name.
    fn order(&self) -> i32;
    /// Decides about one event.
    async fn on_event(&self, event: HookEvent) -> Result<Decision, TaskError>;
}

/// Measures.
#[async_trait]
pub trait Collector: Send + Sync + fmt::Debug {
    /// Also the name of its cursor in the event log.
    fn name(&self) -> &str;
    /// Takes a batch of events that end attempts or trees; after an error the batch comes again.
    async fn collect(&self, batch: Vec<Event>) -> Result<(), TaskError>;
    /// The present figures for whoever pulls; empty if there is nothing to pull.
    async fn render(&self) -> Result<String, TaskError>;
}

/// A loaded plugin, for listings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the component in hex.
    pub digest: String,
    /// Bytes of the component.
    pub size_bytes: u64,
    /// `executor`, `hooks`, `collector`.
    pub kinds: Vec<String>,
    /// Ids of its executors.
    pub executors: Vec<String>,
    /// Points that its hooks subscribe to.
    pub hook_points: Vec<String>,
    /// Host interfaces it imports.
    pub imports: Vec<String>,
    /// What it asks for.
    pub requested: Value,
    /// What the operator allows.
    pub granted: Value,
    /// Settings that it needs and nobody has set; until then it is not used.
    pub unset: Vec<String>,
    /// Where it was read.
    pub path: String,
    /// When this version went live.
    pub loaded_at: Timestamp,
    /// Why a newer file on disk is not in use, if so.
    pub problem: Option<String>,
}

/// All plugins at one moment: an immutable snapshot. A run keeps the snapshot it began with.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Executors by id, sorted.
    pub executors: std::collections::BTreeMap<String, Arc<dyn Executor>>,
    /// Hooks in the order in which they are asked.
    pub hooks: Vec<Arc<dyn Hook>>,
    /// Collectors.
    pub collectors: Vec<Arc<dyn Collector>>,
    /// What is loaded, sorted by name.
    pub plugins: Vec<PluginInfo>,
}

impl Catalog {
    /// Whether any hook listens at `point` for tasks of `executor`; the hot path asks this before it makes an event.
    pub fn listens(&self, point: HookPoint, executor: Option<&str>) -> bool {
        self.interested(point, executor).next().is_some()
    }

    /// The hooks that listen at `point` for tasks of `executor`, in the order in which they are asked.
    pub fn interested(
        &self,
        point: HookPoint,
        executor: Option<&str>,
    ) -> impl Iterator<Item = &Arc<dyn Hook>> {
        let wants =
            move |hook: &&Arc<dyn Hook>| hook.subscriptions().iter().any(|one| one.covers(point, executor));
        self.hooks.iter().filter(wants)
    }
}

/// A change of what the operator allows a plugin. Values are objects in the form of `[plugins.NAME.grants]`.
#[derive(Debug, Clone, PartialEq)]
pub enum GrantChange {
    /// Allow this, too.
    Add(Value),
    /// Allow this no longer.
    Remove(Value),
    /// Allow nothing.
    RemoveAll,
    /// Allow what the configuration says, whatever was changed since.
    Reset,
}

/// Both sides' word on a plugin. The objects are in the form of `[plugins.NAME.grants]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginGrants {
    /// Name.
    pub name: String,
    /// What it asks for.
    pub asked: Value,
    /// What the operator allows.
    pub allowed: Value,
    /// What it may do: the part that both sides have.
    pub effective: Value,
    /// What it asks for and is not allowed.
    pub unmet: Value,
    /// Who says what is allowed: `nobody`, `shipped`, `configuration` or `grants file`.
    pub origin: String,
}

/// A version of a plugin that has served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginVersion {
    /// Version.
    pub version: String,
    /// SHA-256 of the component in hex.
    pub digest: String,
    /// When it went live, the last time.
    pub live_at: Timestamp,
    /// Calls that have ended.
    pub calls: u64,
    /// How many of them the plugin failed: crashes, broken limits, answers against the contract.
    pub failures: u64,
    /// Whether it serves now.
    pub serving: bool,
    /// Whether it is held although the files say otherwise.
    pub pinned: bool,
    /// Why it is refused, if it is.
    pub refused: Option<String>,
    /// Whether its bytes are kept, so that it can be published again.
    pub kept: bool,
}

/// Where the engine finds plugins.
#[async_trait]
pub trait Plugins: Send + Sync + fmt::Debug {
    /// The present snapshot; cheap.
    fn catalog(&self) -> Arc<Catalog>;

    /// Looks at the plugin folders again and gives what changed, one line of text for each plugin:
    /// `{"loaded": [..], "removed": [..], "failed": [{"path", "error"}]}` as a JSON object.
    async fn reload(&self) -> Result<Map<String, Value>, TaskError>;

    /// What a plugin asks for and what it is allowed.
    async fn policy(&self, plugin: &str) -> Result<PluginGrants, Error> {
        Err(unmanaged(plugin))
    }

    /// Changes what a plugin is allowed, at once and for later starts. What is taken away is refused to running calls, too.
    async fn change_grants(&self, plugin: &str, change: GrantChange) -> Result<PluginGrants, Error> {
        let _ = change;
        Err(unmanaged(plugin))
    }

    /// The versions that have served, the newest first.
    async fn history(&self, plugin: &str) -> Result<Vec<PluginVersion>, Error> {
        Err(unmanaged(plugin))
    }

    /// Publishes a version that has served before: the one named (by version, or by the beginning of its digest), else the
    /// one before the present. It stays until [`Plugins::unpin`], or until other files are there.
    async fn roll_back(&self, plugin: &str, version: Option<&str>) -> Result<PluginInfo, Error> {
        let _ = version;
        Err(unmanaged(plugin))
    }

    /// Takes the files of a plugin again, whatever was rolled back or refused.
    async fn unpin(&self, plugin: &str) -> Result<Map<String, Value>, Error> {
        Err(unmanaged(plugin))
    }
}

fn unmanaged(plugin: &str) -> Error {
    Error::invalid_params("name", format!("'{plugin}' is not a plugin that is loaded from a component here"))
}

/// A fixed set of plugins, for embedders with native executors and for tests.
#[derive(Debug, Default)]
pub struct FixedPlugins(pub Arc<Catalog>);

#[async_trait]
impl Plugins for FixedPlugins {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0)
    }

    async fn reload(&self) -> Result<Map<String, Value>, TaskError> {
        Ok(Map::new())
    }
}
