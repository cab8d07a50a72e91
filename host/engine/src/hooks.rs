//! Asking hooks, in their order, and honouring what they decide.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, FailureKind, TaskError};
use apflow_core::id::TreeId;
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, Decision, FailurePolicy, Hook, HookEvent, HookPoint};
use apflow_core::store::{ClaimedRun, TreeEnd};
use apflow_core::task::TreeStatus;
use serde_json::json;

use crate::engine::Shared;

/// What the hooks before a run say together.
pub(crate) enum BeforeRun {
    /// Run, with these inputs where a hook replaced them.
    Run(Option<Json>),
    /// Do not run; this is the result.
    Result(Json),
    /// Later.
    Delay(Duration),
    /// Refused.
    Refused(TaskError),
}

/// The event of a task point.
pub(crate) fn task_event(point: HookPoint, at: Timestamp, run: &ClaimedRun, inputs: &Json) -> HookEvent {
    HookEvent {
        point,
        at,
        tree_id: run.tree_id.clone(),
        task_id: Some(run.id.clone()),
        executor: run.executor.clone(),
        attempt: run.attempt,
        inputs: Some(inputs.clone()),
        outcome: None,
        subject: Json::from(json!({
            "name": run.name, "user_id": run.user_id, "priority": run.priority,
            "params": run.params.value(), "metadata": run.metadata.as_ref().map(Json::value),
        })),
    }
}

fn interested<'a>(
    catalog: &'a Catalog,
    point: HookPoint,
    executor: Option<&'a str>,
) -> impl Iterator<Item = &'a Arc<dyn Hook>> {
    catalog
        .hooks
        .iter()
        .filter(move |hook| hook.subscriptions().iter().any(|one| one.covers(point, executor)))
}

/// Asks the hooks before a run; each sees the inputs that the one before it left.
pub(crate) async fn before_run(catalog: &Catalog, mut event: HookEvent) -> BeforeRun {
    let executor = event.executor.clone();
    let mut replaced = None;
    for hook in interested(catalog, HookPoint::BeforeRun, executor.as_deref()) {
        match hook.on_event(event.clone()).await {
            Ok(Decision::Proceed) => {}
            Ok(Decision::ReplaceInputs(inputs)) if inputs.value().is_object() => {
                event.inputs = Some(inputs.clone());
                replaced = Some(inputs);
            }
            Ok(Decision::ReplaceInputs(_)) => {
                let problem = "it replaced the inputs with something that is not an object";
                match failed(hook, &misuse(problem)) {
                    Some(error) => return BeforeRun::Refused(error),
                    None => continue,
                }
            }
            Ok(Decision::SupplyResult(result)) => return BeforeRun::Result(result),
            Ok(Decision::Delay(wait)) => return BeforeRun::Delay(wait),
            Ok(Decision::Veto(reason)) => return BeforeRun::Refused(vetoed(hook, &reason)),
            Err(error) => {
                if let Some(error) = failed(hook, &error) {
                    return BeforeRun::Refused(error);
                }
            }
        }
    }
    BeforeRun::Run(replaced)
}

/// Tells the hooks after a run, which cannot change anything any more. A hook that fails closed fails the task.
pub(crate) async fn after_run(catalog: &Catalog, event: HookEvent) -> Result<(), TaskError> {
    let executor = event.executor.clone();
    for hook in interested(catalog, HookPoint::AfterRun, executor.as_deref()) {
        let error = match hook.on_event(event.clone()).await {
            Ok(Decision::Proceed) => continue,
            Ok(_) => misuse("after a run there is nothing left to decide but to proceed"),
            Err(error) => error,
        };
        if let Some(error) = failed(hook, &error) {
            return Err(error);
        }
    }
    Ok(())
}

/// Asks whether a tree may be accepted.
pub(crate) async fn tree_created(catalog: &Catalog, event: HookEvent) -> Result<(), Error> {
    for hook in interested(catalog, HookPoint::TreeCreated, None) {
        let refusal = match hook.on_event(event.clone()).await {
            Ok(Decision::Proceed) => None,
            Ok(Decision::Veto(reason)) => Some(vetoed(hook, &reason)),
            Ok(_) => failed(hook, &misuse("a tree can be accepted or vetoed, nothing else")),
            Err(error) => failed(hook, &error),
        };
        if let Some(error) = refusal {
            return Err(Error::new(ErrorCode::Vetoed, error.message)
                .with("hook", hook.name())
                .with("reason", error.code));
        }
    }
    Ok(())
}

/// Tells hooks that executions have begun or ended, beside the way of tasks.
pub(crate) fn tell(shared: &Arc<Shared>, event: HookEvent) {
    let catalog = shared.catalog();
    if !catalog.listens(event.point) {
        return;
    }
    tokio::spawn(async move {
        for hook in interested(&catalog, event.point, None) {
            let point = event.point.as_str();
            match hook.on_event(event.clone()).await {
                Ok(Decision::Proceed) => {}
                Ok(_) => tracing::warn!(
                    hook = hook.name(),
                    point,
                    "the hook decided something, but here it is only told"
                ),
                Err(error) => tracing::warn!(hook = hook.name(), point, %error, "the hook failed"),
            }
        }
    });
}

/// Tells hooks about executions that ended.
pub(crate) fn trees_ended(shared: &Arc<Shared>, ended: &[TreeEnd]) {
    for end in ended {
        let point = if end.status == TreeStatus::Completed {
            HookPoint::TreeCompleted
        } else {
            HookPoint::TreeFailed
        };
        tell(
            shared,
            tree_event(point, shared.now(), end.tree_id.clone(), json!({ "status": end.status.as_str() })),
        );
    }
}

/// The event of a tree point.
pub(crate) fn tree_event(
    point: HookPoint,
    at: Timestamp,
    tree_id: TreeId,
    subject: serde_json::Value,
) -> HookEvent {
    HookEvent {
        point,
        at,
        tree_id,
        task_id: None,
        executor: None,
        attempt: 0,
        inputs: None,
        outcome: None,
        subject: Json::from(subject),
    }
}

fn misuse(problem: &str) -> TaskError {
    TaskError::new(FailureKind::Plugin, "bad_decision", problem)
}

fn vetoed(hook: &Arc<dyn Hook>, reason: &TaskError) -> TaskError {
    let name = hook.name();
    TaskError::new(
        FailureKind::Permanent,
        reason.code.clone(),
        format!("Hook '{name}' refused: {}", reason.message),
    )
    .with("hook", name)
}

/// What a failing hook means: an error if it fails closed, a line in the log if it fails open.
fn failed(hook: &Arc<dyn Hook>, error: &TaskError) -> Option<TaskError> {
    let name = hook.name();
    match hook.failure_policy() {
        FailurePolicy::Open => {
            tracing::warn!(hook = name, %error, "the hook failed; its policy is open, so the task goes on");
            None
        }
        FailurePolicy::Closed => Some(
            TaskError::new(
                FailureKind::Plugin,
                "hook_failed",
                format!("Hook '{name}' failed and its policy is closed: {}", error.message),
            )
            .with("hook", name)
            .with("reason", error.code.clone()),
        ),
    }
}
