//! From projects to components in the form that the host loads: `<dist>/<name>.wasm` beside `plugin.toml`. How a component
//! is built is in the file of its language; here is what they share.

use crate::project::{Language, Project};
use crate::workshop::Workshop;
use crate::{c, javascript, python, rust};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// A project and the folder that its component goes into.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is built.
    pub project: Project,
    /// Where `<name>.wasm` and `plugin.toml` are put.
    pub dist: PathBuf,
}

/// What to do where a language's tools are missing and cannot be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tools {
    /// That is an error: [`ToolMissing`](crate::ToolMissing).
    Needed,
    /// Its plugins are left out, with one line.
    LeaveOut,
}

/// Builds and publishes all of them; what is up to date costs next to nothing.
///
/// # Errors
/// Everything that went wrong. One that does not build is no reason to leave the other languages' plugins old.
pub fn build(workshop: &Workshop, jobs: &[&Job], tools: Tools) -> Result<()> {
    let of = |languages: &[Language]| -> Vec<&Job> {
        jobs.iter().copied().filter(|job| languages.contains(&job.project.language)).collect()
    };
    let results = [
        rust::build(workshop, &of(&[Language::Rust])),
        javascript::build(workshop, &of(&[Language::JavaScript, Language::TypeScript]), tools),
        python::build(workshop, &of(&[Language::Python]), tools),
        c::build(workshop, &of(&[Language::C]), tools),
    ];
    let mut errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    if errors.len() == 1 {
        return Err(errors.remove(0));
    }
    if !errors.is_empty() {
        let errors: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
        bail!("{}", errors.join("\n"));
    }
    Ok(())
}

/// Fetches the tools of all languages whose own tools (node, python3) are there, so that later builds do not have to.
///
/// # Errors
/// What npm or pip say.
pub fn fetch_tools(workshop: &Workshop) -> Result<()> {
    if javascript::is_here() {
        javascript::install(workshop)?;
    }
    if python::is_here() {
        python::install(workshop, python::CACHE, python::REQUIREMENTS)?;
        python::install(workshop, c::CACHE, c::REQUIREMENTS)?;
    }
    Ok(())
}

/// Whether the tools of a language are there; if not, and that may be, says which plugins are left out.
pub(crate) fn has_tools(
    workshop: &Workshop,
    jobs: &[&Job],
    here: Result<(), crate::ToolMissing>,
    tools: Tools,
) -> Result<bool> {
    match here {
        Ok(()) => Ok(true),
        Err(missing) if tools == Tools::LeaveOut => {
            let names: Vec<_> = jobs.iter().map(|job| job.project.name.as_str()).collect();
            workshop.say(&format!("left out {}: {missing}", names.join(", ")));
            Ok(false)
        }
        Err(missing) => Err(missing.into()),
    }
}

impl Job {
    /// The component file that the host loads.
    pub fn component(&self) -> PathBuf {
        self.dist.join(format!("{}.wasm", self.project.name))
    }

    /// Puts the component and its `plugin.toml` where the host finds them. A running host may be watching: files that
    /// did not change are not touched, and the others are swapped in whole.
    pub(crate) fn publish(&self, workshop: &Workshop, component: &[u8]) -> Result<()> {
        let manifest = fs::read(self.project.folder.join("plugin.toml"))?;
        fs::create_dir_all(&self.dist).with_context(|| format!("cannot make {}", self.dist.display()))?;
        let changed =
            [replace(&self.dist.join("plugin.toml"), &manifest)?, replace(&self.component(), component)?];
        if changed.contains(&true) {
            let (name, kb) = (&self.project.name, component.len() / 1000);
            workshop.say(&format!("{name}: {} ({kb} KB)", self.component().display()));
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
