//! The points of a tree: asked before it is accepted, told when an execution begins and ends.

use std::sync::Arc;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode};
use apflow_core::id::TreeId;
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, Decision, HookEvent, HookPoint};
use apflow_core::store::TreeEnd;
use apflow_core::task::TreeStatus;
use serde_json::{Value, json};

use super::{Records, ask, vetoed};
use crate::engine::Shared;

/// Asks whether a tree may be accepted. There is no task yet that could keep what the hooks did.
pub(crate) async fn tree_created(catalog: &Catalog, event: HookEvent) -> Result<(), Error> {
    let mut unkept = Records::new();
    for hook in catalog.interested(HookPoint::TreeCreated, None) {
        let refusal = match ask(hook, &event, &mut unkept).await {
            Ok(Decision::Veto(reason)) => vetoed(hook, &reason),
            Ok(_) => continue,
            Err(error) => error,
        };
        return Err(Error::new(ErrorCode::Vetoed, refusal.message)
            .with("hook", hook.name())
            .with("reason", refusal.code));
    }
    Ok(())
}

/// Tells hooks that executions have begun or ended, beside the way of tasks: whatever they answer, nothing waits for it.
pub(crate) fn tell(shared: &Arc<Shared>, event: HookEvent) {
    let catalog = shared.catalog();
    if !catalog.listens(event.point, None) {
        return;
    }
    tokio::spawn(async move {
        let mut unkept = Records::new();
        for hook in catalog.interested(event.point, None) {
            if let Err(error) = ask(hook, &event, &mut unkept).await {
                tracing::warn!(hook = hook.name(), point = event.point.as_str(), %error, "the hook failed");
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
pub(crate) fn tree_event(point: HookPoint, at: Timestamp, tree_id: TreeId, subject: Value) -> HookEvent {
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
        extra: Json::object(),
    }
}
