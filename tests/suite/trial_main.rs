//! `apflow-trial`: the long trials as a program; `cargo xtask campaign` and `cargo xtask soak` build and start it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use apflow_tests::trial::campaign::Campaign;
use apflow_tests::trial::database::Kind;
use apflow_tests::trial::soak::{HEAD, Soak};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "apflow-trial", about = "Runs real hosts for long and proves that nothing was lost")]
struct Cli {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Debug, Subcommand)]
enum Trial {
    /// Kills hosts and restarts databases under load, then checks the whole history
    Campaign(CampaignArgs),
    /// Runs many tasks and measures throughput, memory and sizes on the way
    Soak(SoakArgs),
}

#[derive(Debug, clap::Args)]
struct CampaignArgs {
    /// How many times something befalls a host or the database
    #[arg(long, default_value_t = 100)]
    cycles: u32,
    /// Everything that is drawn follows from it [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// On which database
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Kind,
}

#[derive(Debug, clap::Args)]
struct SoakArgs {
    /// How many tasks
    #[arg(long, default_value_t = 1_000_000)]
    tasks: u64,
    /// A measurement after so many
    #[arg(long, default_value_t = 100_000)]
    every: u64,
    /// On which database
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Kind,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().trial {
        Trial::Campaign(args) => campaign(args).await,
        Trial::Soak(args) => soak(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn campaign(args: CampaignArgs) -> Result<()> {
    let campaign = Campaign {
        cycles: args.cycles,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000)),
        kind: args.store,
        apflow: apflow()?,
        plugins: plugins()?,
    };
    println!("{}", campaign.command());
    let began = Instant::now();
    let report = campaign.run(|line| println!("{line}")).await?;
    let record = &report.record;
    println!(
        "{} requests, {} answered, {} of unknown outcome; refused: {:?}",
        record.requests, record.answers, record.untold, record.refused
    );
    println!(
        "told: {} trees, {} keys, {} executions, {} ends, {} cancelled tasks",
        record.told.trees.len(),
        record.told.keys.len(),
        record.told.executions.len(),
        record.told.ends.len(),
        record.told.cancelled.len()
    );
    println!("{} cycles in {} s: {:?}", campaign.cycles, began.elapsed().as_secs(), report.misfortunes);
    Ok(())
}

async fn soak(args: SoakArgs) -> Result<()> {
    let shipped = plugins()?.swap_remove(0);
    let soak = Soak {
        tasks: args.tasks,
        every: args.every,
        kind: args.store,
        apflow: apflow()?,
        plugins: vec![shipped],
    };
    println!("{HEAD}");
    let measured = soak.run(|one| println!("{one}")).await?;
    if let [first, .., last] = measured.as_slice() {
        let ratio = last.tasks_per_second / first.tasks_per_second;
        println!("throughput of the last part to that of the first: {ratio:.2}");
    }
    Ok(())
}

/// The binary that was built with this one.
fn apflow() -> Result<PathBuf> {
    let apflow = std::env::current_exe()?.with_file_name(format!("apflow{}", std::env::consts::EXE_SUFFIX));
    ensure!(apflow.exists(), "{} is missing: cargo build --workspace --bins", apflow.display());
    Ok(apflow)
}

fn plugins() -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders: Vec<PathBuf> =
        ["plugins/dist", "plugins/dist-test"].iter().map(|path| root.join(path)).collect();
    for folder in &folders {
        ensure!(folder.is_dir(), "{} is missing: cargo xtask plugins", folder.display());
    }
    Ok(folders)
}
