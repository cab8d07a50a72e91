//! Guest types of the contract from and to core types. What a guest says is bounded here: a failure's text is stored
//! with the task and shown in lists, so it cannot be a book.

use std::time::Duration;

use apflow_core::error::{Error, ErrorCode, FailureKind, TaskError};
use apflow_core::event::{Event, EventKind};
use apflow_core::json::Json;
use apflow_core::plugin::{HookEvent, Invocation, RunFailure};
use apflow_core::trace;
use serde_json::{Map, Value};

use super::v0_1::{collector, hooks, types};

/// Bytes of a failure's sentence that are kept.
const MESSAGE: usize = 4 * 1024;
/// Bytes of a failure's further data that are kept.
const EXTRA: usize = 64 * 1024;
/// Characters of a failure's code.
const CODE: usize = 100;

/// An invocation for the guest; `limit` is the longest it may take.
pub(crate) fn invocation(call: &Invocation, limit: Duration) -> types::Invocation {
    types::Invocation {
        executor: call.executor.clone(),
        task_id: call.task_id.to_string(),
        tree_id: call.tree_id.to_string(),
        attempt: call.attempt,
        idempotency_key: call.idempotency_key.clone(),
        timeout_ms: Some(u32::try_from(limit.as_millis()).unwrap_or(u32::MAX)),
        inputs: call.inputs.as_str().to_owned(),
        params: call.params.as_str().to_owned(),
        trace_parent: call.trace_parent.clone(),
        extra: "{}".into(),
    }
}

/// A hook's event for the guest.
pub(crate) fn hook_event(event: &HookEvent) -> hooks::HookEvent {
    let text = |json: &Json| json.as_str().to_owned();
    hooks::HookEvent {
        point: event.point.as_str().into(),
        at: event.at.to_string(),
        tree_id: event.tree_id.to_string(),
        task_id: event.task_id.as_ref().map(ToString::to_string),
        executor: event.executor.clone(),
        attempt: event.attempt,
        inputs: event.inputs.as_ref().map(text),
        outcome: event.outcome.as_ref().map(text),
        subject: text(&event.subject),
        extra: text(&event.extra),
    }
}

/// A measurement for the guest.
pub(crate) fn measurement(event: &Event) -> collector::Measurement {
    let data = event.data.as_ref().map(Json::value).unwrap_or_default();
    let duration = event.started_at.map(|start| event.at.since(start)).unwrap_or_default();
    let of_tree = event.kind.ends_tree() || event.kind == EventKind::TreeStarted;
    collector::Measurement {
        kind: event.kind.as_str().into(),
        sequence: event.seq.to_string(),
        at: event.at.to_string(),
        tree_id: event.tree_id.to_string(),
        task_id: event.task_id.as_ref().map(ToString::to_string),
        executor: event.executor.clone(),
        attempt: if of_tree { 0 } else { event.attempt },
        duration_ms: duration.as_secs_f64() * 1000.0,
        code: data.pointer("/error/code").and_then(Value::as_str).map(str::to_owned),
        extra: measurement_extra(event, data).to_string(),
    }
}

/// The receipt of the attempt, and where it stands in its trace.
fn measurement_extra(event: &Event, mut data: Value) -> Value {
    let mut extra = match data.get_mut("receipt").map(Value::take) {
        Some(Value::Object(receipt)) => receipt,
        _ => Map::new(),
    };
    let tree = trace::of_tree(&event.tree_id);
    if let Some(task) = &event.task_id {
        extra.insert("trace_parent".into(), trace::of_attempt(&event.tree_id, task, event.attempt).into());
        extra.insert("tree_trace_parent".into(), tree.into());
    } else {
        extra.insert("trace_parent".into(), tree.into());
    }
    Value::Object(extra)
}

/// A guest's failure as the engine stores it.
pub(crate) fn failure(failure: types::Failure) -> RunFailure {
    match failure {
        types::Failure::BadInput(one) => issue(FailureKind::BadInput, one).into(),
        types::Failure::Permanent(one) => issue(FailureKind::Permanent, one).into(),
        types::Failure::Cancelled => {
            TaskError::new(FailureKind::Cancelled, "cancelled", "The plugin stopped because it was asked to")
                .into()
        }
        types::Failure::Retryable(retry) => RunFailure {
            error: issue(FailureKind::Retryable, retry.issue),
            retry_after: retry.after_ms.map(|ms| Duration::from_millis(ms.into())),
        },
        types::Failure::Other(text) => other(&text).into(),
    }
}

/// A guest's issue as an error of this kind.
pub(crate) fn issue(kind: FailureKind, issue: types::Issue) -> TaskError {
    let types::Issue { code, message, pointer, extra } = issue;
    TaskError {
        pointer,
        data: object(&extra),
        ..TaskError::new(kind, self::code(&code), cut(message, MESSAGE))
    }
}

/// What the host has to say to a guest.
pub(crate) fn say(code: &str, message: String) -> types::Issue {
    types::Issue { code: code.into(), message, pointer: None, extra: "{}".into() }
}

