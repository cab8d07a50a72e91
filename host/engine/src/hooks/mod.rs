//! Asking hooks, in their order, and honouring what they decide: one hook here, the points of tasks and of trees in the
//! files beside this one. What a hook does to a task is kept with the attempt, see [`with_hooks`].

mod task;
mod tree;

use std::sync::Arc;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::json::Json;
use apflow_core::plugin::{Decision, FailurePolicy, Hook, HookEvent, HookPoint, HookRecord, Receipt};
use serde_json::{Value, json};

pub(crate) use task::{Go, Stop, admit, after_run, before_run};
pub(crate) use tree::{tell, tree_created, tree_event, trees_ended};

/// What the hooks did to a task so far.
pub(crate) type Records = Vec<HookRecord>;

/// Asks one hook and notes what it did. An error is one that counts: of a hook that fails closed.
async fn ask(hook: &Arc<dyn Hook>, event: &HookEvent, records: &mut Records) -> Result<Decision, TaskError> {
    let point = event.point;
    let answer = match hook.on_event(event.clone()).await {
        Ok(decision) => honoured(point, decision),
        Err(error) => Err(error),
    };
    let decision = match answer {
        Ok(decision) => decision,
        Err(error) => {
            records.push(failure(hook, point, &error));
            return failed(hook, &error).map_or(Ok(Decision::Proceed), Err);
        }
    };
    records.extend(decided(hook, point, &decision));
    Ok(decision)
}

fn honoured(point: HookPoint, decision: Decision) -> Result<Decision, TaskError> {
    let problem = match decision {
        Decision::ReplaceInputs(inputs) if !inputs.value().is_object() => {
            "it replaced the inputs with something that is not an object".to_owned()
        }
        decision if decision.is_honoured_at(point) => return Ok(decision),
        decision => format!("it decided '{}', which means nothing at {}", decision.as_str(), point.as_str()),
    };
    Err(TaskError::new(FailureKind::Plugin, "bad_decision", problem))
}

/// A record of a decision; to proceed is none.
fn decided(hook: &Arc<dyn Hook>, point: HookPoint, decision: &Decision) -> Option<HookRecord> {
    let record = HookRecord {
        hook: hook.name().to_owned(),
        point,
        decision: decision.as_str().to_owned(),
        delay_ms: None,
        code: None,
        message: None,
        policy: None,
    };
    match decision {
        Decision::Proceed => None,
        Decision::ReplaceInputs(_) | Decision::SupplyResult(_) => Some(record),
        Decision::Delay(wait) => {
            let delay_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            Some(HookRecord { delay_ms, ..record })
        }
        Decision::Veto(reason) => {
            let (code, message) = (Some(reason.code.clone()), Some(reason.message.clone()));
            Some(HookRecord { code, message, ..record })
        }
    }
}

fn failure(hook: &Arc<dyn Hook>, point: HookPoint, error: &TaskError) -> HookRecord {
    HookRecord {
        hook: hook.name().to_owned(),
        point,
        decision: "failed".to_owned(),
        delay_ms: None,
        code: Some(error.code.clone()),
        message: Some(error.message.clone()),
        policy: Some(hook.failure_policy()),
    }
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

fn vetoed(hook: &Arc<dyn Hook>, reason: &TaskError) -> TaskError {
    let name = hook.name();
    TaskError::new(
        FailureKind::Permanent,
        reason.code.clone(),
        format!("Hook '{name}' refused: {}", reason.message),
    )
    .with("hook", name)
}

/// The receipt of an attempt as it is stored: what it used, and under `hooks` what hooks did to it.
pub(crate) fn with_hooks(receipt: Option<&Receipt>, records: &Records) -> Option<Json> {
    if records.is_empty() {
        return receipt.and_then(|receipt| Json::of(receipt).ok());
    }
    let mut all = match receipt.and_then(|receipt| serde_json::to_value(receipt).ok()) {
        Some(Value::Object(receipt)) => Value::Object(receipt),
        _ => json!({}),
    };
    all["hooks"] = json!(records);
    Some(Json::from(all))
}

/// What hooks did, from a receipt or from the data of an event that has one.
pub(crate) fn hooks_of(receipt: Option<&Value>) -> Records {
    let hooks = receipt.and_then(|receipt| receipt.get("hooks")).cloned();
    hooks.and_then(|hooks| serde_json::from_value(hooks).ok()).unwrap_or_default()
}
