//! One attempt, top to bottom: find the executor, resolve and check the inputs, ask the hooks, call, and turn what
//! comes back into an outcome for the next turn.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::inputs::{Consumer, Source, resolve};
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, Executor, Invocation, Outcome, Receipt, RunFailure};
use apflow_core::store::{ClaimedRun, DependencyResult, FinishedRun, RunOutcome};
use apflow_core::trace;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::context::Run;
use crate::engine::Shared;
use crate::hooks::{self, Go, Records, Stop};

/// How an attempt ended, and with which inputs.
struct Attempt {
    outcome: RunOutcome,
    inputs: Option<Json>,
    receipt: Option<Receipt>,
}

impl Attempt {
    fn not_run(outcome: RunOutcome) -> Self {
        Self { outcome, inputs: None, receipt: None }
    }
}

/// Runs one claimed task.
pub(crate) async fn run(shared: &Arc<Shared>, claimed: ClaimedRun) -> FinishedRun {
    let (key, token) = (claimed.key, claimed.token);
    let catalog = shared.catalog();
    let mut records = Records::new();
    let attempt = match find_executor(&catalog, &claimed) {
        Err(outcome) => Attempt::not_run(*outcome),
        Ok(executor) => attempt(shared, &catalog, executor, &claimed, &mut records).await,
    };
    let Attempt { outcome, inputs, receipt } = attempt;
    FinishedRun { key, token, outcome, inputs, receipt: hooks::with_hooks(receipt.as_ref(), &records) }
}

async fn attempt(
    shared: &Arc<Shared>,
    catalog: &Catalog,
    executor: &Arc<dyn Executor>,
    claimed: &ClaimedRun,
    records: &mut Records,
) -> Attempt {
    if let Err(stop) = hooks::admit(catalog, shared.now(), &shared.options.node, claimed, records).await {
        return Attempt::not_run(stopped(shared, claimed, stop));
    }
    let mut resolved = match resolve_inputs(catalog, executor, claimed) {
        Ok(resolved) => resolved,
        Err(error) => return Attempt::not_run(failure(shared, claimed, error.into())),
    };
    match hooks::before_run(catalog, shared.now(), claimed, &mut resolved, records).await {
        Ok(Go::Run) => {}
        Ok(Go::Result(result)) => {
            return Attempt { outcome: RunOutcome::Completed { result }, inputs: resolved, receipt: None };
        }
        Err(Stop::Later(wait)) => return Attempt::not_run(stopped(shared, claimed, Stop::Later(wait))),
        Err(refused) => {
            return Attempt { outcome: stopped(shared, claimed, refused), inputs: resolved, receipt: None };
        }
    }
    let inputs = resolved.clone().unwrap_or_else(|| claimed.inputs.clone());
    if let Err(error) = shared.schemas.check(executor, &inputs) {
        return Attempt { outcome: failure(shared, claimed, error.into()), inputs: resolved, receipt: None };
    }
    if let Err(until) = shared.breakers.admit(&executor.info().id, shared.now()) {
        return Attempt::not_run(RunOutcome::Delay { due: until });
    }
    let Outcome { result, receipt } = call(shared, catalog, executor, claimed, inputs, records).await;
    let outcome = match result {
        Ok(result) => RunOutcome::Completed { result },
        Err(error) => failure(shared, claimed, error),
    };
    Attempt { outcome, inputs: resolved, receipt }
}

/// What hooks that do not let a run go on make of it.
fn stopped(shared: &Shared, claimed: &ClaimedRun, stop: Stop) -> RunOutcome {
    match stop {
        Stop::Later(wait) => RunOutcome::Delay { due: shared.now().plus(wait) },
        Stop::Refused(error) => failure(shared, claimed, error.into()),
    }
}

