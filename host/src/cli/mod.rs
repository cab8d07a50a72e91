//! The command line. One command per file; what they share (targets, errors, output) has files of its own. Commands
//! translate: they read flags, call the engine's operations (here or on a server), and show the answer.

mod bench;
mod client;
mod db;
mod errors;
mod executors;
mod limits;
mod options;
mod output;
mod plugin;
mod progress;
mod render;
mod run;
mod scheduled;
mod serve;
mod signals;
mod target;
mod tasks;
mod tree_file;
mod version;
mod watch;
mod webhooks;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::errors::{Exit, Failure};

/// Runs trees of tasks in sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "apflow", version, propagate_version = false, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 the tree did not complete or the request was refused, 2 wrong usage or \
                        bad input, 3 a server, database or plugin is out of reach, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a task tree here and show its result
    Run(run::RunArgs),
    /// Serve tasks over the network
    Serve(serve::ServeArgs),
    /// Create, read, run and stop tasks
    Tasks(Box<tasks::TasksArgs>),
    /// See and reload plugins
    Plugin(plugin::PluginArgs),
    /// See what can execute tasks
    Executors(executors::ExecutorsArgs),
    /// Show the limits of executors and concurrency keys
    Limits(limits::LimitsArgs),
    /// Send events to URLs
    Webhooks(Box<webhooks::WebhooksArgs>),
    /// See, upgrade and move the database
    Db(db::DbArgs),
    /// Measure how fast this machine runs tasks
    Bench(bench::BenchArgs),
    /// Print the version
    Version(version::VersionArgs),
}

/// What the process ends with.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    match run(command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

fn run(command: Command) -> Result<Exit, Failure> {
    if let Command::Version(args) = command {
        return version::run(&args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::missing("runtime_error", format!("The runtime cannot be started: {error}"))
    })?;
    let exit = runtime.block_on(async {
        match command {
            Command::Run(args) => run::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Tasks(args) => tasks::run(*args).await,
            Command::Plugin(args) => plugin::run(args).await,
            Command::Executors(args) => executors::run(args).await,
            Command::Limits(args) => limits::run(args).await,
            Command::Webhooks(args) => webhooks::run(*args).await,
            Command::Db(args) => db::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Version(args) => version::run(&args),
        }
    });
    // Whatever still blocks a thread must not keep the process.
    runtime.shutdown_background();
    exit
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
