//! `cargo xtask`: the one developer door. This file parses the command line and picks the command; each command has a
//! file of its own. Nothing of the host is linked here, so that the door opens in seconds on a fresh clone.

mod bench;
mod check;
mod example;
mod layout;
mod plugins;
mod process;
mod receivers;
mod site;
mod test;
mod toolchain;
mod trial;
mod yardsticks;

use anyhow::Result;
use clap::{Parser, Subcommand};
use layout::Layout;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, tests, checks and runs apflow",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Finds or makes the Rust toolchain for WebAssembly components and prints what to set to use it by hand
    Toolchain,
    /// Builds the plugins into `plugins/dist` and the tests' own into `plugins/dist-test`; skips what is up to date
    Plugins(plugins::Options),
    /// Runs every test, after installing and building what they need
    Test(test::Options),
    /// Checks formatting, lints, the library without features, and the generated documents
    Check,
    /// Everything that must be green: `check`, then `test`, whose summary comes last
    Ci,
    /// Runs the first example: a tree of Rust components over a small site
    Quickstart(example::Options),
    /// Runs the same kind of tree through the JavaScript and Python components
    Polyglot(example::Options),
    /// Builds `apflow` and runs it with the arguments that follow
    Apflow(example::Options),
    /// Builds for release and measures; arguments go to `apflow bench`
    Bench(bench::Options),
    /// Installs the programs that `bench --compare` measures apflow against, into the cache
    Yardsticks,
    /// Kills hosts and restarts databases under load, then checks the whole history; arguments: `--cycles N`, `--seed N`,
    /// `--store sqlite|postgres|both`
    Campaign(trial::CampaignOptions),
    /// Builds for release, runs a million tasks and measures on the way; arguments: `--tasks N`, `--store sqlite|postgres`
    Soak(trial::SoakOptions),
    /// Writes the generated documents anew
    Bless,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let layout = Layout::find()?;
    match command {
        Command::Toolchain => toolchain::print(&layout)?,
        Command::Plugins(options) => plugins::build(&layout, &options)?,
        Command::Test(options) => return test::run(&layout, &options),
        Command::Check => return check::run(&layout),
        Command::Ci => return test::ci(&layout),
        Command::Quickstart(options) => return example::run(&layout, &example::QUICKSTART, &options),
        Command::Polyglot(options) => return example::run(&layout, &example::POLYGLOT, &options),
        Command::Apflow(options) => return example::apflow(&layout, &options),
        Command::Bench(options) => return bench::run(&layout, &options),
        Command::Yardsticks => yardsticks::install(&layout)?,
        Command::Campaign(options) => return trial::campaign(&layout, &options),
        Command::Soak(options) => return trial::soak(&layout, &options),
        Command::Bless => check::bless(&layout)?,
    }
    Ok(ExitCode::SUCCESS)
}
