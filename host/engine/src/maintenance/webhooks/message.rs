//! The body of a message: the event as every stream gives it, or, for the webhook of an execution, the shape that
//! clients of `tasks.execute` know.

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::{Event, EventKind};
use apflow_core::store::Store;
use apflow_core::webhook::{ExecutionScope, WebhookDefinition};
use serde_json::{Map, Value};

use crate::wire::Translator;

/// Makes the body for an event.
pub(super) async fn body(store: &dyn Store, definition: &WebhookDefinition, event: &Event) -> Result<String> {
    let text = match &definition.execution {
        None => serde_json::to_string(event),
        Some(scope) => serde_json::to_string(&of_execution(store, scope, event).await?),
    };
    text.map_err(|error| {
        Error::new(ErrorCode::Internal, format!("Event {} has no JSON form: {error}", event.seq))
    })
}

async fn of_execution(
    store: &dyn Store,
    scope: &ExecutionScope,
    event: &Event,
) -> Result<Map<String, Value>> {
    // Only the end says how much was completed; so nothing has to be counted on the way.
    let counts = match event.kind.ends_tree() {
        true => store.progress(&scope.root).await?.unwrap_or_default().counts,
        false => Default::default(),
    };
    let mut translator = Translator::resume(scope.root.clone(), counts.total(), counts.completed);
    let message = serde_json::to_value(translator.translate(event)).unwrap_or_default();
    let Value::Object(mut message) = message else { return Ok(Map::new()) };
    let done = if event.kind == EventKind::TaskCompleted { 1.0 } else { 0.0 };
    let at_end = message
        .get("result")
        .filter(|_| event.kind.ends_tree())
        .and_then(|result| result["progress"].as_f64());
    let progress = at_end.unwrap_or(done);
    for (name, value) in [
        ("protocol", Value::from("jsonrpc")),
        ("root_task_id", scope.root.as_str().into()),
        ("seq", event.seq.0.into()),
        ("execution", scope.execution.into()),
        ("status", Value::Null),
        ("progress", progress.into()),
        ("message", event.kind.as_str().into()),
        ("final", false.into()),
    ] {
        message.entry(name).or_insert(value);
    }
    Ok(message)
}
