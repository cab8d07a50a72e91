//! What commands write to standard output: tables and sentences for people, one JSON document, or bare ids.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde_json::Value;

/// The flag `--output`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Output {
    /// human (also: table), json, or ids
    #[arg(long, short, value_enum, default_value_t = Format::Human, global = true, hide_possible_values = true)]
    output: Format,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[value(alias = "table")]
    Human,
    /// One JSON document.
    Json,
    /// Ids, one a line.
    Ids,
}

impl Output {
    /// What was asked for.
    pub fn format(self) -> Format {
        self.output
    }

    /// Writes a JSON document.
    pub fn json(self, value: &Value) {
        print_json(value);
    }

    /// Writes an answer in the form that was asked for; `human` makes the text for people.
    pub fn show(self, value: &Value, human: impl FnOnce(&Value) -> String) {
        match self.output {
            Format::Human => print_text(&human(value)),
            Format::Json => print_json(value),
            Format::Ids => ids(value).iter().for_each(|id| print_text(id)),
        }
    }
}

/// Writes text and a line end. A reader that has gone away (`| head`) is no error of ours.
pub fn print_text(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
}

fn print_json(value: &Value) {
    print_text(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// The ids in an answer: of a list, of the lists inside, or of the thing itself.
fn ids(value: &Value) -> Vec<&str> {
    const NAMES: [&str; 4] = ["id", "root_task_id", "task_id", "name"];
    match value {
        Value::Array(items) => items.iter().flat_map(ids).collect(),
        Value::Object(map) => match NAMES.iter().find_map(|name| map.get(*name)?.as_str()) {
            Some(id) => vec![id],
            None => map.values().filter(|value| value.is_array()).flat_map(ids).collect(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// A table without lines, as wide as the terminal; in a pipe as wide as its content.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if console::Term::stdout().is_term() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(header.iter().map(|text| Cell::new(text.to_uppercase())));
    table
}

/// The text of a table, without the spaces that pad the first and the last column.
pub fn text_of(table: &Table) -> String {
    let bare = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
    table.lines().map(bare).collect::<Vec<_>>().join("\n")
}

/// A status in its colour.
pub fn status_cell(status: &str) -> Cell {
    let cell = Cell::new(status);
    match status_colour(status) {
        Some(colour) if console::colors_enabled() => cell.fg(colour),
        _ => cell,
    }
}

fn status_colour(status: &str) -> Option<Color> {
    match status {
        "completed" => Some(Color::Green),
        "failed" => Some(Color::Red),
        "cancelled" => Some(Color::Yellow),
        "in_progress" => Some(Color::Cyan),
        _ => None,
    }
}

/// A value of a JSON object as one short text: strings bare, null and what is missing as `-`.
pub fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            if items.is_empty() { "-".into() } else { items.join(", ") }
        }
        Some(other) => other.to_string(),
    }
}

/// RFC 3339 text without fractions of a second.
pub fn short_time(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _)) if text.ends_with('Z') => format!("{seconds}Z"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_found_in_every_answer() {
        assert_eq!(ids(&json!([{"id": "a"}, {"id": "b"}])), ["a", "b"]);
        assert_eq!(ids(&json!({"executors": [{"id": "e"}], "count": 1})), ["e"]);
        assert_eq!(ids(&json!({"root_task_id": "r", "tasks": [{"id": "x"}]})), ["r"]);
        assert!(ids(&json!({"pending": 1})).is_empty());
    }

    #[test]
    fn tables_have_no_trailing_spaces() {
        let mut one = table(&["id", "name"]);
        one.add_row(["1", "a"]);
        one.add_row(["22", "long name"]);
        assert_eq!(text_of(&one), "ID  NAME\n1   a\n22  long name");
    }

    #[test]
    fn fields_and_times_are_short() {
        let task = json!({"a": null, "b": "text", "c": ["x", "y"], "d": 3});
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| field(&task, name)), ["-", "text", "x, y", "3", "-"]);
        assert_eq!(short_time("2026-01-02T03:04:05.678901Z"), "2026-01-02T03:04:05Z");
        assert_eq!(short_time("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z");
    }
}
