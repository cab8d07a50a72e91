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
    plugins::build(layout, &plugins::Options { rust_only: true, shipped_only: true, only: None })?;
    say("cargo build --release --bin apflow");
    run_program(layout.cargo().args(["build", "--release", "--bin", "apflow"]))?;
    if !options.whole_only {
        let criterion = ["bench", "-p", "apflow-host", "--bench", "sandbox"];
        say(&format!("cargo {}", criterion.join(" ")));
        run_program(layout.cargo().args(criterion))?;
    }
    say("apflow bench");
    let mut bench = Command::new(layout.apflow("release"));
    bench.current_dir(&layout.root).args(["bench", "--plugins", "plugins/dist"]).args(&options.bench);
    run_program(&mut bench)?;
    Ok(ExitCode::SUCCESS)
}
