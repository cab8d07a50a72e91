//! The host itself: health, executors, plugins, and this table.

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::gate::Gate;
use apflow_core::plugin::{ExecutorInfo, PluginInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{OPERATIONS, Operation, Reply, document, shape};
use crate::{CollectorStatus, Engine, Health};

/// No parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

pub(super) async fn health(engine: &Engine, _: NoParams) -> Result<Health> {
    Ok(engine.health().await)
}

/// What can execute tasks.
#[derive(Debug, Serialize, JsonSchema)]
struct Executors<'a> {
    /// One entry for each executor, by id.
    executors: Vec<ExecutorEntry<'a>>,
    /// How many.
    count: usize,
    /// Always false: what is loaded may be used.
    restricted: bool,
}

/// One executor.
#[derive(Debug, Serialize, JsonSchema)]
struct ExecutorEntry<'a> {
    /// What tasks name.
    id: &'a str,
    /// A title for people.
    name: &'a str,
    /// One paragraph.
    description: &'a str,
    /// Words to find it by.
    tags: &'a [String],
    /// Libraries that it lacks; always empty, since components carry theirs.
    dependencies: &'a [String],
    /// Whether it can be used.
    available: bool,
    /// Example inputs.
    examples: &'a [Value],
    /// JSON Schema of the inputs.
    input_schema: &'a Value,
    /// JSON Schema of the result.
    output_schema: &'a Value,
    /// Whether an interrupted call leaves the outside world whole.
    cancelable: bool,
    /// Whether running twice with the same idempotency key is running once.
    idempotent: bool,
    /// The plugin it lives in.
    provided_by: &'a str,
}

impl<'a> From<&'a ExecutorInfo> for ExecutorEntry<'a> {
    fn from(info: &'a ExecutorInfo) -> Self {
        Self {
            id: &info.id,
            name: &info.name,
            description: &info.description,
            tags: &info.tags,
            dependencies: &[],
            available: true,
            examples: &info.examples,
            input_schema: &info.input_schema,
            output_schema: &info.output_schema,
            cancelable: info.cancelable,
            idempotent: info.idempotent,
            provided_by: &info.provided_by,
        }
    }
}

pub(super) async fn executors(engine: &Engine, _: NoParams) -> Result<Reply> {
    let catalog = engine.catalog();
    let executors: Vec<ExecutorEntry<'_>> =
        catalog.executors.values().map(|one| ExecutorEntry::from(one.info())).collect();
    document(&Executors { count: executors.len(), executors, restricted: false }).map(Reply::Value)
}

pub(super) fn executors_schema() -> Value {
    shape::schema::<Executors<'_>>()
}

/// The limits that reach across trees.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Limits {
    /// Executors by id, then keys.
    limits: Vec<LimitEntry>,
    /// How many.
    count: usize,
}

/// The limit of one executor or of one concurrency key, and how it stands.
#[derive(Debug, Serialize, JsonSchema)]
struct LimitEntry {
    /// `executor` or `key`.
    scope: &'static str,
    /// The executor, or the key.
    name: String,
    /// Tasks that may run at a time; null for any number.
    max_running: Option<u32>,
    /// Starts in a second in the long run; null for any.
    per_second: Option<f64>,
    /// Starts that may come at once after a pause; null without a rate.
    burst: Option<u32>,
    /// Tasks that run.
    running: u32,
    /// Tasks that are parked, because it was full when their turn came.
    parked: u32,
    /// With a rate: nothing starts before (RFC 3339).
    opens_at: Option<String>,
}

impl From<Gate> for LimitEntry {
    fn from(gate: Gate) -> Self {
        let rate = gate.limits.rate;
        Self {
            scope: gate.scope.as_str(),
            max_running: gate.limits.max_running,
            per_second: rate.map(|rate| 1_000_000.0 / rate.spacing as f64),
            burst: rate.map(|rate| rate.burst),
            running: gate.running,
            parked: gate.parked,
            opens_at: rate.map(|_| gate.opens_at.to_string()),
            name: gate.name,
        }
    }
}

pub(super) async fn limits(engine: &Engine, _: NoParams) -> Result<Limits> {
    let limits: Vec<LimitEntry> = engine.gates().await?.into_iter().map(LimitEntry::from).collect();
    Ok(Limits { count: limits.len(), limits })
}

/// What is loaded.
#[derive(Debug, Serialize, JsonSchema)]
struct Plugins<'a> {
    /// One entry for each plugin, by name.
    #[schemars(with = "Vec<shape::Plugin>")]
    plugins: &'a [PluginInfo],
    /// How many.
    count: usize,
    /// How far each collector has come, by name.
    #[schemars(with = "Vec<shape::Collector>")]
    collectors: Vec<CollectorStatus>,
}

pub(super) async fn plugins(engine: &Engine, _: NoParams) -> Result<Reply> {
    let catalog = engine.catalog();
    let collectors = engine.collectors().await?;
    document(&Plugins { plugins: &catalog.plugins, count: catalog.plugins.len(), collectors })
        .map(Reply::Value)
}

pub(super) fn plugins_schema() -> Value {
    shape::schema::<Plugins<'_>>()
}

/// What a look at the plugin folders has changed.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Reloaded {
    /// One line for each plugin that is new or newer.
    loaded: Vec<String>,
    /// One line for each plugin that is gone.
    removed: Vec<String>,
    /// `{"path", "error"}` for each plugin that was refused; what was loaded before stays.
    failed: Vec<Value>,
}

pub(super) async fn reload(engine: &Engine, _: NoParams) -> Result<Map<String, Value>> {
    engine.reload_plugins().await
}

/// All operations.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listing {
    /// One entry for each operation.
    operations: Vec<ListedOperation>,
    /// How many.
    count: usize,
}

/// One operation.
#[derive(Debug, Serialize, JsonSchema)]
struct ListedOperation {
    /// Its name.
    name: &'static str,
    /// Other names it answers to.
    aliases: &'static [&'static str],
    /// `task` for `POST /tasks`, `system` for `POST /system`.
    door: &'static str,
    /// What it is for.
    category: &'static str,
    /// A title.
    title: &'static str,
    /// One sentence.
    summary: &'static str,
    /// More, in Markdown.
    description: &'static str,
    /// `read`, `write` or `admin`.
    permission: &'static str,
    /// Whether it can answer with a stream of events.
    streams: bool,
    /// Parameters that work.
    example: Value,
    /// JSON Schema of the parameters.
    params: Value,
    /// JSON Schema of the result.
    result: Value,
}

pub(super) async fn operations(_: &Engine, _: NoParams) -> Result<Listing> {
    let operations: Vec<ListedOperation> = OPERATIONS.iter().map(listed).collect::<Result<_>>()?;
    Ok(Listing { count: operations.len(), operations })
}

fn listed(operation: &Operation) -> Result<ListedOperation> {
    let example = serde_json::from_str(operation.example).map_err(|error| {
        Error::new(ErrorCode::Internal, format!("The example of {} is not JSON: {error}", operation.name))
    })?;
    Ok(ListedOperation {
        name: operation.name,
        aliases: operation.aliases,
        door: operation.door.as_str(),
        category: operation.category.as_str(),
        title: operation.title,
        summary: operation.summary,
        description: operation.description,
        permission: operation.permission.as_str(),
        streams: operation.streams,
        example,
        params: (operation.params)(),
        result: (operation.result)(),
    })
}
