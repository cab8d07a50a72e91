//! Why a call did not give a result, told so that its reader can mend it: the limit, its value and its key, or how the
//! guest crashed and its last words. Nothing of the host's inside is shown.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use apflow_core::error::{FailureKind, TaskError};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::limits::Limits;
use crate::state::{Ended, Identity};
use crate::usage::Usage;

/// A limit that a call broke.
pub(crate) fn limit(identity: &Identity, code: &str, what: &str, key: &str, value: u64) -> TaskError {
    let name = &identity.name;
    let key = format!("plugins.{name}.limits.{key}");
    TaskError::new(FailureKind::Plugin, code, format!("Plugin '{name}' {what}: the limit {key} is {value}"))
        .with("limit", key)
        .with("value", value)
}

/// The time of a call is up: `limit` was the task's own, or else the plugin's.
pub(crate) fn too_slow(identity: &Identity, own: Option<Duration>) -> TaskError {
    if let Some(own) = own {
        let ms = u64::try_from(own.as_millis()).unwrap_or(u64::MAX);
        let message = format!(
            "The task took longer than its timeout of {ms} ms and was interrupted; raise `timeout_ms`"
        );
        return TaskError::new(FailureKind::Retryable, "timeout", message).with("timeout_ms", ms);
    }
    let ms = identity.limits.deadline_ms;
    limit(identity, "deadline_exceeded", "took too long and was interrupted", "deadline_ms", ms)
}

/// What `error`, which ended a call, means.
pub(crate) fn explain(
    error: &wasmtime::Error,
    identity: &Identity,
    usage: &Usage,
    own: Option<Duration>,
) -> TaskError {
    let limits = &identity.limits;
    let failure = match error.downcast_ref::<Ended>() {
        Some(Ended::Deadline) => return too_slow(identity, own),
        Some(Ended::HostCalls) => {
            let calls = limits.host_calls;
            return limit(identity, "host_call_limit", "called the host too often", "host_calls", calls);
        }
        Some(Ended::Revoked) => {
            let message = format!(
                "Plugin '{}' was ended: a folder or variable that it had was revoked while it ran",
                identity.name
            );
            TaskError::new(FailureKind::Permanent, "grants_revoked", message)
        }
        None => refused_memory(identity, usage)
            .or_else(|| too_much_data(error, identity))
            .unwrap_or_else(|| crash(error, identity)),
    };
    let last_words = usage.last_output();
    if last_words.is_empty() { failure } else { failure.with("output", last_words) }
}

/// The limit that growth of memories or tables was refused for, if it was.
pub(crate) fn refused_memory(identity: &Identity, usage: &Usage) -> Option<TaskError> {
    let Limits { memory_bytes, table_elements, .. } = identity.limits;
    if usage.memory_refused.load(Relaxed) {
        return Some(limit(identity, "memory_limit", "needed too much memory", "memory_bytes", memory_bytes));
    }
    let refused = usage.tables_refused.load(Relaxed);
    refused
        .then(|| limit(identity, "table_limit", "needed too large tables", "table_elements", table_elements))
}

/// wasmtime stops a guest that hands over more than it was allowed to, by an error that has no public type.
fn too_much_data(error: &wasmtime::Error, identity: &Identity) -> Option<TaskError> {
    if !error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted") {
        return None;
    }
    // A result is read after the guest has returned, so there is no guest in the backtrace.
    if error.downcast_ref::<WasmBacktrace>().is_none() {
        return Some(output_too_large(identity));
    }
    let most = identity.limits.http_request_bytes;
    Some(limit(
        identity,
        "transfer_limit",
        "handed too much data to the host at once",
        "http_request_bytes",
        most,
    ))
}

/// The result is larger than allowed.
pub(crate) fn output_too_large(identity: &Identity) -> TaskError {
    let most = identity.limits.output_bytes;
    limit(identity, "output_limit", "gave a result that is too large", "output_bytes", most)
}

fn crash(error: &wasmtime::Error, identity: &Identity) -> TaskError {
    let name = &identity.name;
    if let Some(frames) = error.downcast_ref::<WasmBacktrace>() {
        let functions: Vec<_> =
            frames.frames().iter().filter_map(|frame| frame.func_name()).take(20).collect();
        tracing::debug!(plugin = %name, ?functions, "guest backtrace");
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return TaskError::new(
            FailureKind::Plugin,
            "trap",
            format!("Plugin '{name}' crashed (trap): it called exit({code})"),
        );
    }
    let cause = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let message = format!(
        "Plugin '{name}' crashed (trap): {cause}. What it wrote last is in `output` of the error's data"
    );
    TaskError::new(FailureKind::Plugin, "trap", message)
}
