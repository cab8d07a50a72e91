//! `apflow bench`: how fast this machine runs tasks, through the whole path: durable SQLite, engine, a fresh component
//! instance for every call. Each scenario runs several rounds; the table shows medians.

mod process;
mod trees;

use std::path::Path;
use std::time::{Duration, Instant};

use apflow_host::config::Durability;
use apflow_host::task::TreeStatus;
use apflow_host::{Config, Host};
use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::options::{HostArgs, start_logging};
use super::output::{Format, Output, print_text, table, text_of};

/// The executor that does nothing.
const EXECUTOR: &str = "noop_executor";

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Everything below
    All,
    /// Independent tasks in one tree
    Flat,
    /// The cost of a task in trees of 1,000 and 10,000
    Scale,
    /// A chain: each task needs the one before it
    Chain,
    /// One task, many side by side, one that needs them all
    Fan,
    /// Start of a server to its first answer, and its memory when idle
    Start,
}

/// How often a commit reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sync {
    /// With every turn
    Full,
    /// At checkpoints: the last moments can be lost with the power
    Normal,
}

/// Flags of `apflow bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(long, value_enum, default_value = "all")]
    scenario: Scenario,
    /// Tasks of the flat and fan scenarios
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    tasks: u32,
    /// Tasks of the chain
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    chain: u32,
    /// Rounds of each scenario
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How often a commit reaches the disk
    #[arg(long, value_enum, default_value = "full")]
    durability: Sync,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    host: HostArgs,
}

/// One line of the table.
struct Row {
    what: String,
    figures: Vec<(&'static str, f64, &'static str)>,
}

/// Measures.
pub async fn run(args: BenchArgs) -> Result<Exit, Failure> {
    let mut loaded = args.host.load(Vec::new())?;
    start_logging(&loaded, Some("error"));
    loaded.config.sandbox.watch = false;
    loaded.config.engine.schedules = false;
    loaded.config.database.durability = match args.durability {
        Sync::Full => Durability::Full,
        Sync::Normal => Durability::Normal,
    };
    let wants = |scenario| args.scenario == Scenario::All || args.scenario == scenario;
    let mut rows = Vec::new();
    if wants(Scenario::Flat) {
        rows.push(flat(&args, &loaded.config).await?);
    }
    if wants(Scenario::Scale) {
        rows.push(scale(&args, &loaded.config).await?);
    }
    if wants(Scenario::Chain) {
        rows.push(chain(&args, &loaded.config).await?);
    }
    if wants(Scenario::Fan) {
        rows.push(fan(&args, &loaded.config).await?);
    }
    if wants(Scenario::Start) {
        rows.push(start(&args, &loaded.config).await?);
    }
    show(&args, &rows);
    Ok(Exit::Success)
}

async fn flat(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let rounds = rounds(args, config, || trees::flat(args.tasks)).await?;
    let per_second = |time: fn(&Round) -> Duration| {
        median(rounds.iter().map(|r| f64::from(args.tasks) / time(r).as_secs_f64()))
    };
    Ok(Row {
        what: format!("flat, {} tasks", args.tasks),
        figures: vec![
            ("run", per_second(|round| round.run), "tasks/s"),
            ("insert and run", per_second(Round::whole), "tasks/s"),
        ],
    })
}

async fn scale(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let mut per_task = Vec::new();
    for tasks in [1_000, 10_000] {
        let rounds = rounds(args, config, || trees::flat(tasks)).await?;
        per_task.push(median(rounds.iter().map(|r| micros(r.whole()) / f64::from(tasks))));
    }
    Ok(Row {
        what: "tree of 1,000 and of 10,000".into(),
        figures: vec![
            ("1,000", per_task[0], "µs/task"),
            ("10,000", per_task[1], "µs/task"),
            ("ratio", per_task[1] / per_task[0], "×"),
        ],
    })
}

