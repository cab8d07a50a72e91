//! `apflow tasks scheduled`: schedules of trees. Flags become parameters of `tasks.scheduled.*`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::errors::Failure;
use super::output::{Output, field, print_text, short_time, status_cell, table, text_of};
use super::tasks::present;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum ScheduledCommand {
    /// List schedules by their next due time
    List(ListArgs),
    /// List what is due
    Due(DueArgs),
    /// Show what became of the due times of a schedule, the newest first
    History(HistoryArgs),
    /// Compute the next due time anew
    Init(InitArgs),
    /// Report a run that a scheduler outside has made
    Complete(CompleteArgs),
    /// Write schedules as an iCalendar document
    ExportIcal(ExportArgs),
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only of this type: once, interval, cron, daily, weekly or monthly
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    schedule_type: Option<String>,
    /// Only where the root has this status; may be given several times
    #[arg(long, short)]
    status: Vec<String>,
    /// Only of this owner
    #[arg(long, short)]
    user_id: Option<String>,
    /// Also schedules that are not in force
    #[arg(long, short)]
    all: bool,
    /// At most so many
    #[arg(long, short, default_value_t = 100)]
    limit: u32,
    /// Skip so many
    #[arg(long, default_value_t = 0)]
    offset: u32,
}

#[derive(Debug, clap::Args)]
pub struct DueArgs {
    /// Due by then (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Only of this owner
    #[arg(long, short)]
    user_id: Option<String>,
    /// At most so many
    #[arg(long, short, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// Id of the root
    #[arg(value_name = "ID")]
    id: String,
    /// At most so many
    #[arg(long, short, default_value_t = 20)]
    limit: u32,
    /// Skip so many
    #[arg(long, default_value_t = 0)]
    offset: u32,
}

#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Id of the root
    #[arg(value_name = "ID")]
    id: String,
    /// As of then (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    from_time: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct CompleteArgs {
    /// Id of the root
    #[arg(value_name = "ID")]
    id: String,
    /// The run failed
    #[arg(long)]
    failed: bool,
    /// Why it failed
    #[arg(long, value_name = "TEXT", requires = "failed")]
    error: Option<String>,
    /// Leave the next due time as it is
    #[arg(long)]
    no_calculate_next_run: bool,
}

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// File to write [default: standard output]
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only of this type: once, interval, cron, daily, weekly or monthly
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    schedule_type: Option<String>,
    /// Only of this owner
    #[arg(long, short)]
    user_id: Option<String>,
    /// Also schedules that are not in force
    #[arg(long, short)]
    all: bool,
    /// At most so many
    #[arg(long, short, default_value_t = 100)]
    limit: u32,
    /// Name of the calendar
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where tasks are shown; events link to it
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

impl ScheduledCommand {
    /// The operation and its parameters.
    pub fn request(&self) -> (&'static str, Value) {
        match self {
            Self::List(args) => (
                "tasks.scheduled.list",
                present(json!({
                    "enabled_only": !args.all, "schedule_type": args.schedule_type, "user_id": args.user_id,
                    "status": (!args.status.is_empty()).then_some(&args.status), "limit": args.limit,
                    "offset": args.offset,
                })),
            ),
            Self::Due(args) => (
                "tasks.scheduled.due",
                present(json!({ "before": args.before, "user_id": args.user_id, "limit": args.limit })),
            ),
            Self::History(args) => (
                "tasks.scheduled.history",
                json!({ "task_id": args.id, "limit": args.limit, "offset": args.offset }),
            ),
            Self::Init(args) => {
                ("tasks.scheduled.init", present(json!({ "task_id": args.id, "from_time": args.from_time })))
            }
            Self::Complete(args) => (
                "tasks.scheduled.complete",
                present(json!({
                    "task_id": args.id, "success": !args.failed, "error": args.error,
                    "calculate_next_run": !args.no_calculate_next_run,
                })),
            ),
            Self::ExportIcal(args) => (
                "tasks.scheduled.export-ical",
                present(json!({
                    "enabled_only": !args.all, "schedule_type": args.schedule_type, "user_id": args.user_id,
                    "limit": args.limit, "calendar_name": args.name, "base_url": args.base_url,
                })),
            ),
        }
    }

