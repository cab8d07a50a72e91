//! `apflow tasks`: the operations on tasks, on a server or on the local database.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::errors::{Exit, Failure};
use super::output::Output;
use super::scheduled::ScheduledCommand;
use super::target::{Need, Target, TargetArgs};
use super::{render, tree_file, watch};

/// Flags of `apflow tasks`.
#[derive(Debug, clap::Args)]
pub struct TasksArgs {
    #[command(subcommand)]
    command: TasksCommand,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum TasksCommand {
    /// Store a tree without running it
    Create(CreateArgs),
    /// Show one task
    Get(OneTask),
    /// List tasks, newest first
    List(ListArgs),
    /// Show a task and everything below it
    Tree(OneTask),
    /// List the children of a task
    Children(OneTask),
    /// Count tasks by status
    Count(CountArgs),
    /// Run a stored tree, or a task with what it depends on
    Execute(ExecuteArgs),
    /// Stop tasks
    Cancel(CancelArgs),
    /// Delete a task that has not run, and everything below it
    Delete(OneTask),
    /// Change a task
    Update(Box<UpdateArgs>),
    /// Copy, link or archive a task and everything below it
    #[command(visible_alias = "copy")]
    Clone(CloneArgs),
    /// Say how far a task and everything below it have come
    Progress(OneTask),
    /// Say why a task is not running
    Explain(OneTask),
    /// List the attempts at a task
    Attempts(OneTask),
    /// Follow the newest execution of a tree until it ends
    Watch(OneTask),
    /// See schedules, their history and what is due
    #[command(subcommand)]
    Scheduled(ScheduledCommand),
}

#[derive(Debug, clap::Args)]
struct OneTask {
    /// Id of the task
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Tree file: a JSON array of task objects, or one task object; `-` reads standard input
    #[arg(value_name = "FILE", required_unless_present = "tasks")]
    file: Option<PathBuf>,
    /// The tree itself, as JSON text
    #[arg(long, short, value_name = "JSON", conflicts_with = "file")]
    tasks: Option<String>,
    /// Replaces ${KEY} in the tree's texts; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = tree_file::parse_setting)]
    settings: Vec<(String, String)>,
    /// Create the tree once, however often this is sent with the same key
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only with this status; may be given several times
    #[arg(long, short)]
    status: Vec<String>,
    /// Only of this owner
    #[arg(long, short)]
    user_id: Option<String>,
    /// All tasks, not only roots
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
struct CountArgs {
    /// Only of this owner
    #[arg(long, short)]
    user_id: Option<String>,
    /// Only roots
    #[arg(long, short)]
    root_only: bool,
}

#[derive(Debug, clap::Args)]
struct ExecuteArgs {
    /// Id of the task
    #[arg(value_name = "ID")]
    id: String,
    /// Run completed tasks again, too
    #[arg(long)]
    rerun: bool,
    /// Return at once instead of waiting for the end
    #[arg(long, conflicts_with = "watch")]
    no_wait: bool,
    /// Show progress while waiting
    #[arg(long, short)]
    watch: bool,
}

#[derive(Debug, clap::Args)]
struct CancelArgs {
    /// Ids of the tasks
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Leave what is below them and what depends on them alone
    #[arg(long)]
    no_cascade: bool,
    /// Becomes their error message
    #[arg(long, short)]
    message: Option<String>,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct CloneArgs {
    /// Id of the task
    #[arg(value_name = "ID")]
    id: String,
    /// What to make: new tasks, links to these, these frozen in place, or links for some and copies of the others
    #[arg(long, visible_alias = "origin-type", default_value = "copy", value_parser = ["copy", "link", "archive", "mixed"])]
    mode: String,
    /// For --mode mixed: the tasks that become links, with commas between them; may be given several times
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    link_task_ids: Vec<String>,
    /// This task alone, without what is below it and without its dependencies
    #[arg(long)]
    no_recursive: bool,
    /// Take what it depends on outside, too
    #[arg(long)]
    auto_include_deps: bool,
    /// Take what depends on it outside, too
    #[arg(long)]
    include_dependents: bool,
    /// What is different in the copies, as a JSON object; the name only in the root
    #[arg(long, value_name = "JSON")]
    reset_fields: Option<String>,
    /// Owner of the copies
    #[arg(long, short)]
    user_id: Option<String>,
    /// Only show what would be made
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct UpdateArgs {
    /// Id of the task
    #[arg(value_name = "ID")]
    id: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// `cancelled` for a pending or running task, `pending` for a failed one
    #[arg(long)]
    status: Option<String>,
    /// New priority, 0 (most urgent) to 3
    #[arg(long)]
    priority: Option<u8>,
    /// New inputs, as a JSON object
    #[arg(long, value_name = "JSON")]
    inputs: Option<String>,
    /// New params, as a JSON object
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// New description
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    schedule: ScheduleFlags,
    /// Any fields, as a JSON object; the flags above win
    #[arg(long, value_name = "JSON")]
    changes: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ScheduleFlags {
    /// once, interval, cron, daily, weekly or monthly
    #[arg(long, value_name = "TYPE")]
    schedule_type: Option<String>,
    /// In the form of the type, for example `0 9 * * 1-5` or `1,3,5 09:00`
    #[arg(long, value_name = "TEXT")]
    schedule_expression: Option<String>,
    /// Put the schedule in force
    #[arg(long, conflicts_with = "schedule_disabled")]
    schedule_enabled: bool,
    /// Put the schedule out of force
    #[arg(long)]
    schedule_disabled: bool,
    /// No due time before (RFC 3339)
    #[arg(long, value_name = "TIME")]
    schedule_start_at: Option<String>,
    /// No due time after (RFC 3339)
    #[arg(long, value_name = "TIME")]
    schedule_end_at: Option<String>,
    /// Time zone of the expression, for example Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    schedule_timezone: Option<String>,
    /// Due times while no host was there: skip, once or all
    #[arg(long, value_name = "POLICY")]
    schedule_missed: Option<String>,
    /// Due times while the tree runs: skip or queue
    #[arg(long, value_name = "POLICY")]
    schedule_overlap: Option<String>,
    /// At most so many scheduled runs
    #[arg(long, value_name = "COUNT")]
    max_runs: Option<u32>,
}

impl ScheduleFlags {
    fn fields(&self) -> impl Iterator<Item = (String, Value)> {
        let texts = [
            ("schedule_type", &self.schedule_type),
            ("schedule_expression", &self.schedule_expression),
            ("schedule_start_at", &self.schedule_start_at),
            ("schedule_end_at", &self.schedule_end_at),
            ("schedule_timezone", &self.schedule_timezone),
            ("schedule_missed", &self.schedule_missed),
            ("schedule_overlap", &self.schedule_overlap),
        ];
        let texts = texts.into_iter().filter_map(|(field, value)| Some((field, json!(value.as_ref()?))));
        let switched = self.schedule_enabled || self.schedule_disabled;
        let enabled = switched.then(|| ("schedule_enabled", json!(self.schedule_enabled)));
        let most = self.max_runs.map(|most| ("max_runs", json!(most)));
        texts.chain(enabled).chain(most).map(|(field, value)| (field.to_owned(), value))
    }
}

/// Runs a command.
pub async fn run(args: TasksArgs) -> Result<Exit, Failure> {
    let need = match &args.command {
        TasksCommand::Execute(_) => Need::Runs,
        _ => Need::Database,
    };
    // Read before anything is opened, so that a bad file does nothing.
    let request = Request::of(&args.command)?;
    let target = args.target.open(need).await?;
    let done = act(&target, &args.command, request, args.output).await;
    target.close().await;
    done
}

/// A method and its parameters.
struct Request {
    method: &'static str,
    params: Value,
}

impl Request {
    fn of(command: &TasksCommand) -> Result<Self, Failure> {
        let about = |method, one: &OneTask| Self { method, params: json!({ "task_id": one.id }) };
        Ok(match command {
            TasksCommand::Create(args) => Self { method: "tasks.create", params: args.params()? },
            TasksCommand::Get(one) => about("tasks.get", one),
            TasksCommand::List(args) => Self { method: "tasks.list", params: args.params() },
            TasksCommand::Tree(one) | TasksCommand::Watch(one) => {
                Self { method: "tasks.tree", params: json!({ "task_id": one.id, "format": "flat" }) }
            }
            TasksCommand::Children(one) => about("tasks.children", one),
            TasksCommand::Count(args) => Self {
                method: "tasks.count",
                params: present(json!({ "user_id": args.user_id, "root_only": args.root_only })),
            },
            TasksCommand::Execute(args) => Self {
                method: "tasks.execute",
                params: json!({ "task_id": args.id, "rerun": args.rerun, "wait": !args.no_wait && !args.watch }),
            },
            TasksCommand::Cancel(args) => Self {
                method: "tasks.cancel",
                params: present(
                    json!({ "task_ids": args.ids, "cascade": !args.no_cascade, "error_message": args.message }),
                ),
            },
            TasksCommand::Delete(one) => about("tasks.delete", one),
            TasksCommand::Update(args) => Self { method: "tasks.update", params: args.params()? },
            TasksCommand::Clone(args) => Self { method: "tasks.clone", params: args.params()? },
            TasksCommand::Progress(one) => about("tasks.progress", one),
            TasksCommand::Explain(one) => about("tasks.explain", one),
            TasksCommand::Attempts(one) => about("tasks.attempts", one),
            TasksCommand::Scheduled(command) => {
                let (method, params) = command.request();
                Self { method, params }
            }
        })
    }
}

async fn act(
    target: &Target,
    command: &TasksCommand,
    request: Request,
    output: Output,
) -> Result<Exit, Failure> {
    let answer = target.tasks(request.method, request.params).await?;
    let mut exit = Exit::Success;
    match command {
        TasksCommand::Create(_) => output.show(&answer, render::created),
        TasksCommand::Get(one) if answer.is_null() => {
            return Err(Failure::remote("task_not_found", format!("Task '{}' not found", one.id)));
        }
        TasksCommand::Get(_) | TasksCommand::Update(_) => output.show(&answer, render::task),
        TasksCommand::List(_) | TasksCommand::Children(_) => output.show(&answer, render::list),
        TasksCommand::Tree(_) => output.show(&answer, render::tree),
        TasksCommand::Count(_) => output.show(&answer, render::counts),
        TasksCommand::Execute(args) => return execute(target, args, answer, output).await,
        TasksCommand::Cancel(_) => {
            if answer.as_array().is_some_and(|all| all.iter().any(|one| one["status"] != "cancelled")) {
                exit = Exit::Failed;
            }
            output.show(&answer, render::cancelled);
        }
        TasksCommand::Delete(_) => output.show(&answer, render::deleted),
        TasksCommand::Clone(args) => {
            output.show(&answer, |answer| render::cloned(answer, &args.mode, args.dry_run));
        }
        TasksCommand::Progress(_) => output.show(&answer, render::progress),
        TasksCommand::Explain(_) => output.show(&answer, render::explanation),
        TasksCommand::Attempts(_) => output.show(&answer, render::attempts),
        TasksCommand::Watch(_) => return watch::follow(target, &answer, output).await,
        TasksCommand::Scheduled(command) => command.show(&answer, output)?,
    }
    Ok(exit)
}

async fn execute(
    target: &Target,
    args: &ExecuteArgs,
    answer: Value,
    output: Output,
) -> Result<Exit, Failure> {
    if args.watch && answer["status"] == "started" {
        let params = json!({ "task_id": answer["root_task_id"], "format": "flat" });
        let tree = target.tasks("tasks.tree", params).await?;
        return watch::follow(target, &tree, output).await;
    }
    output.show(&answer, render::executed);
    Ok(if answer["success"] == true { Exit::Success } else { Exit::Failed })
}

impl CreateArgs {
    fn params(&self) -> Result<Value, Failure> {
        let tasks = self.tree()?;
        Ok(match &self.idempotency_key {
            Some(key) => json!({ "tasks": tasks, "idempotency_key": key }),
            None => tasks,
        })
    }

    fn tree(&self) -> Result<Value, Failure> {
        let mut tree = match (&self.file, &self.tasks) {
            (Some(file), _) => tree_file::read(file)?,
            (None, text) => tree_file::parse(text.as_deref().unwrap_or_default(), "--tasks")?,
        };
        tree_file::fill_in(&mut tree, &self.settings)?;
        Ok(tree)
    }
}

impl ListArgs {
    fn params(&self) -> Value {
        present(json!({
            "status": (!self.status.is_empty()).then_some(&self.status),
            "user_id": self.user_id,
            "root_only": !self.all,
            "limit": self.limit,
            "offset": self.offset,
        }))
    }
}

impl CloneArgs {
    fn params(&self) -> Result<Value, Failure> {
        let fields = self
            .reset_fields
            .as_ref()
            .map(|text| tree_file::parse_object(text, "--reset-fields"))
            .transpose()?;
        Ok(present(json!({
            "task_id": self.id,
            "origin_type": self.mode,
            "link_task_ids": (!self.link_task_ids.is_empty()).then_some(&self.link_task_ids),
            "recursive": !self.no_recursive,
            "auto_include_deps": self.auto_include_deps,
            "include_dependents": self.include_dependents,
            "reset_fields": fields,
            "user_id": self.user_id,
            "save": !self.dry_run,
        })))
    }
}

impl UpdateArgs {
    fn params(&self) -> Result<Value, Failure> {
        let mut params = match &self.changes {
            Some(text) => tree_file::parse_object(text, "--changes")?,
            None => Map::new(),
        };
        let texts = [("name", &self.name), ("status", &self.status), ("description", &self.description)];
        for (field, value) in texts {
            params.extend(value.clone().map(|value| (field.to_owned(), Value::String(value))));
        }
        params.extend(self.schedule.fields());
        params.extend(self.priority.map(|priority| ("priority".to_owned(), json!(priority))));
        for (field, flag, text) in
            [("inputs", "--inputs", &self.inputs), ("params", "--params", &self.params)]
        {
            if let Some(text) = text {
                params.insert(field.into(), Value::Object(tree_file::parse_object(text, flag)?));
            }
        }
        if params.is_empty() {
            return Err(Failure::usage(
                "invalid_params",
                "Nothing to change: name a field, for example --priority 0",
            ));
        }
        params.insert("task_id".into(), json!(self.id));
        Ok(Value::Object(params))
    }
}

/// Without the fields that say nothing.
pub(super) fn present(mut params: Value) -> Value {
    if let Value::Object(map) = &mut params {
        map.retain(|_, value| !value.is_null());
    }
    params
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: TasksArgs,
    }

    fn request(line: &str) -> (&'static str, Value) {
        let line = Line::parse_from(std::iter::once("tasks").chain(line.split(' ')));
        let request = Request::of(&line.args.command).unwrap();
        (request.method, request.params)
    }

    #[test]
    fn flags_become_parameters() {
        assert_eq!(request("get x"), ("tasks.get", json!({"task_id": "x"})));
        assert_eq!(
            request("list -s failed -s pending --all --limit 5"),
            (
                "tasks.list",
                json!({"status": ["failed", "pending"], "root_only": false, "limit": 5, "offset": 0})
            )
        );
        assert_eq!(
            request("execute x --no-wait --rerun"),
            ("tasks.execute", json!({"task_id": "x", "rerun": true, "wait": false}))
        );
        assert_eq!(
            request("cancel x y -m enough --server http://h:1"),
            ("tasks.cancel", json!({"task_ids": ["x", "y"], "cascade": true, "error_message": "enough"}))
        );
        assert_eq!(
            request(r#"update x --priority 0 --inputs {"a":1} --changes {"priority":3,"timeout_ms":5}"#),
            ("tasks.update", json!({"task_id": "x", "priority": 0, "inputs": {"a": 1}, "timeout_ms": 5}))
        );
        assert_eq!(
            request(r#"create --tasks [{"name":"${A}"}] --set A=b"#),
            ("tasks.create", json!([{"name": "b"}]))
        );
        assert_eq!(
            request(r#"create --tasks [{"name":"a"}] --idempotency-key k"#),
            ("tasks.create", json!({"tasks": [{"name": "a"}], "idempotency_key": "k"}))
        );
        assert_eq!(
            request(
                r#"clone x --mode mixed --link-task-ids a,b --reset-fields {"priority":0} -u ann --dry-run"#
            ),
            (
                "tasks.clone",
                json!({"task_id": "x", "origin_type": "mixed", "link_task_ids": ["a", "b"], "recursive": true,
                       "auto_include_deps": false, "include_dependents": false, "reset_fields": {"priority": 0},
                       "user_id": "ann", "save": false})
            )
        );
        assert_eq!(request("copy x --no-recursive").1["origin_type"], "copy");
    }

    #[test]
    fn flags_about_schedules_become_parameters() {
        assert_eq!(
            request(
                "update x --schedule-type daily --schedule-expression 09:00 --schedule-enabled --max-runs 3"
            ),
            (
                "tasks.update",
                json!({"task_id": "x", "schedule_type": "daily", "schedule_expression": "09:00",
                       "schedule_enabled": true, "max_runs": 3})
            )
        );
        assert_eq!(
            request("update x --schedule-disabled"),
            ("tasks.update", json!({"task_id": "x", "schedule_enabled": false}))
        );
        assert_eq!(
            request("scheduled list -t cron --all"),
            (
                "tasks.scheduled.list",
                json!({"schedule_type": "cron", "enabled_only": false, "limit": 100, "offset": 0})
            )
        );
        assert_eq!(
            request("scheduled complete x --failed --error no"),
            (
                "tasks.scheduled.complete",
                json!({"task_id": "x", "success": false, "error": "no", "calculate_next_run": true})
            )
        );
    }

    #[test]
    fn an_update_without_changes_is_refused() {
        let line = Line::parse_from(["tasks", "update", "x"]);
        assert_eq!(Request::of(&line.args.command).err().unwrap().exit(), Exit::Usage);
    }
}
