//! `cargo xtask plugins`: every plugin folder becomes `<dist>/<name>/<name>.wasm` beside its `plugin.toml`, which is
//! the form that the host loads. This file finds the folders and publishes the results; how a component is built is in
//! the file of its language. What the host makes of `plugin.toml` is not known here beyond name and language.

pub mod freshness;
pub mod javascript;
pub mod python;
mod rust;

use crate::layout::Layout;
use crate::process::say;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

pub use javascript::run_tests as run_javascript_tests;
pub use python::run_tests as run_python_tests;
pub use rust::{by_workspace as rust_workspaces, package_name as rust_package};

#[derive(clap::Args, Default)]
pub struct Options {
    /// Builds the plugin of this name and no other
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Leaves JavaScript and Python out
    #[arg(long)]
    pub rust_only: bool,
    /// Leaves the tests' own plugins out
    #[arg(long)]
    pub shipped_only: bool,
}

/// One plugin folder.
pub struct Plugin {
    /// Where its sources are.
    pub folder: PathBuf,
    /// The folder that its result goes into: `<dist>/<name>`.
    pub dist: PathBuf,
    /// `plugin.name`.
    pub name: String,
    /// `plugin.language`.
    pub language: Language,
}

/// Languages that components are built from here.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Rust,
    JavaScript,
    Python,
}

// Every folder with a `plugin.toml` directly in the first, or the first itself, is built into the second.
const SHIPPED: (&str, &str) = ("plugins", "plugins/dist");
const FOR_TESTS: [(&str, &str); 2] =
    [("tests/plugins", "plugins/dist-test"), ("examples/first-plugin", "plugins/dist-test")];

/// The folders of built plugins: the shipped ones, and those of the tests.
pub fn dist_folders(layout: &Layout) -> [PathBuf; 2] {
    [SHIPPED.1, FOR_TESTS[0].1].map(|folder| layout.root.join(folder))
}

/// Builds what the options ask for; what is up to date costs next to nothing.
pub fn build(layout: &Layout, options: &Options) -> Result<()> {
    let _lock = layout.lock("plugins")?;
    let all = find(layout)?;
    if let Some(name) = options.only.as_deref().filter(|name| all.iter().all(|plugin| plugin.name != *name)) {
        let names: Vec<_> = all.iter().map(|plugin| plugin.name.as_str()).collect();
        bail!("there is no plugin `{name}`; there are: {}", names.join(", "));
    }
    prune(layout, &all)?;
    let wanted = |plugin: &&Plugin| {
        options.only.as_ref().is_none_or(|name| plugin.name == *name)
            && (!options.rust_only || plugin.language == Language::Rust)
            && (!options.shipped_only || plugin.dist.starts_with(layout.root.join(SHIPPED.1)))
    };
    let of =
        |language| all.iter().filter(wanted).filter(|plugin| plugin.language == language).collect::<Vec<_>>();
    // A plugin that does not build is no reason to leave the other languages' plugins old.
    let results = [
        rust::build(layout, &of(Language::Rust)),
        javascript::build(layout, &of(Language::JavaScript)),
        python::build(layout, &of(Language::Python)),
    ];
    let errors: Vec<_> =
        results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if !errors.is_empty() {
        bail!("{}", errors.join("\n"));
    }
    Ok(())
}

/// Every plugin of the checkout, in the order of their folders.
pub fn find(layout: &Layout) -> Result<Vec<Plugin>> {
    let mut found = Vec::new();
    for (sources, dist) in std::iter::once(SHIPPED).chain(FOR_TESTS) {
        let folder = layout.root.join(sources);
        let mut folders = vec![folder.clone()];
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            folders.push(entry?.path());
        }
        folders.sort();
        for folder in folders.into_iter().filter(|folder| folder.join("plugin.toml").is_file()) {
            found.push(read(folder, &layout.root.join(dist))?);
        }
    }
    Ok(found)
}

fn read(folder: PathBuf, dist: &Path) -> Result<Plugin> {
    #[derive(Deserialize)]
    struct File {
        plugin: Head,
    }
    #[derive(Deserialize)]
    struct Head {
        name: String,
        language: Language,
    }
    let path = folder.join("plugin.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let File { plugin: Head { name, language } } =
        toml::from_str(&text).with_context(|| format!("{} is not as it must be", path.display()))?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        bail!("{}: `plugin.name` is {name:?}; use letters, digits, `_` and `-`", path.display());
    }
    Ok(Plugin { dist: dist.join(&name), folder, name, language })
}

impl Plugin {
    /// The component file that the host loads.
    pub fn component(&self) -> PathBuf {
        self.dist.join(format!("{}.wasm", self.name))
    }

    /// Puts the component and its `plugin.toml` where the host finds them. A running host may be watching: files that
    /// did not change are not touched, and the others are swapped in whole.
    pub fn publish(&self, layout: &Layout, component: &Path) -> Result<()> {
        let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
        let manifest = fs::read(self.folder.join("plugin.toml"))?;
        fs::create_dir_all(&self.dist)?;
        let changed =
            [replace(&self.dist.join("plugin.toml"), &manifest)?, replace(&self.component(), &bytes)?];
        if changed.contains(&true) {
            let shown = self.component();
            let shown = shown.strip_prefix(&layout.root).unwrap_or(&shown);
            say(&format!("{}: {} ({} KB)", self.name, shown.display(), bytes.len() / 1000));
        }
        Ok(())
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let new = path.with_extension("new");
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(true)
}

// A component whose sources are gone would still be loaded.
fn prune(layout: &Layout, all: &[Plugin]) -> Result<()> {
    for dist in dist_folders(layout) {
        for entry in fs::read_dir(dist).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() && all.iter().all(|plugin| plugin.dist != path) {
                say(&format!("removing {}: its sources are gone", path.display()));
                fs::remove_dir_all(&path)?;
            }
        }
    }
    Ok(())
}
