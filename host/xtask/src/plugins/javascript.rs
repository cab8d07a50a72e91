//! Plugins in JavaScript: esbuild makes one file of the plugin and its packages, componentize-qjs puts it into QuickJS.
//! A plugin names both in its own `package.json` and lock file; they are installed into the cache, once per lock file.
//! The folder's form: `package.json` with `main`, `package-lock.json`, `wit/` with a world `plugin`, tests in `test/`.

use super::{Language, Plugin, find, freshness};
use crate::layout::Layout;
use crate::process::{probe, run_quietly, say};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

// Part of every digest: raise it when the steps below change.
const RECIPE: &str = "javascript 1";

/// Builds and publishes the given plugins that are not up to date, or says that they are left out.
pub fn build(layout: &Layout, plugins: &[&Plugin]) -> Result<()> {
    if plugins.is_empty() {
        return Ok(());
    }
    if !is_here() {
        let names: Vec<_> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        say(&format!("left out {}: JavaScript plugins need node (18 or newer) and npm", names.join(", ")));
        return Ok(());
    }
    for plugin in plugins {
        let digest = freshness::digest(layout, plugin, RECIPE)?;
        if freshness::is_fresh(plugin, &digest) {
            continue;
        }
        let build = prepare(layout, plugin)?;
        say(&format!("{}: componentizing JavaScript", plugin.name));
        let component = componentize(plugin, &build)
            .with_context(|| format!("the plugin in {} could not be built", plugin.folder.display()))?;
        plugin.publish(layout, &component)?;
        freshness::remember(plugin, &digest)?;
    }
    Ok(())
}

/// Runs the tests of every JavaScript plugin that has some, where Node is present.
pub fn run_tests(layout: &Layout) -> Result<()> {
    let _lock = layout.lock("plugins")?;
    for plugin in find(layout)?.iter().filter(|plugin| plugin.language == Language::JavaScript) {
        let tests = plugin.folder.join("test");
        if !tests.is_dir() || !is_here() {
            continue;
        }
        let build = prepare(layout, plugin)?;
        fs::create_dir_all(build.join("test"))?;
        for entry in fs::read_dir(&tests)? {
            let entry = entry?;
            fs::copy(entry.path(), build.join("test").join(entry.file_name()))?;
        }
        say(&format!("{}: node --test", plugin.name));
        run_quietly(Command::new("node").args(["--test", "test/"]).current_dir(&build))?;
    }
    Ok(())
}

/// Whether there are Node and npm, new enough.
pub fn is_here() -> bool {
    let node = probe(Command::new("node").arg("--version"));
    let major = node.and_then(|version| version.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= 18) && npm(&["--version"]).is_some()
}

fn npm(args: &[&str]) -> Option<String> {
    probe(Command::new("npm").args(args))
}

// The build folder stands inside the toolchain's, so that Node finds `node_modules` by walking up.
fn prepare(layout: &Layout, plugin: &Plugin) -> Result<PathBuf> {
    let build = install(layout, plugin)?.join("build").join(&plugin.name);
    freshness::copy_sources(layout, plugin, &build)?;
    Ok(build)
}

fn install(layout: &Layout, plugin: &Plugin) -> Result<PathBuf> {
    let read = |name: &str| {
        let path = plugin.folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (package, lock) = (read("package.json")?, read("package-lock.json")?);
    let dir = layout.cache.join("js-toolchain").join(freshness::short_digest(&[&package, &lock]));
    let complete = dir.join(".complete");
    if complete.is_file() {
        return Ok(dir);
    }
    say(&format!("{}: npm ci into {}", plugin.name, dir.display()));
    packages(&dir, &package, &lock)?;
    fs::write(complete, "")?;
    Ok(dir)
}

/// Installs what the lock file says into `dir`.
pub fn packages(dir: &Path, package: &str, lock: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("package.json"), package)?;
    fs::write(dir.join("package-lock.json"), lock)?;
    // No package here needs its install script, and a script is a stranger's program.
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(dir);
    run_quietly(&mut npm)
}

fn componentize(plugin: &Plugin, build: &Path) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Package {
        main: String,
    }
    let package: Package = serde_json::from_str(&fs::read_to_string(plugin.folder.join("package.json"))?)
        .context("package.json must name the entry file in `main`")?;
    let tools = build.join("../../node_modules");
    let node = |tool: &str| {
        let mut command = Command::new("node");
        command.current_dir(build).arg(tools.join(tool));
        command
    };
    // Some packages look for a browser's `window` before they use what QuickJS has too, such as `btoa`.
    run_quietly(node("esbuild/bin/esbuild").arg(&package.main).args([
        "--bundle",
        "--format=esm",
        "--platform=neutral",
        "--main-fields=module,main",
        "--target=es2023",
        "--define:window=globalThis",
        "--external:apflow:*",
        "--external:wasi:*",
        "--minify",
        "--log-level=warning",
        "--outfile=bundle.js",
    ]))?;
    run_quietly(node("componentize-qjs/bin/componentize-qjs").args([
        "--wit",
        "wit",
        "--world",
        "plugin",
        "--js",
        "bundle.js",
        "--sync",
        "--output",
        "plugin.wasm",
    ]))?;
    Ok(build.join("plugin.wasm"))
}
