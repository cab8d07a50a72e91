//! What people see while a tree runs: a live tree on a terminal, one line for each event in a pipe. Always on standard
//! error, so that standard output holds the result alone.

mod live;
mod outline;
mod plain;

use std::collections::HashMap;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::event::{Event, EventKind};
use apflow_core::task::TaskStatus;
use serde_json::Value;

use self::live::Live;
pub use self::outline::outline;
use self::plain::Plain;

/// A task as progress shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its parent, if that is shown too.
    pub parent: Option<String>,
    /// Its name.
    pub name: String,
    /// Where it stands before the first event.
    pub status: TaskStatus,
}

/// Follows one execution.
#[derive(Debug)]
pub enum Progress {
    /// On a terminal.
    Live(Box<Live>),
    /// Elsewhere.
    Plain(Plain),
}

impl Progress {
    /// Shows these tasks, which are in pre-order.
    pub fn new(rows: Vec<Row>, began: Timestamp) -> Self {
        if console::Term::stderr().features().is_attended() {
            Self::Live(Box::new(Live::new(rows, began)))
        } else {
            Self::Plain(Plain::new(&rows, began))
        }
    }

    /// Takes the next event of the execution.
    pub fn event(&mut self, event: &Event) {
        match self {
            Self::Live(live) => live.event(event),
            Self::Plain(plain) => {
                if let Some(line) = plain.line(event) {
                    eprintln!("{line}");
                }
            }
        }
    }

    /// Draws anew; called several times a second.
    pub fn tick(&mut self, now: Timestamp) {
        match self {
            Self::Live(live) => live.draw(now),
            Self::Plain(_) => {}
        }
    }

    /// Leaves the last state on the screen.
    pub fn finish(self, now: Timestamp) {
        match self {
            Self::Live(live) => live.finish(now),
            Self::Plain(_) => {}
        }
    }
}

/// How often [`Progress::tick`] should be called.
pub const TICK: Duration = Duration::from_millis(100);

/// What an event says about a task, in a few words.
fn word(kind: EventKind) -> Option<&'static str> {
    match kind {
        EventKind::TaskStarted => Some("started"),
        EventKind::TaskProgress => Some("progress"),
        EventKind::TaskCompleted | EventKind::TreeCompleted => Some("completed"),
        EventKind::TaskFailed | EventKind::TreeFailed => Some("failed"),
        EventKind::TaskCancelled | EventKind::TreeCancelled => Some("cancelled"),
        EventKind::TaskRetrying => Some("retrying"),
        EventKind::TaskBlocked => Some("blocked"),
        EventKind::TaskDelayed => Some("delayed"),
        EventKind::TaskRescued => Some("rescued"),
        EventKind::TreeCreated | EventKind::TreeStarted | EventKind::TreeDeleted | EventKind::TaskUpdated => {
            None
        }
    }
}

/// What an event adds to its word: an error, a fraction, a time to wait for.
fn note(event: &Event, names: &HashMap<String, String>) -> String {
    let data = event.data.as_ref().map(apflow_core::json::Json::value).unwrap_or_default();
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    match event.kind {
        EventKind::TaskProgress => {
            let percent = data.get("fraction").and_then(Value::as_f64).unwrap_or_default() * 100.0;
            format!("{percent:.0}% {}", text("message")).trim_end().to_owned()
        }
        EventKind::TaskFailed | EventKind::TaskRetrying | EventKind::TaskCancelled => error_text(&data),
        EventKind::TaskBlocked => {
            let by = text("blocked_by");
            format!("behind {}", names.get(by).map_or(by, String::as_str))
        }
        EventKind::TaskDelayed => format!("until {}", text("due")),
        EventKind::TreeCreated
        | EventKind::TreeStarted
        | EventKind::TreeCompleted
        | EventKind::TreeFailed
        | EventKind::TreeCancelled
        | EventKind::TreeDeleted
        | EventKind::TaskStarted
        | EventKind::TaskCompleted
        | EventKind::TaskRescued
        | EventKind::TaskUpdated => String::new(),
    }
}

/// `message (code)` of the error in the data of an event.
fn error_text(data: &Value) -> String {
    let text = |name: &str| data.pointer(&format!("/error/{name}")).and_then(Value::as_str);
    match (text("message"), text("code")) {
        (Some(message), Some(code)) => format!("{} ({code})", one_line(message)),
        (Some(message), None) => one_line(message),
        (None, _) => data.get("error").and_then(Value::as_str).map(one_line).unwrap_or_default(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A span for people: `85ms`, `1.24s`, `2m03s`, `1h02m`.
pub fn span(span: Duration) -> String {
    let (millis, seconds) = (span.as_millis(), span.as_secs());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{:.2}s", span.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let of = |millis| span(Duration::from_millis(millis));
        assert_eq!(
            [85, 1_240, 59_990, 123_000, 3_720_000].map(of),
            ["85ms", "1.24s", "59.99s", "2m03s", "1h02m"]
        );
    }

    #[test]
    fn errors_become_one_line() {
        let data = serde_json::json!({"error": {"message": "no\n  way", "code": "denied"}});
        assert_eq!(error_text(&data), "no way (denied)");
        assert_eq!(error_text(&serde_json::json!({"error": "stopped"})), "stopped");
        assert_eq!(error_text(&Value::Null), "");
    }
}
