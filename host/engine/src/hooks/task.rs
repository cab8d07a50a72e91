//! The points of a task, in the order in which a claimed run comes to them: `task.ready` and `placement` before anything is
//! known of its inputs, `task.before-run` with them, `task.after-run` with the outcome.

use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::TaskError;
use apflow_core::id::NodeId;
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, Decision, HookEvent, HookPoint};
use apflow_core::store::ClaimedRun;
use serde_json::{Value, json};

use super::{Records, ask, vetoed};

/// How long a run that no hook lets this node have is put off, where the hook does not say (`retry_after_ms`).
const PLACED_AGAIN: Duration = Duration::from_secs(5);
/// The least that a hook can put a run off, so that one that always says "now" does not fill the log.
const LEAST: Duration = Duration::from_millis(100);

/// What the hooks before a run say together, if they let it go on.
pub(crate) enum Go {
    /// Run.
    Run,
    /// Do not run; this is the result.
    Result(Json),
}

/// Why a run does not go on.
pub(crate) enum Stop {
    /// Later, and as no attempt.
    Later(Duration),
    /// Never.
    Refused(TaskError),
}

impl Stop {
    /// After this time, or a little more.
    fn later(wait: Duration) -> Self {
        Self::Later(wait.max(LEAST))
    }
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Refused(error)
    }
}

/// Asks whether a task that has left the queue shall run now, and then whether on this node. A hook that does not want it
/// on this node gives it back to all of them, for a while.
pub(crate) async fn admit(
    catalog: &Catalog,
    at: Timestamp,
    node: &NodeId,
    run: &ClaimedRun,
    records: &mut Records,
) -> Result<(), Stop> {
    let executor = run.executor.as_deref();
    if catalog.listens(HookPoint::TaskReady, executor) {
        let event = event(HookPoint::TaskReady, at, run, None);
        for hook in catalog.interested(HookPoint::TaskReady, executor) {
            if let Decision::Delay(wait) = ask(hook, &event, records).await? {
                return Err(Stop::later(wait));
            }
        }
    }
    if catalog.listens(HookPoint::Placement, executor) {
        let extra = Json::from(json!({ "node": node }));
        let event = HookEvent { extra, ..event(HookPoint::Placement, at, run, None) };
        for hook in catalog.interested(HookPoint::Placement, executor) {
            if let Decision::Veto(reason) = ask(hook, &event, records).await? {
                let wait = placed_again(&reason);
                if let Some(record) = records.last_mut() {
                    record.delay_ms = u64::try_from(wait.as_millis()).ok();
                }
                return Err(Stop::later(wait));
            }
        }
    }
    Ok(())
}

fn placed_again(reason: &TaskError) -> Duration {
    let said = reason.data.get("retry_after_ms").and_then(Value::as_u64);
    said.map_or(PLACED_AGAIN, Duration::from_millis).max(LEAST)
}

/// Asks the hooks before a run; each sees the inputs that the one before it left. `resolved` are the inputs of this attempt,
/// where they differ from the definition.
pub(crate) async fn before_run(
    catalog: &Catalog,
    at: Timestamp,
    run: &ClaimedRun,
    resolved: &mut Option<Json>,
    records: &mut Records,
) -> Result<Go, Stop> {
    let executor = run.executor.as_deref();
    if !catalog.listens(HookPoint::BeforeRun, executor) {
        return Ok(Go::Run);
    }
    let inputs = resolved.clone().unwrap_or_else(|| run.inputs.clone());
    let mut event = event(HookPoint::BeforeRun, at, run, Some(inputs));
    for hook in catalog.interested(HookPoint::BeforeRun, executor) {
        match ask(hook, &event, records).await? {
            Decision::Proceed => {}
            Decision::ReplaceInputs(inputs) => {
                event.inputs = Some(inputs.clone());
                *resolved = Some(inputs);
            }
            Decision::SupplyResult(result) => return Ok(Go::Result(result)),
            Decision::Delay(wait) => return Err(Stop::later(wait)),
            Decision::Veto(reason) => return Err(vetoed(hook, &reason).into()),
        }
    }
    Ok(Go::Run)
}

/// Tells the hooks after a run, which cannot change anything any more; `outcome` is made only if one listens. A hook that
/// fails closed fails the task.
pub(crate) async fn after_run(
    catalog: &Catalog,
    at: Timestamp,
    run: &ClaimedRun,
    inputs: &Json,
    outcome: impl FnOnce() -> Value + Send,
    records: &mut Records,
) -> Result<(), TaskError> {
    let executor = run.executor.as_deref();
    if !catalog.listens(HookPoint::AfterRun, executor) {
        return Ok(());
    }
    let outcome = Some(Json::from(outcome()));
    let event = HookEvent { outcome, ..event(HookPoint::AfterRun, at, run, Some(inputs.clone())) };
    for hook in catalog.interested(HookPoint::AfterRun, executor) {
        ask(hook, &event, records).await?;
    }
    Ok(())
}

fn event(point: HookPoint, at: Timestamp, run: &ClaimedRun, inputs: Option<Json>) -> HookEvent {
    HookEvent {
        point,
        at,
        tree_id: run.tree_id.clone(),
        task_id: Some(run.id.clone()),
        executor: run.executor.clone(),
        attempt: run.attempt,
        inputs,
        outcome: None,
        subject: Json::from(json!({
            "name": run.name, "user_id": run.user_id, "priority": run.priority,
            "params": run.params.value(), "metadata": run.metadata.as_ref().map(Json::value),
        })),
        extra: Json::object(),
    }
}
