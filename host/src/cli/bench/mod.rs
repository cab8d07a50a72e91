//! `apflow bench`: how fast this machine runs tasks, through the whole path: a durable database, the engine, a component
//! called for every task. Each scenario runs several rounds; the table shows medians, and the bar where there is one.

mod compare;
mod local;
mod place;
mod process;
mod report;
mod served;
mod trees;

use std::path::PathBuf;

use apflow_host::Config;
use apflow_host::config::Durability;
use tempfile::TempDir;

use self::report::{Row, show};
use super::errors::{Exit, Failure};
use super::options::{HostArgs, start_logging};
use super::output::Output;

/// The executor that does nothing.
const EXECUTOR: &str = "noop_executor";

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Everything below; `hosts` only on a database server
    All,
    /// Independent tasks in one tree, a fresh instance for each call
    Flat,
    /// The same, and diamonds, with instances that serve many calls
    Reuse,
    /// Diamonds of ten tasks, a fresh instance for each call
    Graphs,
    /// The cost of a task in trees of 1,000 and 10,000
    Scale,
    /// A chain: each task needs the one before it
    Chain,
    /// One task, many side by side, one that needs them all
    Fan,
    /// Start of a server to its first answer, and its memory when idle
    Start,
    /// One task, sent to an idle server over HTTP: to its start, to its end
    Latency,
    /// Three steps, sent over HTTP by one client that waits
    Flow,
    /// Memory of a server under the flat run
    Memory,
    /// A tree of 1,000 and one of 100,000, over HTTP: cost of a task, memory, `tasks.tree`
    Large,
    /// One and two hosts on one database server
    Hosts,
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
    /// What to measure; several with commas between them
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    scenario: Vec<Scenario>,
    /// Measure beside other programs instead, in turns; what is not installed is left out and named
    #[arg(long, conflicts_with = "scenario")]
    compare: bool,
    /// What to compare in; several with commas between them [default: all]
    #[arg(long, value_enum, value_delimiter = ',', requires = "compare")]
    contest: Vec<compare::Kind>,
    /// Where `cargo xtask yardsticks` has put the other programs [default: ~/.cache/apflow/yardsticks]
    #[arg(long, value_name = "DIR", requires = "compare")]
    yardsticks: Option<PathBuf>,
    /// Load the no-op component alone, without the hooks and collectors beside it
    #[arg(long)]
    bare: bool,
    /// Tasks of the scenarios with many
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    tasks: u32,
    /// Tasks of the chain
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    chain: u32,
    /// Tasks of the large tree
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10..=200_000))]
    large: u32,
    /// Requests of each round of the scenarios with one client
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,
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
    let alone = args.bare.then(|| alone(&mut loaded.config)).transpose()?;
    if args.compare {
        compare::run(&args, &loaded.config).await?;
    } else {
        let rows = rows(&args, &loaded.config).await?;
        show(args.output, args.rounds, &rows);
    }
    drop(alone);
    Ok(Exit::Success)
}

async fn rows(args: &BenchArgs, config: &Config) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for scenario in scenarios(args, config)? {
        match scenario {
            Scenario::All => {}
            Scenario::Flat => rows.push(local::flat(args, config).await?),
            Scenario::Reuse => rows.extend(local::reuse(args, config).await?),
            Scenario::Graphs => rows.push(local::graphs(args, config).await?),
            Scenario::Scale => rows.push(local::scale(args, config).await?),
            Scenario::Chain => rows.push(local::chain(args, config).await?),
            Scenario::Fan => rows.push(local::fan(args, config).await?),
            Scenario::Start => rows.push(served::start(args, config).await?),
            Scenario::Latency => rows.push(served::latency(args, config).await?),
            Scenario::Flow => rows.push(served::flow(args, config).await?),
            Scenario::Memory => rows.push(served::memory(args, config).await?),
            Scenario::Large => rows.push(served::large(args, config).await?),
            Scenario::Hosts => rows.push(served::hosts(args, config).await?),
        }
    }
    Ok(rows)
}

/// What was asked for, in that order.
fn scenarios(args: &BenchArgs, config: &Config) -> Result<Vec<Scenario>, Failure> {
    use clap::ValueEnum as _;
    let is_server = config.database.is_server();
    if args.scenario.contains(&Scenario::Hosts) && !is_server {
        let text = "--scenario hosts needs a database that several hosts can use: name one with --database-url \
                    postgres://USER@HOST/DATABASE";
        return Err(Failure::usage("invalid_params", text));
    }
    if !args.scenario.contains(&Scenario::All) {
        return Ok(args.scenario.clone());
    }
    let possible = |one: &Scenario| *one != Scenario::Hosts || is_server;
    Ok(Scenario::value_variants().iter().copied().filter(possible).collect())
}

/// Changes `config` so that the component that does nothing is loaded and nothing else; gives the folder it lies in.
fn alone(config: &mut Config) -> Result<TempDir, Failure> {
    let found =
        config.sandbox.folders.iter().map(|folder| folder.join(EXECUTOR)).find(|folder| folder.is_dir());
    let found = found.ok_or_else(|| {
        let text =
            format!("--bare takes {EXECUTOR} from a folder of plugins: name one that has it with --plugins");
        Failure::usage("invalid_params", text)
    })?;
    let folder = place::temporary()?;
    let copy = || {
        let target = folder.path().join(EXECUTOR);
        std::fs::create_dir(&target)?;
        for file in std::fs::read_dir(found)? {
            let file = file?;
            std::fs::copy(file.path(), target.join(file.file_name()))?;
        }
        Ok::<_, std::io::Error>(())
    };
    copy()
        .map_err(|error| Failure::missing("plugin_error", format!("{EXECUTOR} cannot be copied: {error}")))?;
    config.sandbox.folders = vec![folder.path().to_owned()];
    config.sandbox.bundled = false;
    Ok(folder)
}
