//! `cargo xtask test` and `ci`: installs what is missing, builds what the tests use (plugins and the `apflow` binary),
//! and runs everything. nextest runs last, so that its summary is the last thing on the screen.

use crate::check::{self, Failures};
use crate::layout::Layout;
use crate::plugins;
use crate::process::{line, probe, run as run_program, run_quietly, say};
use crate::receivers;
use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

/// The version to install where there is none.
const NEXTEST: &str = "0.9.143";

#[derive(clap::Args, Default)]
pub struct Options {
    /// Builds the Rust plugins only, and runs nextest only
    #[arg(long)]
    quick: bool,
    /// Arguments for nextest, such as `-p apflow-core` or a test's name; with any, only nextest runs
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    nextest: Vec<OsString>,
}

/// The command `test`.
pub fn run(layout: &Layout, options: &Options) -> Result<ExitCode> {
    let mut failures = Failures::default();
    tests(layout, options, &mut failures)?;
    failures.report();
    Ok(failures.exit_code())
}

/// The command `ci`.
pub fn ci(layout: &Layout) -> Result<ExitCode> {
    let mut failures = Failures::default();
    check::code(layout, &mut failures)?;
    tests(layout, &Options::default(), &mut failures)?;
    Ok(failures.exit_code())
}

/// Installs cargo-nextest if it is missing.
pub fn install_nextest(layout: &Layout) -> Result<()> {
    if probe(layout.cargo().args(["nextest", "--version"])).is_some() {
        return Ok(());
    }
    say(&format!("installing cargo-nextest {NEXTEST} from its sources (a few minutes)"));
    let mut install = layout.cargo();
    // Its own target folder would be thrown away; the development profile halves the time.
    run_program(install.args(["install", "cargo-nextest", "--locked", "--debug", "--version", NEXTEST]))
}

/// Installs PostgreSQL, on which the store is tested, if it is missing and can be installed here.
pub fn install_postgres() -> Result<()> {
    let packaged =
        std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some());
    if packaged || probe(Command::new("initdb").arg("--version")).is_some() {
        return Ok(());
    }
    install(&["postgresql"])
}

/// Installs the registry and the signing program that packages are tested with, if they are missing and can be installed here.
fn install_package_tools() -> Result<()> {
    let missing: Vec<&str> = [("docker-registry", "--version"), ("minisign", "-v")]
        .into_iter()
        .filter(|(program, version)| probe(Command::new(program).arg(version)).is_none())
        .map(|(program, _)| program)
        .collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Debian's packages.
fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let is_root = probe(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if !is_root || probe(Command::new("apt-get").arg("--version")).is_none() {
        bail!("{names} is missing: install it, on Debian with: sudo apt-get install {names}");
    }
    say(&format!("installing {names}"));
    let mut update = Command::new("apt-get");
    run_quietly(update.args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    run_quietly(install.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-qy"]).args(packages))
}

fn tests(layout: &Layout, options: &Options, failures: &mut Failures) -> Result<()> {
    install_nextest(layout)?;
    install_postgres()?;
    receivers::install(layout)?;
    install_package_tools()?;
    plugins::build(layout, &plugins::Options { rust_only: options.quick, ..Default::default() })?;
    if !options.quick {
        apflow_toolchain::fetch_tools(&layout.workshop())?;
    }
    say("cargo build --workspace --bins");
    run_program(layout.cargo().args(["build", "--workspace", "--bins"]))?;
    compile_components(layout)?;
    if !options.quick && options.nextest.is_empty() {
        failures.command(layout.cargo().args(["test", "--quiet", "--doc", "--workspace"]));
        for guests in check::guest_workspaces(layout)? {
            let mut test = layout.cargo();
            // The components' own unit tests run on this machine, without a sandbox.
            test.args(["test", "--quiet", "--workspace", "--manifest-path"]).arg(guests.manifest);
            failures.command(&mut test);
        }
        failures.step("tests of the JavaScript plugins", || plugins::run_javascript_tests(layout));
        failures.step("tests of the Python plugins", || plugins::run_python_tests(layout));
    }
    failures.report();
    nextest(layout, options, failures)
}

// Every component is compiled into the cache once, before many servers that start together would each do it.
fn compile_components(layout: &Layout) -> Result<()> {
    let mut list = Command::new(layout.apflow("debug"));
    list.current_dir(&layout.root).args(["plugin", "list", "--local"]);
    for folder in plugins::dist_folders(layout) {
        list.arg("--plugins").arg(folder);
    }
    say("compiling the components (a minute, the first time)");
    run_quietly(&mut list)
}

// Nextest has said what failed, and nothing may follow its summary: a failure is only noted.
fn nextest(layout: &Layout, options: &Options, failures: &mut Failures) -> Result<()> {
    let mut nextest = layout.cargo();
    nextest.args(["nextest", "run"]);
    if !options.nextest.iter().any(|arg| names_a_package(arg)) {
        nextest.arg("--workspace");
    }
    nextest.args(&options.nextest);
    say(&line(&nextest));
    if !nextest.status().context("cannot start cargo")?.success() {
        failures.note("cargo nextest run");
    }
    Ok(())
}

fn names_a_package(arg: &OsStr) -> bool {
    arg.to_str().is_some_and(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}
