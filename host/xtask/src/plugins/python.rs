//! Plugins in Python: componentize-py puts the plugin's modules and CPython into one component. It is installed into a
//! virtual environment in the cache, in the version that `host/xtask/py-toolchain.txt` pins.
//! The folder's form: modules with the entry `app.py`, `wit/` with a world `plugin`, unit tests in `tests/`.

use super::{Language, Plugin, find, freshness};
use crate::layout::Layout;
use crate::process::{probe, run_quietly, say};
use crate::toolchain::debian;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

// Part of every digest: raise it when the steps below change.
const RECIPE: &str = "python 1";
const REQUIREMENTS: &str = include_str!("../../py-toolchain.txt");

/// Builds and publishes the given plugins that are not up to date, or says that they are left out.
pub fn build(layout: &Layout, plugins: &[&Plugin]) -> Result<()> {
    if plugins.is_empty() {
        return Ok(());
    }
    if !is_here() {
        let names: Vec<_> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        say(&format!("left out {}: Python plugins need python3 (3.10 or newer) with pip", names.join(", ")));
        return Ok(());
    }
    for plugin in plugins {
        let digest = freshness::digest(layout, plugin, &format!("{RECIPE}\n{REQUIREMENTS}"))?;
        if freshness::is_fresh(plugin, &digest) {
            continue;
        }
        let toolchain = install(layout)?;
        let build = toolchain.join("build").join(&plugin.name);
        freshness::copy_sources(layout, plugin, &build)?;
        say(&format!("{}: componentizing Python (half a minute)", plugin.name));
        let component = componentize(&toolchain, &build)
            .with_context(|| format!("the plugin in {} could not be built", plugin.folder.display()))?;
        plugin.publish(layout, &component)?;
        freshness::remember(plugin, &digest)?;
    }
    Ok(())
}

/// Runs the unit tests of every Python plugin that has some, where python3 is present.
pub fn run_tests(layout: &Layout) -> Result<()> {
    for plugin in find(layout)?.iter().filter(|plugin| plugin.language == Language::Python) {
        if !plugin.folder.join("tests").is_dir() || !runs("") {
            continue;
        }
        say(&format!("{}: python3 -m unittest", plugin.name));
        let mut tests = Command::new("python3");
        tests.args(["-B", "-m", "unittest", "discover", "-s", "tests"]).current_dir(&plugin.folder);
        run_quietly(&mut tests)?;
    }
    Ok(())
}

/// Whether there is a Python that is new enough, with pip.
pub fn is_here() -> bool {
    runs("import sys, pip; sys.exit(sys.version_info < (3, 10))")
}

fn runs(program: &str) -> bool {
    probe(Command::new("python3").args(["-c", program])).is_some()
}

fn install(layout: &Layout) -> Result<PathBuf> {
    let dir = layout.cache.join("py-toolchain").join(freshness::short_digest(&[REQUIREMENTS]));
    let complete = dir.join(".complete");
    if complete.is_file() {
        return Ok(dir);
    }
    say(&format!("pip install {} into {}", REQUIREMENTS.trim(), dir.display()));
    environment(&dir, REQUIREMENTS)?;
    fs::write(complete, "")?;
    Ok(dir)
}

/// Makes a virtual environment `venv` in `dir`, new, with these requirements in it.
pub fn environment(dir: &Path, requirements: &str) -> Result<()> {
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
        say("python3 -m venv is not complete: apt-get install python3-venv");
        debian(&["apt-get", "-qq", "update"])?;
        debian(&["apt-get", "-qq", "install", "-y", "python3-venv"])?;
        run_quietly(&mut venv())?;
    }
    let file = dir.join("requirements.txt");
    fs::write(&file, requirements)?;
    let mut pip = Command::new(dir.join("venv/bin/python"));
    run_quietly(pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(file))
}

fn componentize(toolchain: &Path, build: &Path) -> Result<PathBuf> {
    let mut command = Command::new(toolchain.join("venv/bin/componentize-py"));
    command.args(["--wit-path", "wit", "--world", "plugin", "componentize", "app", "--python-path", "."]);
    // It also searches the packages of a virtual environment: of this one, never of whatever the user has active.
    command.args(["--output", "plugin.wasm"]).env("VIRTUAL_ENV", toolchain.join("venv")).current_dir(build);
    run_quietly(&mut command)?;
    Ok(build.join("plugin.wasm"))
}
