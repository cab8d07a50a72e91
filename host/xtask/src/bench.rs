//! `cargo xtask bench`: the measurements behind `docs/performance.md`, always on a release build.

use crate::layout::Layout;
use crate::plugins;
use crate::process::{run as run_program, say};
use anyhow::Result;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub struct Options {
    /// Leaves the benches of the parts out
    #[arg(long)]
    whole_only: bool,
    /// Measures on a PostgreSQL server that is started for it, made of the machine's own binaries
    #[arg(long)]
    postgres: bool,
    /// Arguments for `apflow bench`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<OsString>,
}

/// The parts first, so that the figures of the whole are the last thing on the screen.
pub fn run(layout: &Layout, options: &Options) -> Result<ExitCode> {
    plugins::build(layout, &plugins::Options { rust_only: true, shipped_only: true, only: None })?;
    build(layout, &["build", "--release", "--bin", "apflow"])?;
    let compares = options.bench.iter().any(|argument| argument == "--compare");
    let on_server = options.postgres || compares;
    if on_server {
        build(layout, &["build", "--workspace", "--bin", "with-postgres"])?;
    }
    if !options.whole_only && !compares {
        build(
            layout,
            &["bench", "-p", "apflow-host", "--bench", "sandbox", "--bench", "hooks", "--bench", "parts"],
        )?;
    }
    say("apflow bench");
    let apflow = layout.apflow("release");
    let mut bench = match on_server {
        false => Command::new(apflow),
        true => {
            let mut with_server = Command::new(layout.program("debug", "with-postgres"));
            with_server.arg(apflow);
            with_server
        }
    };
    bench.current_dir(&layout.root).args(["bench", "--plugins", "plugins/dist"]).args(&options.bench);
    run_program(&mut bench)?;
    Ok(ExitCode::SUCCESS)
}

fn build(layout: &Layout, arguments: &[&str]) -> Result<()> {
    say(&format!("cargo {}", arguments.join(" ")));
    run_program(layout.cargo().args(arguments))
}
