//! Plugins in C: zig's compiler (from the package `ziglang`, as `c.txt` pins it) makes a core module of the plugin, the SDK
//! and the generated bindings; `wit-component` makes the component, here in this program. What the plugin does not call is
//! not linked, so its component imports what it uses and nothing else.
//! The folder's form: sources in `src/`.

use crate::build::{Job, Tools, has_tools};
use crate::process::run_quietly;
use crate::project::{Kind, Project};
use crate::workshop::Workshop;
use crate::{embedded, freshness, python};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasi_preview1_component_adapter_provider as adapter;
use wit_component::ComponentEncoder;

// Part of every digest: raise it when the steps below change.
const RECIPE: &str = "c 1";
/// The folder of its tools in the cache.
pub(crate) const CACHE: &str = "c-toolchain";
/// What pip installs there.
pub(crate) const REQUIREMENTS: &str = include_str!("../c.txt");

/// Builds and publishes the given plugins that are not up to date.
pub(crate) fn build(workshop: &Workshop, jobs: &[&Job], tools: Tools) -> Result<()> {
    if jobs.is_empty()
        || !has_tools(workshop, jobs, python::needed("C plugins, whose compiler pip installs,"), tools)?
    {
        return Ok(());
    }
    for job in jobs {
        let project = &job.project;
        let digest = freshness::digest(project, &format!("{RECIPE}\n{REQUIREMENTS}"))?;
        if freshness::is_fresh(job, &digest) {
            continue;
        }
        let toolchain = python::install(workshop, CACHE, REQUIREMENTS)?;
        let build = toolchain.join("build").join(freshness::build_name(project));
        freshness::copy_sources(project, &build)?;
        embedded::lay("sdk/c/", &build.join(".sdk"))?;
        workshop.say(&format!("{}: compiling C", project.name));
        let component = compile(project, &toolchain, &build)
            .and_then(|core| componentize(&core))
            .with_context(|| format!("the plugin in {} could not be built", project.folder.display()))?;
        job.publish(workshop, &component)?;
        freshness::remember(job, &digest)?;
    }
    Ok(())
}

/// Compiles and links the plugin's sources, the SDK's, and the bindings of the kinds that it is.
fn compile(project: &Project, toolchain: &Path, build: &Path) -> Result<Vec<u8>> {
    let own = c_files(&build.join("src"), build)?;
    if own.is_empty() {
        bail!("there is no `.c` file in src/");
    }
    let mut zig = Command::new(toolchain.join("venv/bin/python"));
    zig.current_dir(build);
    zig.args([
        "-m",
        "ziglang",
        "cc",
        "-target",
        "wasm32-wasi",
        "-mexec-model=reactor",
        "-std=c11",
        "-Os",
        "-s",
    ]);
    zig.args(["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-Wall"]);
    zig.args(["-I.sdk/include", "-I.sdk/vendor/yyjson", "-Isrc"]);
    zig.args(own);
    for folder in [".sdk/src", ".sdk/vendor"] {
        zig.args(c_files(&build.join(folder), build)?);
    }
    let bindings = project.kinds.iter().map(|kind| binding(*kind)).chain(["capabilities"]);
    for name in bindings {
        zig.arg(format!(".sdk/bindings/{name}.c")).arg(format!(".sdk/bindings/{name}_component_type.o"));
    }
    run_quietly(zig.args(["-o", "core.wasm"]))?;
    fs::read(build.join("core.wasm")).context("the compiler gave no module")
}

const fn binding(kind: Kind) -> &'static str {
    match kind {
        Kind::Executor => "executor",
        Kind::Hook => "hooks",
        Kind::Collector => "collector",
    }
}

/// The C sources below a folder, relative to `base`.
fn c_files(folder: &Path, base: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let files = freshness::sources(folder)?.into_iter();
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "c"));
    files.map(|file| Ok(file.strip_prefix(base)?.to_owned())).collect()
}

/// Wraps a core module that carries its world, with WASI 0.1 adapted to 0.2.
fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    let (name, bytes) =
        (adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    ComponentEncoder::default().validate(true).module(core)?.adapter(name, bytes)?.encode()
}
