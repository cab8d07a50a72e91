//! `cargo xtask plugins`: every plugin folder of the checkout becomes `<dist>/<name>/<name>.wasm` beside its `plugin.toml`,
//! which is the form that the host loads. This file finds the folders; how plugins are built is in `apflow-toolchain`.

use crate::layout::Layout;
use crate::process::say;
use anyhow::{Result, bail};
use apflow_toolchain::{Job, Language, Project, Tools};
use std::fs;
use std::path::PathBuf;

#[derive(clap::Args, Default)]
pub struct Options {
    /// Builds the plugin of this name and no other
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Leaves the other languages out
    #[arg(long)]
    pub rust_only: bool,
    /// Leaves the tests' own plugins out
    #[arg(long)]
    pub shipped_only: bool,
}

// Every folder with a `plugin.toml` directly in the first, or the first itself, is built into the second.
const SHIPPED: (&str, &str) = ("plugins", "plugins/dist");
const FOR_TESTS: [(&str, &str); 2] =
    [("tests/plugins", "plugins/dist-test"), ("examples/first-plugin", "plugins/dist-test")];

/// The folders of built plugins: the shipped ones, and those of the tests.
pub fn dist_folders(layout: &Layout) -> [PathBuf; 2] {
    [SHIPPED.1, FOR_TESTS[0].1].map(|folder| layout.root.join(folder))
}

/// Builds what the options ask for; what is up to date costs next to nothing. Where a language's tools are missing, its
/// plugins are left out.
pub fn build(layout: &Layout, options: &Options) -> Result<()> {
    let workshop = layout.workshop();
    let _lock = workshop.lock("plugins")?;
    let all = find(layout)?;
    if let Some(name) = options.only.as_deref().filter(|name| all.iter().all(|job| job.project.name != *name))
    {
        let names: Vec<_> = all.iter().map(|job| job.project.name.as_str()).collect();
        bail!("there is no plugin `{name}`; there are: {}", names.join(", "));
    }
    prune(layout, &all)?;
    let wanted = |job: &&Job| {
        options.only.as_ref().is_none_or(|name| job.project.name == *name)
            && (!options.rust_only || job.project.language == Language::Rust)
            && (!options.shipped_only || job.dist.starts_with(layout.root.join(SHIPPED.1)))
    };
    apflow_toolchain::build(&workshop, &all.iter().filter(wanted).collect::<Vec<_>>(), Tools::LeaveOut)
}

/// Every plugin of the checkout, in the order of their folders.
pub fn find(layout: &Layout) -> Result<Vec<Job>> {
    let mut found = Vec::new();
    for (sources, dist) in std::iter::once(SHIPPED).chain(FOR_TESTS) {
        let folder = layout.root.join(sources);
        let mut folders = vec![folder.clone()];
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            folders.push(entry?.path());
        }
        folders.sort();
        for folder in folders.into_iter().filter(|folder| folder.join("plugin.toml").is_file()) {
            let project = Project::read(&folder)?;
            found.push(Job { dist: layout.root.join(dist).join(&project.name), project });
        }
    }
    Ok(found)
}

/// Runs the tests of every JavaScript plugin that has some, where Node is present.
pub fn run_javascript_tests(layout: &Layout) -> Result<()> {
    let workshop = layout.workshop();
    let _lock = workshop.lock("plugins")?;
    for Job { project, .. } in find(layout)? {
        let has_tests = project.language == Language::JavaScript && project.folder.join("test").is_dir();
        if has_tests && apflow_toolchain::node_is_here() {
            apflow_toolchain::run_javascript_tests(&workshop, &project)?;
        }
    }
    Ok(())
}

/// Runs the unit tests of every Python plugin that has some, where Python is present.
pub fn run_python_tests(layout: &Layout) -> Result<()> {
    for Job { project, .. } in find(layout)? {
        let has_tests = project.language == Language::Python && project.folder.join("tests").is_dir();
        if has_tests && apflow_toolchain::python_is_here() {
            apflow_toolchain::run_python_tests(&layout.workshop(), &project)?;
        }
    }
    Ok(())
}

// A component whose sources are gone would still be loaded.
fn prune(layout: &Layout, all: &[Job]) -> Result<()> {
    for dist in dist_folders(layout) {
        for entry in fs::read_dir(dist).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() && all.iter().all(|job| job.dist != path) {
                say(&format!("removing {}: its sources are gone", path.display()));
                fs::remove_dir_all(&path)?;
            }
        }
    }
    Ok(())
}
