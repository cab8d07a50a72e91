//! `cargo xtask check`: what can be said about the code without running it, and whether the generated documents are
//! up to date. `bless` writes those anew. Every check runs, also after one that failed.

use crate::layout::Layout;
use crate::plugins;
use crate::process::{line, probe, run as run_program, say};
use anyhow::Result;
use apflow_toolchain::{Language, Project, RustTarget, TARGET, rust_package, rust_workspaces};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Tests that compare a generated document with the file, and write the file where this variable is `1`.
const BLESS: &str = "APFLOW_BLESS";
/// The end that their names have in common.
const DOCUMENT_TESTS: &str = "test(/_is_current$/)";

/// What went wrong so far, in a few words each.
#[derive(Default)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Runs a step and remembers if it fails.
    pub fn step(&mut self, what: &str, step: impl FnOnce() -> Result<()>) {
        if let Err(error) = step() {
            say(&format!("FAILED: {what}: {error:#}"));
            self.note(what);
        }
    }

    /// Remembers a failure that has been told already.
    pub fn note(&mut self, what: &str) {
        self.0.push(what.to_owned());
    }

    /// Says a command's own line, runs it, remembers if it fails.
    pub fn command(&mut self, command: &mut Command) {
        let line = line(command);
        say(&line);
        self.step(&line, || run_program(command));
    }

    /// Repeats what failed, if anything did.
    pub fn report(&self) {
        if !self.0.is_empty() {
            say(&format!("failed: {}", self.0.join("; ")));
        }
    }

    /// Success only if nothing failed.
    pub fn exit_code(&self) -> ExitCode {
        if self.0.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The command `check`.
pub fn run(layout: &Layout) -> Result<ExitCode> {
    let mut failures = Failures::default();
    code(layout, &mut failures)?;
    crate::test::install_nextest(layout)?;
    failures.command(&mut document_tests(layout));
    failures.report();
    if failures.exit_code() == ExitCode::SUCCESS {
        say("all checks passed");
    }
    Ok(failures.exit_code())
}

/// All checks but those that are tests, which `ci` runs anyway.
pub fn code(layout: &Layout, failures: &mut Failures) -> Result<()> {
    let guests = guest_workspaces(layout)?;
    if has(layout, "fmt", "rustfmt") {
        failures.command(layout.cargo().args(["fmt", "--all", "--check"]));
        for Guests { manifest, packages } in &guests {
            let mut fmt = layout.cargo();
            fmt.args(["fmt", "--check", "--manifest-path"]).arg(manifest);
            // `--all` would follow the path to the SDK and from there into the whole host.
            for package in packages {
                fmt.arg("--package").arg(package);
            }
            failures.command(&mut fmt);
        }
    }
    if has(layout, "clippy", "clippy") {
        let deny = ["--", "-D", "warnings"];
        failures.command(layout.cargo().args(["clippy", "--workspace", "--all-targets"]).args(deny));
        if !guests.is_empty() {
            lint_guests(layout, &guests, failures)?;
        }
    }
    // An embedder's view: neither axum nor clap may be needed.
    failures.command(layout.cargo().args(["check", "-p", "apflow-host", "--no-default-features"]));
    Ok(())
}

// Only where there are guests is their toolchain asked for: finding it can mean downloading it.
fn lint_guests(layout: &Layout, guests: &[Guests], failures: &mut Failures) -> Result<()> {
    let workshop = layout.workshop();
    let target = RustTarget::find(&workshop)?;
    if !target.has_clippy() {
        say("left out: clippy on the Rust plugins, their compiler comes without it");
        return Ok(());
    }
    for Guests { manifest, .. } in guests {
        let mut clippy = target.cargo(&workshop);
        clippy.args(["clippy", "--workspace", "--target", TARGET, "--manifest-path"]).arg(manifest);
        failures.command(clippy.args(["--", "-D", "warnings"]));
    }
    Ok(())
}

/// The command `bless`.
pub fn bless(layout: &Layout) -> Result<()> {
    crate::test::install_nextest(layout)?;
    run_program(document_tests(layout).env(BLESS, "1"))
}

fn document_tests(layout: &Layout) -> Command {
    let mut nextest = layout.cargo();
    nextest.args(["nextest", "run", "--workspace", "-E", DOCUMENT_TESTS]);
    nextest
}

/// A workspace of guests.
pub struct Guests {
    /// The workspace's manifest.
    pub manifest: PathBuf,
    packages: Vec<String>,
}

/// The guests' workspaces.
pub fn guest_workspaces(layout: &Layout) -> Result<Vec<Guests>> {
    let all = plugins::find(layout)?;
    let projects = all.iter().map(|job| &job.project);
    let rust: Vec<&Project> = projects.filter(|project| project.language == Language::Rust).collect();
    let workspaces = rust_workspaces(&rust)?.into_iter();
    workspaces
        .map(|(root, members)| {
            let packages = members.iter().map(|project| rust_package(&project.folder));
            Ok(Guests { manifest: root.join("Cargo.toml"), packages: packages.collect::<Result<_>>()? })
        })
        .collect()
}

// A minimal rustup profile comes without these; where they cannot be had, that is said and not held against the code.
fn has(layout: &Layout, subcommand: &str, component: &str) -> bool {
    let there = || probe(layout.cargo().args([subcommand, "--version"])).is_some();
    if there() {
        return true;
    }
    say(&format!("this Rust has no {component}: rustup component add {component}"));
    let added = run_program(Command::new("rustup").args(["component", "add", component])).is_ok() && there();
    if !added {
        say(&format!("left out: cargo {subcommand}, {component} is not installed"));
    }
    added
}
