//! Plugins in Python: componentize-py puts the plugin's modules, the SDK and CPython into one component. It is installed
//! into a virtual environment in the cache, in the version that `python.txt` pins.
//! The folder's form: modules with the entry `app.py`, unit tests in `tests/`, optional `wit/`.

use crate::build::{Job, Tools, has_tools};
use crate::process::{probe, run_quietly};
use crate::project::Project;
use crate::rust_target::debian;
use crate::workshop::{ToolMissing, Workshop};
use crate::{embedded, freshness};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

// Part of every digest: raise it when the steps below change.
const RECIPE: &str = "python 2";
/// The folder of its tools in the cache.
pub(crate) const CACHE: &str = "py-toolchain";
/// What pip installs there.
pub(crate) const REQUIREMENTS: &str = include_str!("../python.txt");

/// Builds and publishes the given plugins that are not up to date.
pub(crate) fn build(workshop: &Workshop, jobs: &[&Job], tools: Tools) -> Result<()> {
    if jobs.is_empty() || !has_tools(workshop, jobs, needed("Python plugins"), tools)? {
        return Ok(());
    }
    for job in jobs {
        let project = &job.project;
        let digest = freshness::digest(project, &format!("{RECIPE}\n{REQUIREMENTS}"))?;
        if freshness::is_fresh(job, &digest) {
            continue;
        }
        let toolchain = install(workshop, CACHE, REQUIREMENTS)?;
        let build = toolchain.join("build").join(freshness::build_name(project));
        freshness::copy_sources(project, &build)?;
        embedded::lay("sdk/python/", &build.join(".sdk"))?;
        workshop.say(&format!("{}: componentizing Python (half a minute)", project.name));
        let component = componentize(&toolchain, &build)
            .with_context(|| format!("the plugin in {} could not be built", project.folder.display()))?;
        job.publish(workshop, &component)?;
        freshness::remember(job, &digest)?;
    }
    Ok(())
}

/// Runs the unit tests of a project.
///
/// # Errors
/// If a test fails, with what was written.
pub fn run_tests(workshop: &Workshop, project: &Project) -> Result<()> {
    workshop.say(&format!("{}: python3 -m unittest", project.name));
    let sdk = crate::sdk::lay(project.language, &workshop.cache.join("sdk"))?;
    let mut tests = Command::new("python3");
    tests.args(["-B", "-m", "unittest", "discover", "-s", "tests"]).current_dir(&project.folder);
    run_quietly(tests.env("PYTHONPATH", sdk))
}

/// Whether there is a Python that is new enough, with pip.
pub fn is_here() -> bool {
    needed("").is_ok()
}

/// Whether what needs Python has one.
pub(crate) fn needed(what: &str) -> Result<(), ToolMissing> {
    let program = "import sys, pip; sys.exit(sys.version_info < (3, 10))";
    if probe(Command::new("python3").args(["-c", program])).is_some() {
        return Ok(());
    }
    Err(ToolMissing(format!(
        "{what} need python3 (3.10 or newer) with pip; on Debian: apt-get install python3-pip python3-venv"
    )))
}

/// A folder of the cache with a virtual environment of these requirements; downloaded the first time.
pub(crate) fn install(workshop: &Workshop, name: &str, requirements: &str) -> Result<PathBuf> {
    let dir = workshop.cache.join(name).join(freshness::short_digest(&[requirements]));
    let complete = dir.join(".complete");
    if !complete.is_file() {
        let _lock = workshop.lock(name)?;
        if !complete.is_file() {
            workshop.say(&format!("pip install {} into {}", requirements.trim(), dir.display()));
            environment(workshop, &dir, requirements)?;
            fs::write(complete, "")?;
        }
    }
    Ok(dir)
}

/// Makes a virtual environment `venv` in `dir`, new, with these requirements in it.
///
/// # Errors
/// What Python or pip say.
pub fn environment(workshop: &Workshop, dir: &Path, requirements: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    let venv = || {
        let mut command = Command::new("python3");
        command.args(["-m", "venv", "--clear"]).arg(dir.join("venv"));
        command
    };
    if let Err(error) = run_quietly(&mut venv()) {
        // Debian keeps the module's other half in a package of its own.
        if probe(Command::new("apt-get").arg("--version")).is_none() {
            return Err(error);
        }
        workshop.say("python3 -m venv is not complete: apt-get install python3-venv");
        debian(&["apt-get", "-qq", "update"])?;
        debian(&["apt-get", "-qq", "install", "-y", "python3-venv"])?;
        run_quietly(&mut venv())?;
    }
    let file = dir.join("requirements.txt");
    fs::write(&file, requirements)?;
    let mut pip = Command::new(dir.join("venv/bin/python"));
    run_quietly(pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(file))
}

fn componentize(toolchain: &Path, build: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new(toolchain.join("venv/bin/componentize-py"));
    command.args(["--wit-path", "wit", "--world", "plugin", "componentize", "app", "--python-path", "."]);
    command.args(["--python-path", ".sdk", "--output", "plugin.wasm"]);
    // It also searches the packages of a virtual environment: of this one, never of whatever the user has active.
    run_quietly(command.env("VIRTUAL_ENV", toolchain.join("venv")).current_dir(build))?;
    fs::read(build.join("plugin.wasm")).context("componentize-py gave no component")
}
