//! Progress on a terminal: the tree with a line for each task, redrawn in place; a tree that does not fit is shown as
//! a bar and the tasks that run.

use std::collections::HashMap;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::event::{Event, EventKind};
use apflow_core::task::TaskStatus;
use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::outline::outline;
use super::{Row, note, span};

/// Lines that a tree leaves free on the screen.
const FREE_LINES: usize = 4;
/// Running tasks that a tree shows which does not fit.
const SHOWN_RUNNING: usize = 8;
const BAR_CELLS: usize = 30;
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The screen.
#[derive(Debug)]
pub struct Live {
    state: State,
    screen: MultiProgress,
    lines: Vec<ProgressBar>,
    whole_tree: bool,
    frame: usize,
}

/// What is known of the tasks; apart from the screen, so that it can be tested.
#[derive(Debug)]
struct State {
    rows: Vec<Shown>,
    index: HashMap<String, usize>,
    names: HashMap<String, String>,
    began: Timestamp,
}

#[derive(Debug)]
struct Shown {
    prefix: String,
    name: String,
    status: TaskStatus,
    blocked: bool,
    started: Option<Timestamp>,
    took: Option<Duration>,
    note: String,
}

impl Live {
    pub fn new(rows: Vec<Row>, began: Timestamp) -> Self {
        let state = State::new(rows, began);
        let (height, _) = Term::stderr().size();
        let whole_tree = state.rows.len() + FREE_LINES <= usize::from(height);
        let count = if whole_tree { state.rows.len() } else { SHOWN_RUNNING + 1 };
        let screen = MultiProgress::new();
        let lines = (0..count)
            .map(|_| {
                let style =
                    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
                screen.add(ProgressBar::new_spinner().with_style(style))
            })
            .collect();
        Self { state, screen, lines, whole_tree, frame: 0 }
    }

    pub fn event(&mut self, event: &Event) {
        let failed = self.state.event(event);
        // Where failed tasks have no line of their own they get one above.
        if let Some(line) = failed.filter(|_| !self.whole_tree) {
            let _ = self.screen.println(line);
        }
    }

    pub fn draw(&mut self, now: Timestamp) {
        self.frame += 1;
        let spinner = SPINNER[self.frame % SPINNER.len()];
        let texts = if self.whole_tree {
            self.state.rows.iter().map(|row| row.line(now, spinner)).collect()
        } else {
            self.state.summary(now, spinner)
        };
        let width = usize::from(Term::stderr().size().1).saturating_sub(1);
        let empty = String::new();
        for (i, line) in self.lines.iter().enumerate() {
            let text = texts.get(i).unwrap_or(&empty);
            line.set_message(console::truncate_str(text, width, "…").into_owned());
            line.tick();
        }
    }

    pub fn finish(mut self, now: Timestamp) {
        self.draw(now);
        for line in &self.lines {
            if line.message().is_empty() {
                line.finish_and_clear();
            } else {
                line.abandon();
            }
        }
    }
}

impl State {
    fn new(rows: Vec<Row>, began: Timestamp) -> Self {
        let prefixes = outline(rows.iter().map(|row| (row.id.as_str(), row.parent.as_deref())));
        let index = rows.iter().enumerate().map(|(i, row)| (row.id.clone(), i)).collect();
        let names = rows.iter().map(|row| (row.id.clone(), row.name.clone())).collect();
        let shown = |(row, prefix): (Row, String)| Shown {
            prefix,
            name: row.name,
            status: row.status,
            blocked: false,
            started: None,
            took: None,
            note: String::new(),
        };
        Self { rows: rows.into_iter().zip(prefixes).map(shown).collect(), index, names, began }
    }

    /// Takes an event; gives a line if a task has failed by it.
    fn event(&mut self, event: &Event) -> Option<String> {
        if event.kind == EventKind::TreeStarted {
            self.began = event.at;
        }
        let row = self.index.get(event.task_id.as_ref()?.as_str()).and_then(|i| self.rows.get_mut(*i))?;
        let (status, blocked) = match event.kind {
            EventKind::TaskStarted | EventKind::TaskProgress => (TaskStatus::InProgress, false),
            EventKind::TaskCompleted => (TaskStatus::Completed, false),
            EventKind::TaskFailed => (TaskStatus::Failed, false),
            EventKind::TaskCancelled => (TaskStatus::Cancelled, false),
            EventKind::TaskBlocked => (TaskStatus::Pending, true),
            EventKind::TaskRetrying | EventKind::TaskDelayed | EventKind::TaskRescued => {
                (TaskStatus::Pending, false)
            }
            EventKind::TaskUpdated
            | EventKind::TreeCreated
            | EventKind::TreeStarted
            | EventKind::TreeCompleted
            | EventKind::TreeFailed
            | EventKind::TreeCancelled
            | EventKind::TreeDeleted => return None,
        };
        (row.status, row.blocked) = (status, blocked);
        row.started = event.started_at.or(row.started);
        row.took = if event.kind.ends_task() { event.started_at.map(|at| event.at.since(at)) } else { None };
        row.note = note(event, &self.names);
        (status == TaskStatus::Failed).then(|| row.line(event.at, ""))
    }

