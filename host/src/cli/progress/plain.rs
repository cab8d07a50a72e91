//! Progress as lines: one for each event, with the time since the start, the task, what happened, and how long it took.

use std::collections::HashMap;

use apflow_core::clock::Timestamp;
use apflow_core::event::{Event, EventKind};

use super::{Row, note, span, word};

/// Names are padded to the longest of them, but not further than this.
const WIDEST_NAME: usize = 32;
/// Stands where a name would for events of the whole tree.
const TREE: &str = "(tree)";

/// Makes the lines.
#[derive(Debug)]
pub struct Plain {
    names: HashMap<String, String>,
    width: usize,
    began: Timestamp,
}

impl Plain {
    pub fn new(rows: &[Row], began: Timestamp) -> Self {
        let widest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
        let names = rows.iter().map(|row| (row.id.clone(), row.name.clone())).collect();
        Self { names, width: widest.clamp(TREE.len(), WIDEST_NAME), began }
    }

    /// The line for an event, if it has one.
    pub fn line(&mut self, event: &Event) -> Option<String> {
        if event.kind == EventKind::TreeStarted {
            self.began = event.at;
        }
        let word = word(event.kind)?;
        let name = match &event.task_id {
            None => TREE,
            Some(id) => self.names.get(id.as_str()).map_or(id.as_str(), String::as_str),
        };
        let took = match event.started_at {
            Some(started) if event.kind != EventKind::TaskStarted => span(event.at.since(started)),
            None if event.kind.ends_tree() => span(event.at.since(self.began)),
            _ => String::new(),
        };
        let offset = format!("+{:.3}s", event.at.since(self.began).as_secs_f64());
        let line = format!("{offset:>9}  {name:<width$}  {word:<9}  {took:>7}  ", width = self.width);
        Some(format!("{line}{}", note(event, &self.names)).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use apflow_core::id::{Seq, TaskId, TreeId};
    use apflow_core::json::Json;
    use apflow_core::task::TaskStatus;
    use serde_json::{Value, json};

    use super::*;

    const START: i64 = 1_700_000_000_000_000;

    fn event(kind: EventKind, task: Option<&str>, at_ms: i64, started_ms: Option<i64>, data: Value) -> Event {
        Event {
            seq: Seq(1),
            tree_id: TreeId::from("t"),
            task_id: task.map(TaskId::from),
            executor: None,
            attempt: 1,
            kind,
            at: Timestamp::from_micros(START + at_ms * 1000),
            started_at: started_ms.map(|ms| Timestamp::from_micros(START + ms * 1000)),
            data: (!data.is_null()).then(|| Json::from(data)),
        }
    }

    #[test]
    fn every_event_is_one_line() {
        let row = |id: &str, name: &str| Row {
            id: id.into(),
            parent: None,
            name: name.into(),
            status: TaskStatus::Pending,
        };
        let mut plain = Plain::new(&[row("1", "fetch"), row("2", "report all")], Timestamp::from_micros(0));
        let error = json!({"error": {"message": "no host", "code": "http_denied"}});
        let events = [
            event(EventKind::TreeStarted, None, 0, None, Value::Null),
            event(EventKind::TaskStarted, Some("1"), 2, Some(2), Value::Null),
            event(
                EventKind::TaskProgress,
                Some("1"),
                50,
                Some(2),
                json!({"fraction": 0.5, "message": "half"}),
            ),
            event(EventKind::TaskFailed, Some("1"), 127, Some(2), error),
            event(EventKind::TaskBlocked, Some("2"), 127, None, json!({"blocked_by": "1"})),
            event(EventKind::TreeFailed, None, 1300, None, Value::Null),
        ];
        let lines: Vec<String> = events.iter().filter_map(|event| plain.line(event)).collect();
        assert_eq!(
            lines,
            [
                "  +0.002s  fetch       started",
                "  +0.050s  fetch       progress      48ms  50% half",
                "  +0.127s  fetch       failed       125ms  no host (http_denied)",
                "  +0.127s  report all  blocked             behind fetch",
                "  +1.300s  (tree)      failed       1.30s",
            ]
        );
    }
}