/// Calls the executor within the task's time, then tells the hooks.
async fn call(
    shared: &Arc<Shared>,
    catalog: &Catalog,
    executor: &Arc<dyn Executor>,
    claimed: &ClaimedRun,
    inputs: Json,
    records: &mut Records,
) -> Outcome {
    let own = claimed.timeout_ms.map(|ms| Duration::from_millis(u64::from(ms)));
    let limit = own.or(shared.options.default_timeout);
    let invocation = Invocation {
        executor: executor.info().id.clone(),
        task_id: claimed.id.clone(),
        tree_id: claimed.tree_id.clone(),
        attempt: claimed.attempt,
        idempotency_key: format!("{}:{}", claimed.id, claimed.execution),
        timeout: limit,
        inputs: inputs.clone(),
        params: without_executor_id(&claimed.params),
        trace_parent: Some(trace::of_attempt(&claimed.tree_id, &claimed.id, claimed.attempt)),
    };
    let context = Arc::new(Run::new(shared, claimed));
    let began = Instant::now();
    let running = executor.execute(invocation, context);
    let outcome = match limit {
        None => running.await,
        Some(limit) => {
            timeout(limit, running).await.unwrap_or_else(|_| Outcome::failed(timed_out(claimed, limit)))
        }
    };
    let failure = outcome.result.as_ref().err().map(|failure| failure.error.kind);
    shared.breakers.ended(&executor.info().id, failure, shared.now());
    let told = || match &outcome.result {
        Ok(result) => json!({"status": "completed", "result": result.value(), "duration_ms": millis(began)}),
        Err(failure) => json!({"status": "failed", "error": failure.error, "duration_ms": millis(began)}),
    };
    match hooks::after_run(catalog, shared.now(), claimed, &inputs, told, records).await {
        Ok(()) => outcome,
        Err(error) => Outcome { result: Err(error.into()), ..outcome },
    }
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

fn timed_out(claimed: &ClaimedRun, limit: Duration) -> TaskError {
    let ms = limit.as_millis();
    TaskError::new(
        FailureKind::Retryable,
        "timeout",
        format!(
            "Task '{}' took longer than {ms} ms (timeout_ms of the task, or engine.default_timeout_ms) and was interrupted",
            claimed.name
        ),
    )
    .with("timeout_ms", u64::try_from(ms).unwrap_or(u64::MAX))
}

fn find_executor<'a>(
    catalog: &'a Catalog,
    claimed: &ClaimedRun,
) -> Result<&'a Arc<dyn Executor>, Box<RunOutcome>> {
    let Some(id) = &claimed.executor else {
        let error = TaskError::new(
            FailureKind::BadInput,
            "executor_missing",
            "Executor ID not specified: set 'executor', or 'params.executor_id'",
        );
        return Err(Box::new(RunOutcome::Failed { error, result: None }));
    };
    catalog.executors.get(id).ok_or_else(|| {
        let known: Vec<&String> = catalog.executors.keys().collect();
        let message =
            format!("Executor '{id}' not found: no loaded plugin provides it. Known executors: {known:?}");
        let result = json!({
            "error": message, "task_id": claimed.id, "name": claimed.name,
            "inputs": claimed.inputs.value(), "allowed_executors": known,
        });
        let error = TaskError::new(FailureKind::Permanent, "executor_not_found", message)
            .with("executor", id.as_str());
        Box::new(RunOutcome::Failed { error, result: Some(Json::from(result)) })
    })
}

/// The inputs of this attempt, where they differ from the definition.
fn resolve_inputs(
    catalog: &Catalog,
    executor: &Arc<dyn Executor>,
    claimed: &ClaimedRun,
) -> Result<Option<Json>, TaskError> {
    if claimed.dependencies.is_empty() {
        return Ok(None);
    }
    let sources: Vec<Source> = claimed.dependencies.iter().map(|one| source(catalog, one)).collect();
    let schemas = claimed.schemas.value();
    let own_schema = schemas.get("input_schema").filter(|schema| schema.is_object());
    let consumer = Consumer {
        executor: &executor.info().id,
        method: schemas.get("method").and_then(Value::as_str),
        input_schema: Some(own_schema.unwrap_or(&executor.info().input_schema)),
    };
    resolve(&claimed.inputs, &sources, consumer)
}

fn source(catalog: &Catalog, dependency: &DependencyResult) -> Source {
    let declared = if dependency.schemas.as_str().contains("output_schema") {
        dependency.schemas.value().get("output_schema").filter(|schema| schema.is_object()).cloned()
    } else {
        None
    };
    let of_executor = || {
        let executor = catalog.executors.get(dependency.executor.as_ref()?)?;
        Some(executor.info().output_schema.clone()).filter(Value::is_object)
    };
    Source {
        id: dependency.id.clone(),
        name: dependency.name.clone(),
        kind: dependency.kind,
        result: dependency.result.clone(),
        output_schema: declared.or_else(of_executor),
    }
}

fn without_executor_id(params: &Json) -> Json {
    if !params.as_str().contains("executor_id") {
        return params.clone();
    }
    match params.value() {
        Value::Object(mut map) => {
            map.remove("executor_id");
            Json::from(Value::Object(map))
        }
        _ => params.clone(),
    }
}

/// Another attempt, or the end.
fn failure(shared: &Shared, claimed: &ClaimedRun, failure: RunFailure) -> RunOutcome {
    let RunFailure { error, retry_after } = failure;
    if error.kind == FailureKind::Retryable {
        let policy = claimed.retry.unwrap_or_default();
        if let Some(wait) = policy.next_wait(claimed.tries, fastrand::f64(), retry_after) {
            return RunOutcome::Retry { error, due: shared.now().plus(wait) };
        }
    }
    RunOutcome::Failed { error, result: None }
}
