//! `cargo xtask campaign` and `soak`: build what the long trials need, then start `apflow-trial` (see `tests/suite/trial`).

use crate::layout::Layout;
use crate::plugins;
use crate::process::{run as run_program, say};
use crate::test::install_postgres;
use anyhow::Result;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub struct CampaignOptions {
    /// On which database: `sqlite`, `postgres` or `both`
    #[arg(long, default_value = "both")]
    store: String,
    /// How many times something befalls a host or the database, on each
    #[arg(long, default_value_t = 100)]
    cycles: u32,
    /// Everything that is drawn follows from it; a new one is drawn where none is given
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(clap::Args)]
pub struct SoakOptions {
    /// Arguments for `apflow-trial soak`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    soak: Vec<OsString>,
}

/// The command `campaign`; a failure prints the command that repeats it.
pub fn campaign(layout: &Layout, options: &CampaignOptions) -> Result<ExitCode> {
    build(layout, "debug")?;
    let stores: &[&str] = match options.store.as_str() {
        "both" => &["sqlite", "postgres"],
        one => &[one],
    };
    for store in stores {
        let mut trial = trial(layout, "debug");
        trial.args(["campaign", "--store", store, "--cycles", &options.cycles.to_string()]);
        if let Some(seed) = options.seed {
            trial.args(["--seed", &seed.to_string()]);
        }
        run_program(&mut trial)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command `soak`.
pub fn soak(layout: &Layout, options: &SoakOptions) -> Result<ExitCode> {
    build(layout, "release")?;
    run_program(trial(layout, "release").arg("soak").args(&options.soak))?;
    Ok(ExitCode::SUCCESS)
}

fn build(layout: &Layout, profile: &str) -> Result<()> {
    install_postgres()?;
    plugins::build(layout, &plugins::Options { rust_only: true, ..Default::default() })?;
    let mut build = layout.cargo();
    build.args(["build", "--workspace", "--bins"]);
    if profile == "release" {
        build.arg("--release");
    }
    say("cargo build --workspace --bins");
    run_program(&mut build)
}

fn trial(layout: &Layout, profile: &str) -> Command {
    let mut trial = Command::new(layout.apflow(profile).with_file_name("apflow-trial"));
    trial.current_dir(&layout.root);
    trial
}