/// An error of the host for a guest.
pub(crate) fn issue_of(error: Error) -> types::Issue {
    let extra = Value::Object(error.data).to_string();
    types::Issue { extra, ..say(error.code.as_str(), error.message) }
}

/// The same as a failure, which says whether another attempt may help.
pub(crate) fn failure_of(error: Error) -> types::Failure {
    match error.code {
        ErrorCode::StoreUnavailable | ErrorCode::ShuttingDown => {
            types::Failure::Retryable(types::Retry { issue: issue_of(error), after_ms: None })
        }
        _ => types::Failure::Permanent(issue_of(error)),
    }
}

/// A kind of failure that this version does not know: an object with at least `code` and `message`.
fn other(text: &str) -> TaskError {
    let mut data = object(text);
    let mut take = |key: &str| match data.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let code = take("code").unwrap_or_default();
    let message = take("message").unwrap_or_else(|| "The plugin failed and did not say why".into());
    TaskError { data, ..TaskError::new(FailureKind::Permanent, self::code(&code), cut(message, MESSAGE)) }
}

/// Codes are for programs: what does not look like one is replaced.
fn code(text: &str) -> &str {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    if (1..=CODE).contains(&text.len()) && text.chars().all(fits) { text } else { "plugin_failure" }
}

fn object(text: &str) -> Map<String, Value> {
    if text.len() > EXTRA {
        return Map::from_iter([("extra_dropped_bytes".to_owned(), text.len().into())]);
    }
    serde_json::from_str(text).unwrap_or_default()
}

/// The beginning of `text`, at most `most` bytes.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use apflow_core::clock::Timestamp;
    use apflow_core::id::{Seq, TaskId, TreeId};
    use serde_json::json;

    use super::*;

    fn wit_issue(code: &str, message: &str, extra: &str) -> types::Issue {
        types::Issue {
            code: code.into(),
            message: message.into(),
            pointer: Some("/url".into()),
            extra: extra.into(),
        }
    }

    #[test]
    fn failures_keep_kind_code_pointer_and_data() {
        let one = wit_issue("http_status", "503", r#"{"status": 503}"#);
        let run = failure(types::Failure::Retryable(types::Retry { issue: one, after_ms: Some(1500) }));
        assert_eq!(run.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!((run.error.kind, run.error.code.as_str()), (FailureKind::Retryable, "http_status"));
        assert_eq!((run.error.pointer.as_deref(), &run.error.data["status"]), (Some("/url"), &503.into()));
    }

    #[test]
    fn a_measurement_has_the_receipt_and_its_place_in_the_trace() {
        let (tree, task) = (TreeId::from("t"), TaskId::from("a"));
        let event = Event {
            seq: Seq(7),
            tree_id: tree.clone(),
            task_id: Some(task.clone()),
            executor: Some("e".into()),
            attempt: 2,
            kind: EventKind::TaskRetrying,
            at: Timestamp::from_micros(2_000_000),
            started_at: Some(Timestamp::from_micros(1_500_000)),
            data: Some(Json::from(json!({"error": {"code": "boom"}, "receipt": {"cpu_us": 5}}))),
        };
        let of = |event: &Event| {
            let measured = measurement(event);
            let extra: Value = serde_json::from_str(&measured.extra).unwrap();
            (measured.attempt, measured.duration_ms, measured.code, extra)
        };
        let (attempt, root) = (trace::of_attempt(&tree, &task, 2), trace::of_tree(&tree));
        let extra = json!({"cpu_us": 5, "trace_parent": attempt, "tree_trace_parent": root});
        assert_eq!(of(&event), (2, 500.0, Some("boom".into()), extra));
        let ended = Event { task_id: None, kind: EventKind::TreeCompleted, data: None, ..event };
        assert_eq!(of(&ended), (0, 500.0, None, json!({"trace_parent": root})));
    }

    #[test]
    fn what_a_guest_says_is_bounded() {
        let long = "ä".repeat(MESSAGE);
        let error = issue(
            FailureKind::Permanent,
            wit_issue("Not A Code", &long, &format!("\"{}\"", "x".repeat(EXTRA))),
        );
        assert_eq!(error.code, "plugin_failure");
        assert!(error.message.len() <= MESSAGE + '…'.len_utf8() && error.message.ends_with('…'));
        assert_eq!(error.data["extra_dropped_bytes"], EXTRA + 2);
    }

    #[test]
    fn failures_of_later_contracts_are_permanent_and_keep_their_words() {
        let error =
            failure(types::Failure::Other(r#"{"code":"quota","message":"used up","until":"noon"}"#.into()))
                .error;
        assert_eq!(
            (error.kind, error.code.as_str(), error.message.as_str()),
            (FailureKind::Permanent, "quota", "used up")
        );
        assert_eq!(error.data["until"], "noon");
        assert_eq!(failure(types::Failure::Other("nonsense".into())).error.code, "plugin_failure");
    }
}