async fn chain(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let rounds = rounds(args, config, || trees::chain(args.chain)).await?;
    let step = median(rounds.iter().map(|r| micros(r.run) / 1000.0 / f64::from(args.chain)));
    Ok(Row { what: format!("chain of {}", args.chain), figures: vec![("step", step, "ms")] })
}

async fn fan(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let rounds = rounds(args, config, || trees::fan(args.tasks)).await?;
    let per_second = median(rounds.iter().map(|r| f64::from(args.tasks) / r.run.as_secs_f64()));
    let what = format!("fan-out and fan-in of {}", args.tasks);
    Ok(Row { what, figures: vec![("run", per_second, "tasks/s")] })
}

async fn start(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let folder = temporary()?;
    let plugins = &config.sandbox.folders;
    // The first start compiles; what is measured is the start with a warm cache.
    process::measure(folder.path(), plugins).await?;
    let mut measured = Vec::new();
    for _ in 0..args.rounds {
        measured.push(process::measure(folder.path(), plugins).await?);
    }
    Ok(Row {
        what: "server, warm cache".into(),
        figures: vec![
            ("first answer", median(measured.iter().map(|m| m.first_answer.as_secs_f64() * 1000.0)), "ms"),
            ("idle memory", median(measured.iter().map(|m| m.idle_kib as f64 / 1024.0)), "MiB"),
        ],
    })
}

/// What one round took.
struct Round {
    insert: Duration,
    run: Duration,
}

impl Round {
    fn whole(&self) -> Duration {
        self.insert + self.run
    }
}

/// Runs the tree on a new database, several times.
async fn rounds(args: &BenchArgs, config: &Config, tree: impl Fn() -> Value) -> Result<Vec<Round>, Failure> {
    let mut measured = Vec::new();
    for _ in 0..args.rounds {
        let folder = temporary()?;
        measured.push(round(config, folder.path(), tree()).await?);
    }
    Ok(measured)
}

async fn round(config: &Config, folder: &Path, tree: Value) -> Result<Round, Failure> {
    // A server has one database for all rounds; the trees stay in it.
    let url = match config.database.is_server() {
        true => config.database.url.clone(),
        false => format!("sqlite:{}", folder.join("bench.db").display()),
    };
    let host = Host::builder().config(config.clone()).database(url).start().await?;
    // The first call of a component is not like the others.
    host.run(json!([{ "name": "warm up", "executor": EXECUTOR }])).await?;
    let began = Instant::now();
    let started = host.submit(tree).await?;
    let insert = began.elapsed();
    let ended = host.engine().wait(started.tree, started.execution, &started.root).await?;
    let run = began.elapsed() - insert;
    host.stop().await;
    if ended.status != TreeStatus::Completed {
        return Err(Failure::missing(
            "plugin_error",
            format!("the tree of the benchmark is {}", ended.status),
        ));
    }
    Ok(Round { insert, run })
}

fn temporary() -> Result<tempfile::TempDir, Failure> {
    tempfile::tempdir()
        .map_err(|error| Failure::missing("store_unavailable", format!("no temporary folder: {error}")))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn show(args: &BenchArgs, rows: &[Row]) {
    if args.output.format() != Format::Human {
        let list: Vec<Value> = rows
            .iter()
            .map(|row| {
                let figures: Vec<Value> = row
                    .figures
                    .iter()
                    .map(|(name, value, unit)| json!({ "name": name, "value": value, "unit": unit }))
                    .collect();
                json!({ "scenario": row.what, "figures": figures })
            })
            .collect();
        args.output.json(&json!({ "rounds": args.rounds, "scenarios": list }));
        return;
    }
    let mut table = table(&["scenario", "figure", "median", "unit"]);
    for row in rows {
        for (name, value, unit) in &row.figures {
            let digits = if *value < 10.0 { 2 } else { 0 };
            table.add_row([row.what.clone(), (*name).into(), format!("{value:.digits$}"), (*unit).into()]);
        }
    }
    print_text(&text_of(&table));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
    }
}
