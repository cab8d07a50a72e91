//! Scenarios in this process: a host of our own, whose trees are handed over by a call.

use std::time::{Duration, Instant};

use apflow_host::task::TreeStatus;
use apflow_host::{Config, Host};
use apflow_wasm::grants::Isolation;
use serde_json::Value;

use super::super::errors::Failure;
use super::place::Place;
use super::report::{Figure, Row, figure, median};
use super::{BenchArgs, EXECUTOR, trees};

/// Independent tasks.
pub async fn flat(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let tasks = args.tasks;
    let figures = throughput(args, config, 10_000.0, || trees::flat(tasks)).await?;
    Ok(Row { what: format!("flat, {tasks} tasks, fresh instances"), figures })
}

/// The same with instances that serve many calls.
pub async fn reuse(args: &BenchArgs, config: &Config) -> Result<Vec<Row>, Failure> {
    let tasks = args.tasks;
    let bar = if config.database.is_server() { 20_000.0 } else { 25_000.0 };
    let config = sharing(config);
    Ok(vec![
        Row {
            what: format!("flat, {tasks} tasks, shared instances"),
            figures: throughput(args, &config, bar, || trees::flat(tasks)).await?,
        },
        Row {
            what: format!("diamonds, {tasks} tasks, shared instances"),
            figures: throughput(args, &config, bar, || trees::diamonds(tasks)).await?,
        },
    ])
}

/// The same configuration, but instances of the executor serve any call.
pub fn sharing(config: &Config) -> Config {
    let mut config = config.clone();
    config.plugins.entry(EXECUTOR.into()).or_default().isolation = Some(Isolation::Shared);
    config
}

/// Graphs: diamonds of ten tasks.
pub async fn graphs(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let tasks = args.tasks;
    let figures = throughput(args, config, 10_000.0, || trees::diamonds(tasks)).await?;
    Ok(Row { what: format!("diamonds, {tasks} tasks, fresh instances"), figures })
}

async fn throughput(
    args: &BenchArgs,
    config: &Config,
    bar: f64,
    tree: impl Fn() -> Value,
) -> Result<Vec<Figure>, Failure> {
    let rounds = rounds(args, config, tree).await?;
    let per_second =
        |time: fn(&Round) -> Duration| median(rounds.iter().map(|r| r.tasks / time(r).as_secs_f64()));
    Ok(vec![
        figure("run", per_second(|round| round.run), "tasks/s").at_least(bar),
        figure("insert and run", per_second(Round::whole), "tasks/s").at_least(bar),
    ])
}

/// What a task costs in trees of two sizes.
pub async fn scale(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let mut per_task = Vec::new();
    for tasks in [1_000, 10_000] {
        let rounds = rounds(args, config, || trees::flat(tasks)).await?;
        per_task.push(median(rounds.iter().map(|r| micros(r.whole()) / r.tasks)));
    }
    Ok(Row {
        what: "tree of 1,000 and of 10,000".into(),
        figures: vec![
            figure("1,000", per_task[0], "µs/task"),
            figure("10,000", per_task[1], "µs/task"),
            figure("ratio", per_task[1] / per_task[0], "×").at_most(1.3),
        ],
    })
}

/// Each task after the one before it.
pub async fn chain(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let rounds = rounds(args, config, || trees::chain(args.chain)).await?;
    let step = figure("step", median(rounds.iter().map(|r| micros(r.run) / 1000.0 / r.tasks)), "ms");
    let step = match config.database.durability {
        apflow_host::config::Durability::Normal => step.at_most(1.0),
        // With the commit in it; what that costs, the disk says.
        apflow_host::config::Durability::Full => step,
    };
    Ok(Row { what: format!("chain of {}", args.chain), figures: vec![step] })
}

/// One task, many side by side, one that needs them all.
pub async fn fan(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let rounds = rounds(args, config, || trees::fan(args.tasks)).await?;
    let per_second = median(rounds.iter().map(|r| r.tasks / r.run.as_secs_f64()));
    let what = format!("fan-out and fan-in of {}", args.tasks);
    Ok(Row { what, figures: vec![figure("run", per_second, "tasks/s")] })
}

/// What one round took.
pub struct Round {
    /// Tasks of the tree.
    pub tasks: f64,
    /// From the call to the answer that it is stored.
    pub insert: Duration,
    /// From there to the end of the tree.
    pub run: Duration,
}

impl Round {
    /// Both.
    pub fn whole(&self) -> Duration {
        self.insert + self.run
    }
}

/// Runs the tree on a new database, several times.
async fn rounds(args: &BenchArgs, config: &Config, tree: impl Fn() -> Value) -> Result<Vec<Round>, Failure> {
    let mut measured = Vec::new();
    for _ in 0..args.rounds {
        measured.push(round(config, tree()).await?);
    }
    Ok(measured)
}

/// Runs a tree on a new database.
pub async fn round(config: &Config, tree: Value) -> Result<Round, Failure> {
    let place = Place::new(config).await?;
    let host = Host::builder().config(place.config(config)).start().await?;
    // The first calls of a component, and the first statements of a connection, are not like the others.
    host.run(trees::diamonds(100)).await?;
    let tasks = tree.as_array().map_or(0, Vec::len) as f64;
    let began = Instant::now();
    let started = host.submit(tree).await?;
    let insert = began.elapsed();
    let ended = host.engine().wait(started.tree, started.execution, &started.root).await?;
    let run = began.elapsed() - insert;
    host.stop().await;
    drop(host);
    if ended.status != TreeStatus::Completed {
        return Err(Failure::missing(
            "plugin_error",
            format!("the tree of the benchmark is {}", ended.status),
        ));
    }
    place.remove().await?;
    Ok(Round { tasks, insert, run })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
