//! `apflow run`: one tree, here and now. Everything is checked before anything is stored; progress goes to standard
//! error, the result to standard output.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_core::error::{Error, ErrorCode, Result as CoreResult};
use apflow_core::task::{Task, TaskStatus, TreeStatus};
use apflow_engine::Started;
use apflow_host::Host;
use apflow_host::host::Finished;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::options::{HostArgs, QUIET, for_a_command, start_logging};
use super::output::{Format, Output, print_text};
use super::progress::{Progress, Row, TICK, span};
use super::signals::Signals;
use super::tree_file;

/// Flags of `apflow run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Tree file: a JSON array of task objects, or one task object; `-` reads standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["tasks", "executor"])]
    file: Option<PathBuf>,
    /// The tree itself, as JSON text
    #[arg(long, short, value_name = "JSON", conflicts_with_all = ["file", "executor"])]
    tasks: Option<String>,
    /// Run a single task with this executor
    #[arg(long, short, value_name = "ID", conflicts_with = "file")]
    executor: Option<String>,
    /// Inputs of the root task, as a JSON object; laid over those in the tree
    #[arg(long, short, value_name = "JSON")]
    inputs: Option<String>,
    /// Replaces ${KEY} in the tree's texts; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = tree_file::parse_setting)]
    settings: Vec<(String, String)>,
    /// Cancel the tree after this time, for example 30s or 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    timeout: Option<Duration>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    host: HostArgs,
}

/// `30s`, `1m 30s`, `500ms`; a bare number counts seconds.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().map(Duration::from_secs);
    match seconds.or_else(|_| humantime::parse_duration(text)) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing".into()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(format!("{error}; write it like 30s, 5m or 500ms")),
    }
}

impl RunArgs {
    fn tree(&self) -> Result<Value, Failure> {
        let mut tree = match (&self.file, &self.tasks, &self.executor) {
            (Some(file), _, _) => tree_file::read(file)?,
            (None, Some(text), _) => tree_file::parse(text, "--tasks")?,
            (None, None, executor) => tree_file::single(executor.as_deref().unwrap_or_default()),
        };
        tree_file::fill_in(&mut tree, &self.settings)?;
        if let Some(text) = &self.inputs {
            tree_file::lay_over_root(&mut tree, tree_file::parse_object(text, "--inputs")?)?;
        }
        Ok(tree)
    }
}

/// Runs the tree.
pub async fn run(args: RunArgs) -> Result<Exit, Failure> {
    let tree = args.tree()?;
    let loaded = args.host.load(Vec::new())?;
    start_logging(&loaded, Some(QUIET));
    let host = Host::builder().config(for_a_command(loaded.config)).start().await?;
    let done = run_on(&host, tree, args.timeout).await;
    host.stop().await;
    let done = done?;
    match args.output.format() {
        Format::Json => args.output.json(&document(&done)),
        Format::Ids => print_text(done.started.root.as_str()),
        Format::Human => print_human(&done, &host.config().database.shown()),
    }
    Ok(match (done.interrupted, done.finished.status) {
        (true, _) => Exit::Interrupted,
        (false, TreeStatus::Completed) => Exit::Success,
        (false, _) => Exit::Failed,
    })
}

struct Done {
    started: Started,
    finished: Finished,
    interrupted: bool,
    took: Duration,
}

async fn run_on(host: &Host, tree: Value, timeout: Option<Duration>) -> Result<Done, Failure> {
    host.engine().check(tree.clone()).map_err(|error| with_remedy(host, error))?;
    let mut signals = Signals::register()?;
    let began = SystemClock.now();
    let started = host.submit(tree).await?;
    let rows = host.engine().subtree(&started.root).await?.iter().map(row).collect();
    let mut progress = Progress::new(rows, began);
    let followed = follow(host, &started, &mut progress, timeout, &mut signals).await;
    progress.finish(SystemClock.now());
    let interrupted = followed?;
    let finished = host.wait(&started).await?;
    Ok(Done { started, finished, interrupted, took: SystemClock.now().since(began) })
}

/// Where nothing at all is loaded, the tree is not what has to be mended.
fn with_remedy(host: &Host, mut error: Error) -> Error {
    if error.code == ErrorCode::ExecutorNotFound && host.engine().catalog().executors.is_empty() {
        error.message.push_str(
            ". No plugin is loaded: name a folder with --plugins DIR, or build with `cargo xtask plugins`",
        );
    }
    error
}