    /// Shows the answer.
    pub fn show(&self, answer: &Value, output: Output) -> Result<(), Failure> {
        match self {
            Self::List(_) | Self::Due(_) => output.show(answer, schedules),
            Self::History(_) => output.show(answer, history),
            Self::Init(_) | Self::Complete(_) => output.show(answer, next_run),
            Self::ExportIcal(args) => return args.write(answer, output),
        }
        Ok(())
    }
}

impl ExportArgs {
    fn write(&self, answer: &Value, output: Output) -> Result<(), Failure> {
        let Some(file) = &self.file else {
            output.show(answer, |answer| field(answer, "ical_content").trim_end().to_owned());
            return Ok(());
        };
        let text = answer["ical_content"].as_str().unwrap_or_default();
        std::fs::write(file, text).map_err(|error| {
            Failure::usage(
                "invalid_params",
                format!("--file {}: it cannot be written: {error}", file.display()),
            )
        })?;
        print_text(&format!("Wrote {} events to {}", field(answer, "task_count"), file.display()));
        Ok(())
    }
}

fn schedules(answer: &Value) -> String {
    let tasks = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if tasks.is_empty() {
        return "No schedules".into();
    }
    let mut lines =
        table(&["id", "name", "type", "expression", "zone", "next run", "last run", "runs", "status"]);
    for task in tasks {
        let runs = match task["max_runs"].as_u64() {
            Some(most) => format!("{}/{most}", field(task, "run_count")),
            None => field(task, "run_count"),
        };
        let mut cells: Vec<comfy_table::Cell> =
            ["id", "name", "schedule_type", "schedule_expression", "schedule_timezone"]
                .map(|name| comfy_table::Cell::new(field(task, name)))
                .into();
        cells.push(comfy_table::Cell::new(short_time(&field(task, "next_run_at"))));
        cells.push(comfy_table::Cell::new(short_time(&field(task, "last_run_at"))));
        cells.push(comfy_table::Cell::new(runs));
        cells.push(status_cell(&field(task, "status")));
        lines.add_row(cells);
    }
    text_of(&lines)
}

fn history(answer: &Value) -> String {
    let runs = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if runs.is_empty() {
        return "No runs".into();
    }
    let mut lines = table(&["due", "status", "due times", "execution", "started", "ended", "error"]);
    for run in runs {
        let time = |name: &str| comfy_table::Cell::new(short_time(&field(run, name)));
        let text = |name: &str| comfy_table::Cell::new(field(run, name));
        lines.add_row([
            time("due_at"),
            status_cell(&field(run, "status")),
            text("due_count"),
            text("execution"),
            time("started_at"),
            time("ended_at"),
            text("error"),
        ]);
    }
    text_of(&lines)
}

fn next_run(task: &Value) -> String {
    match task["next_run_at"].as_str() {
        Some(next) => format!("{} is due next at {}", field(task, "id"), short_time(next)),
        None => format!("{} has no due time any more", field(task, "id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_tables_and_sentences() {
        let task = json!({
            "id": "r", "name": "report", "schedule_type": "daily", "schedule_expression": "09:00",
            "schedule_timezone": "UTC", "next_run_at": "2026-01-02T09:00:00Z", "last_run_at": null, "run_count": 2,
            "max_runs": 5, "status": "completed",
        });
        let text = schedules(&json!([task]));
        assert!(
            text.ends_with(
                "r   report  daily  09:00       UTC   2026-01-02T09:00:00Z  -         2/5   completed"
            ),
            "{text}"
        );
        assert_eq!(schedules(&json!([])), "No schedules");
        assert_eq!(next_run(&task), "r is due next at 2026-01-02T09:00:00Z");
        let run = json!({"due_at": "2026-01-02T09:00:00Z", "status": "missed", "due_count": 3, "execution": null,
            "started_at": "2026-01-02T09:05:00Z", "ended_at": null, "error": null});
        assert!(history(&json!([run])).contains("missed  3"), "{}", history(&json!([run])));
        assert_eq!(history(&json!([])), "No runs");
    }
}
