//! Spans: one for each attempt, and one for each execution of a tree, which is their parent. The ids come from the host, so
//! that a batch that is sent again names the same spans, and so do requests that plugins sent on with their `traceparent`.

use apflow_sdk::prelude::*;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use crate::wire::{self, attribute};

/// What the host adds to a measurement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extra {
    trace_parent: String,
    tree_trace_parent: String,
    plugin: Option<String>,
    version: Option<String>,
    cpu_us: Option<i64>,
    peak_memory_bytes: Option<i64>,
}

/// The span of a measurement; none for a task that was ended before it ran.
pub fn span(measured: &Measurement) -> Result<Option<Span>, Failure> {
    let Some((subject, status)) = measured.kind.split_once('.') else { return Ok(None) };
    if subject == "task" && measured.attempt == 0 {
        return Ok(None);
    }
    let extra: Extra = measured.receipt()?;
    let Some((trace_id, span_id)) = wire::trace_parent(&extra.trace_parent) else { return Ok(None) };
    let parent = wire::trace_parent(&extra.tree_trace_parent);
    let end = wire::nanos(&measured.at)?;
    Ok(Some(Span {
        trace_id,
        span_id,
        parent_span_id: parent.map(|(_, span)| span).unwrap_or_default(),
        // Sampled.
        flags: 1,
        name: match &measured.executor {
            Some(executor) => executor.clone(),
            None => subject.to_owned(),
        },
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: end.saturating_sub(wire::span_nanos(measured.duration)),
        end_time_unix_nano: end,
        attributes: attributes(measured, status, &extra),
        status: Some(match &measured.code {
            Some(code) if status != "cancelled" => {
                Status { message: code.clone(), code: StatusCode::Error.into() }
            }
            None if status == "failed" => Status { message: String::new(), code: StatusCode::Error.into() },
            _ => Status::default(),
        }),
        ..Span::default()
    }))
}

fn attributes(
    measured: &Measurement,
    status: &str,
    extra: &Extra,
) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let mut all =
        vec![attribute("apflow.tree.id", measured.tree_id.as_str()), attribute("apflow.status", status)];
    if let Some(task) = &measured.task_id {
        all.push(attribute("apflow.task.id", task.as_str()));
        all.push(attribute("apflow.task.attempt", i64::from(measured.attempt)));
    }
    all.extend(measured.executor.as_deref().map(|executor| attribute("apflow.executor", executor)));
    all.extend(measured.code.as_deref().map(|code| attribute("error.type", code)));
    all.extend(extra.plugin.as_deref().map(|plugin| attribute("apflow.plugin.name", plugin)));
    all.extend(extra.version.as_deref().map(|version| attribute("apflow.plugin.version", version)));
    all.extend(extra.cpu_us.map(|cpu| attribute("apflow.cpu_us", cpu)));
    all.extend(extra.peak_memory_bytes.map(|bytes| attribute("apflow.peak_memory_bytes", bytes)));
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TREE: &str = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01";
    const TASK: &str = "00-0102030405060708090a0b0c0d0e0f10-2122232425262728-01";

    fn measured(kind: &str, extra: Value) -> Measurement {
        Measurement {
            extra: extra.to_string(),
            ..Measurement::for_test(kind, 1, Some("noop_executor"), Duration::from_millis(40))
        }
    }

    #[test]
    fn an_attempt_is_a_child_of_its_tree() {
        let extra = json!({"trace_parent": TASK, "tree_trace_parent": TREE, "cpu_us": 7, "plugin": "p"});
        let failed = Measurement { code: Some("http_status".into()), ..measured("task.retrying", extra) };
        let span = span(&failed).unwrap().unwrap();
        assert_eq!((span.trace_id.len(), span.span_id[0], span.parent_span_id[0]), (16, 0x21, 0x11));
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 40_000_000);
        assert_eq!(span.end_time_unix_nano, 1_767_225_600_000_000_000);
        let status = span.status.unwrap();
        assert_eq!((status.code, status.message.as_str()), (StatusCode::Error as i32, "http_status"));
        assert!(span.attributes.iter().any(|one| one.key == "apflow.cpu_us"));
    }

    #[test]
    fn a_tree_is_a_root_and_what_never_ran_is_no_span() {
        let tree = Measurement {
            task_id: None,
            executor: None,
            attempt: 0,
            ..measured("tree.completed", json!({"trace_parent": TREE}))
        };
        let root = span(&tree).unwrap().unwrap();
        assert_eq!((root.name.as_str(), root.parent_span_id.len(), root.span_id[0]), ("tree", 0, 0x11));
        let never = Measurement { attempt: 0, ..measured("task.cancelled", json!({"trace_parent": TASK})) };
        assert_eq!(span(&never).unwrap(), None);
    }
}
