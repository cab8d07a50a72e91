//! `cargo xtask bench`: the measurements behind `docs/performance.md`, always on a release build.

use crate::layout::Layout;
use crate::plugins;
use crate::process::{run as run_program, say};
use anyhow::Result;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub struct Options {
    /// Leaves the benches of the parts (criterion) out
    #[arg(long)]
    whole_only: bool,
    /// Arguments for `apflow bench`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<OsString>,
}

/// The parts first, so that the figures of the whole are the last thing on the screen.
pub fn run(layout: &Layout, options: &Options) -> Result<ExitCode> {
    plugins::build(layout, &plugins::Options { rust_only: true, ..Default::default() })?;
    say("cargo build --release --bin apflow");
    run_program(layout.cargo().args(["build", "--release", "--bin", "apflow"]))?;
    if !options.whole_only {
        say("cargo bench --workspace --benches");
        run_program(layout.cargo().args(["bench", "--workspace", "--benches"]))?;
    }
    say("apflow bench");
    run_program(
        Command::new(layout.apflow("release")).current_dir(&layout.root).arg("bench").args(&options.bench),
    )?;
    Ok(ExitCode::SUCCESS)
}
