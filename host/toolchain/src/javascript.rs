//! Plugins in JavaScript and TypeScript: esbuild makes one file of the plugin, the SDK and its packages, componentize-qjs
//! puts it into QuickJS. The tools are pinned here and installed into the cache once; a project's lock file, if it has
//! one, names only what its code uses. TypeScript is checked by `tsc` where the project has a `tsconfig.json`.
//! The folder's form: `package.json` with `main`, sources, tests in `test/`; optional `package-lock.json` and `wit/`.

use crate::build::{Job, Tools, has_tools};
use crate::process::{probe, run_quietly};
use crate::project::{Language, Project};
use crate::workshop::{ToolMissing, Workshop};
use crate::{embedded, freshness};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

// Part of every digest: raise it when the steps below change.
const RECIPE: &str = "javascript 2";
const TOOLS: &str = include_str!("../javascript/package.json");
const TOOLS_LOCK: &str = include_str!("../javascript/package-lock.json");

/// Builds and publishes the given plugins that are not up to date.
pub(crate) fn build(workshop: &Workshop, jobs: &[&Job], tools: Tools) -> Result<()> {
    if jobs.is_empty() || !has_tools(workshop, jobs, needed(), tools)? {
        return Ok(());
    }
    for job in jobs {
        let project = &job.project;
        let digest = freshness::digest(project, &format!("{RECIPE}\n{TOOLS_LOCK}"))?;
        if freshness::is_fresh(job, &digest) {
            continue;
        }
        let tools = install(workshop)?;
        let build = prepare(workshop, project)?;
        workshop.say(&format!("{}: componentizing {}", project.name, project.language.as_str()));
        let component = componentize(project, &tools, &build)
            .with_context(|| format!("the plugin in {} could not be built", project.folder.display()))?;
        job.publish(workshop, &component)?;
        freshness::remember(job, &digest)?;
    }
    Ok(())
}

/// Runs `node --test` on the tests of a project, with its packages and the SDK.
///
/// # Errors
/// If a test fails, with what was written.
pub fn run_tests(workshop: &Workshop, project: &Project) -> Result<()> {
    let build = prepare(workshop, project)?;
    fs::create_dir_all(build.join("test"))?;
    for entry in fs::read_dir(project.folder.join("test"))? {
        let entry = entry?;
        fs::copy(entry.path(), build.join("test").join(entry.file_name()))?;
    }
    workshop.say(&format!("{}: node --test", project.name));
    run_quietly(Command::new("node").args(["--test", "test/"]).current_dir(&build))
}

/// Whether there are Node and npm, new enough.
pub fn is_here() -> bool {
    needed().is_ok()
}

fn needed() -> Result<(), ToolMissing> {
    let node = probe(Command::new("node").arg("--version"));
    let major = node.and_then(|version| version.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 18) && probe(Command::new("npm").arg("--version")).is_some() {
        return Ok(());
    }
    Err(ToolMissing(
        "JavaScript plugins need node (18 or newer) and npm; on Debian: apt-get install nodejs npm".into(),
    ))
}

/// The tools; downloaded the first time.
pub(crate) fn install(workshop: &Workshop) -> Result<PathBuf> {
    let dir = workshop.cache.join("js-toolchain").join(freshness::short_digest(&[TOOLS, TOOLS_LOCK]));
    let complete = dir.join(".complete");
    if !complete.is_file() {
        let _lock = workshop.lock("js-toolchain")?;
        if !complete.is_file() {
            workshop.say(&format!("npm ci: the tools for JavaScript, into {}", dir.display()));
            packages(&dir, TOOLS, TOOLS_LOCK)?;
            fs::write(complete, "")?;
        }
    }
    Ok(dir.join("node_modules"))
}

/// Installs what the lock file says into `dir`.
///
/// # Errors
/// What npm says.
pub fn packages(dir: &Path, package: &str, lock: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("package.json"), package)?;
    fs::write(dir.join("package-lock.json"), lock)?;
    npm(dir, &["ci"])
}

fn npm(dir: &Path, words: &[&str]) -> Result<()> {
    // No package here needs its install script, and a script is a stranger's program.
    let mut npm = Command::new("npm");
    npm.args(words)
        .args(["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(dir);
    run_quietly(&mut npm)
}

#[derive(Deserialize)]
struct Package {
    main: Option<String>,
    #[serde(default)]
    dependencies: serde_json::Map<String, serde_json::Value>,
}

fn package(project: &Project) -> Result<(Package, String)> {
    let path = project.folder.join("package.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let package =
        serde_json::from_str(&text).with_context(|| format!("{} is not as it must be", path.display()))?;
    Ok((package, text))
}

/// A copy of the sources with the packages that they use: those of the project, and the SDK. It stands inside the folder
/// of those packages, so that Node finds `node_modules` by walking up.
fn prepare(workshop: &Workshop, project: &Project) -> Result<PathBuf> {
    let (package, text) = package(project)?;
    let lock = fs::read_to_string(project.folder.join("package-lock.json")).ok();
    let key = freshness::short_digest(&[&text, lock.as_deref().unwrap_or_default()]);
    let dir = workshop.cache.join("js-packages").join(key);
    let build = dir.join("build").join(freshness::build_name(project));
    let complete = dir.join(".complete");
    let others = package.dependencies.keys().any(|name| name != SDK);
    if others && !complete.is_file() {
        workshop.say(&format!("{}: npm install into {}", project.name, dir.display()));
        fs::create_dir_all(&dir)?;
        match &lock {
            Some(lock) => {
                fs::write(dir.join("package-lock.json"), lock)?;
                fs::write(dir.join("package.json"), &text)?;
                npm(&dir, &["ci", "--omit=dev"])?;
            }
            None => {
                fs::write(dir.join("package.json"), without_sdk(&text)?)?;
                npm(&dir, &["install", "--omit=dev"])?;
            }
        }
        fs::write(complete, "")?;
    }
    freshness::copy_sources(project, &build)?;
    embedded::lay("sdk/javascript/", &build.join("node_modules").join(SDK))?;
    Ok(build)
}

/// The package that the SDK is.
const SDK: &str = "apflow-plugin";

/// The SDK comes from the program, whatever path the project knows it by.
fn without_sdk(package: &str) -> Result<String> {
    let mut package: serde_json::Value = serde_json::from_str(package)?;
    if let Some(dependencies) = package.get_mut("dependencies").and_then(|value| value.as_object_mut()) {
        dependencies.remove(SDK);
    }
    Ok(package.to_string())
}

fn componentize(project: &Project, tools: &Path, build: &Path) -> Result<Vec<u8>> {
    let main = package(project)?.0.main.context("package.json must name the entry file in `main`")?;
    let node = |tool: &str| {
        let mut command = Command::new("node");
        command.current_dir(build).arg(tools.join(tool));
        command
    };
    if project.language == Language::TypeScript && build.join("tsconfig.json").is_file() {
        run_quietly(node("typescript/bin/tsc").args(["--noEmit", "--pretty", "false", "--project", "."]))?;
    }
    // Some packages look for a browser's `window` before they use what QuickJS has too, such as `btoa`.
    run_quietly(node("esbuild/bin/esbuild").arg(main).args([
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
    fs::read(build.join("plugin.wasm")).context("the tools gave no component")
}