    /// A bar, and the tasks that run.
    fn summary(&self, now: Timestamp, spinner: &str) -> Vec<String> {
        let count = |status| self.rows.iter().filter(|row| row.status == status).count();
        let (running, failed) = (count(TaskStatus::InProgress), count(TaskStatus::Failed));
        let ended = count(TaskStatus::Completed) + failed + count(TaskStatus::Cancelled);
        let total = self.rows.len().max(1);
        let filled = ended * BAR_CELLS / total;
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR_CELLS - filled));
        let mut head = format!("{bar} {ended}/{total} tasks, {running} running, {failed} failed");
        head.push_str(&format!(", {}", span(now.since(self.began))));
        let lines = self.rows.iter().filter(|row| row.status == TaskStatus::InProgress).take(SHOWN_RUNNING);
        std::iter::once(head).chain(lines.map(|row| row.line_without_prefix(now, spinner))).collect()
    }
}

impl Shown {
    fn line(&self, now: Timestamp, spinner: &str) -> String {
        let prefix = style(&self.prefix).dim().for_stderr();
        format!("{prefix}{}", self.line_without_prefix(now, spinner))
    }

    fn line_without_prefix(&self, now: Timestamp, spinner: &str) -> String {
        let icon = match self.status {
            TaskStatus::Pending if self.blocked => style("◌").yellow(),
            TaskStatus::Pending => style("○").dim(),
            TaskStatus::InProgress => style(spinner).cyan(),
            TaskStatus::Completed => style("✔").green(),
            TaskStatus::Failed => style("✘").red(),
            TaskStatus::Cancelled => style("■").yellow(),
        };
        let took = match self.status {
            TaskStatus::InProgress => self.started.map(|started| now.since(started)),
            _ => self.took,
        };
        let mut line = format!("{} {}", icon.for_stderr(), self.name);
        if let Some(took) = took {
            line.push_str(&format!("  {}", style(span(took)).dim().for_stderr()));
        }
        if !self.note.is_empty() {
            line.push_str(&format!("  {}", style(&self.note).dim().for_stderr()));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use apflow_core::id::{Seq, TaskId, TreeId};

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    fn event(kind: EventKind, task: &str, ms: i64, started_ms: Option<i64>) -> Event {
        Event {
            seq: Seq(1),
            tree_id: TreeId::from("t"),
            task_id: Some(TaskId::from(task)),
            executor: None,
            attempt: 1,
            kind,
            at: at(ms),
            started_at: started_ms.map(at),
            data: None,
        }
    }

    fn state() -> State {
        let row = |id: &str, parent: Option<&str>| Row {
            id: id.into(),
            parent: parent.map(Into::into),
            name: format!("task {id}"),
            status: TaskStatus::Pending,
        };
        State::new(vec![row("r", None), row("a", Some("r")), row("b", Some("r"))], at(0))
    }

    fn lines(state: &State, ms: i64) -> Vec<String> {
        let plain = |line: String| console::strip_ansi_codes(&line).into_owned();
        state.rows.iter().map(|row| plain(row.line(at(ms), "*"))).collect()
    }

    #[test]
    fn lines_follow_the_events() {
        let mut state = state();
        assert_eq!(lines(&state, 0), ["○ task r", "├─ ○ task a", "└─ ○ task b"]);
        state.event(&event(EventKind::TaskStarted, "a", 10, Some(10)));
        assert_eq!(lines(&state, 110)[1], "├─ * task a  100ms");
        state.event(&event(EventKind::TaskCompleted, "a", 210, Some(10)));
        assert!(state.event(&event(EventKind::TaskFailed, "b", 300, Some(200))).is_some());
        state.event(&event(EventKind::TaskBlocked, "r", 300, None));
        assert_eq!(lines(&state, 999), ["◌ task r  behind ", "├─ ✔ task a  200ms", "└─ ✘ task b  100ms"]);
    }

    #[test]
    fn a_tree_that_does_not_fit_is_a_bar_and_what_runs() {
        let mut state = state();
        state.event(&event(EventKind::TaskStarted, "a", 10, Some(10)));
        state.event(&event(EventKind::TaskCompleted, "b", 10, Some(5)));
        let lines = state.summary(at(1000), "*");
        assert!(lines[0].contains("1/3 tasks, 1 running, 0 failed, 1.00s"), "{}", lines[0]);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("task a"));
    }
}