fn row(task: &Task) -> Row {
    Row {
        id: task.id.to_string(),
        parent: task.parent_id.as_ref().map(ToString::to_string),
        name: task.name.clone(),
        status: TaskStatus::Pending,
    }
}

/// Shows events until the tree has ended. Gives whether somebody interrupted it.
async fn follow(
    host: &Host,
    started: &Started,
    progress: &mut Progress,
    timeout: Option<Duration>,
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let mut events = pin!(host.engine().events(Some(started.tree_id.clone()), started.started_seq));
    let mut ticker = tokio::time::interval(TICK);
    let mut deadline = pin!(tokio::time::sleep(timeout.unwrap_or_default()));
    let (mut waiting, mut interrupted) = (timeout.is_some(), false);
    loop {
        tokio::select! {
            event = events.next() => {
                let event = event.ok_or_else(ended_early)??;
                progress.event(&event);
                if event.kind.ends_tree() && event.attempt == started.execution {
                    return Ok(interrupted);
                }
            }
            _ = ticker.tick() => progress.tick(SystemClock.now()),
            () = &mut deadline, if waiting => {
                waiting = false;
                let text = format!("Timed out after {} (--timeout)", span(timeout.unwrap_or_default()));
                cancel(host, started, text).await?;
            }
            _ = signals.next() => {
                if interrupted {
                    let message = "Interrupted twice: what is left of the tree goes on with the next host on this database";
                    return Err(Failure::interrupted(message));
                }
                interrupted = true;
                cancel(host, started, "Interrupted by the user".into()).await?;
            }
        }
    }
}

fn ended_early() -> Error {
    Error::new(ErrorCode::ShuttingDown, "The event log ended before the tree did")
}

async fn cancel(host: &Host, started: &Started, message: String) -> CoreResult<()> {
    let open = host.engine().subtree(&started.root).await?;
    let ids = open.into_iter().filter(|task| !task.status.is_terminal()).map(|task| task.id).collect();
    host.engine().cancel(ids, true, Some(message)).await.map(drop)
}

/// The one JSON document of `--output json`.
fn document(done: &Done) -> Value {
    let root = done.finished.root();
    json!({
        "status": done.finished.status,
        "root_task_id": done.started.root,
        "tree_id": done.started.tree_id,
        "result": root.and_then(|root| root.result.as_ref()),
        "error": first_error(&done.finished.tasks),
        "duration_ms": u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
        "tasks": done.finished.tasks,
    })
}

/// The error that made the tree fail: of the task that failed first.
fn first_error(tasks: &[Task]) -> Option<Value> {
    let failed = tasks.iter().filter(|task| task.error.is_some()).min_by_key(|task| task.completed_at)?;
    Some(json!({ "task": failed.name, "task_id": failed.id, "error": failed.error_info }))
}

fn print_human(done: &Done, database: &str) {
    let finished = &done.finished;
    if finished.status == TreeStatus::Completed
        && let Some(result) = finished.root().and_then(|root| root.result.as_ref())
    {
        print_text(&serde_json::to_string_pretty(&result.value()).unwrap_or_else(|_| result.to_string()));
    }
    // In a pipe the lines of progress have said it already.
    let failed = finished.tasks.iter().filter(|task| task.status == TaskStatus::Failed);
    for task in failed.filter(|_| console::Term::stderr().is_term()) {
        let error = task.error.as_ref().map(ToString::to_string).unwrap_or_default();
        eprintln!("{} {}: {error}", console::style("failed").red().for_stderr(), task.name);
    }
    let blocked = finished.tasks.iter().filter(|task| task.blocked_by.is_some()).count();
    if blocked > 0 {
        eprintln!("{blocked} not run, behind what failed");
    }
    let (status, count) = (finished.status, finished.tasks.len());
    let tasks = if count == 1 { "task" } else { "tasks" };
    eprintln!(
        "{status}: {count} {tasks} in {}, tree {} in {database}",
        span(done.took),
        done.started.tree_id
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_people_write_them() {
        assert_eq!(parse_timeout("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_timeout("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_timeout("500ms"), Ok(Duration::from_millis(500)));
        assert!(parse_timeout("soon").unwrap_err().contains("30s"));
        assert!(parse_timeout("0").is_err());
    }
}
