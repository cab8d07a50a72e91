//! Whether a component built by a tool that cannot say so itself is up to date: a digest of all that goes into it is kept
//! beside it. And copies of sources for tools that write beside what they read.

use crate::build::Job;
use crate::project::Project;
use crate::{sdk, world};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const STAMP: &str = ".inputs";
// Neither what tools leave behind nor what never reaches a component.
const NOT_SOURCES: [&str; 8] =
    ["node_modules", "target", "dist", "__pycache__", "test", "tests", ".apflow", ".git"];

/// The digest of a project's sources, its SDK, the WIT, and `recipe`: whatever else the result depends on.
pub fn digest(project: &Project, recipe: &str) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(recipe);
    hasher.update(sdk::digest(project.language));
    for file in sources(&project.folder)? {
        let name = file.strip_prefix(&project.folder).unwrap_or(&file).to_string_lossy().into_owned();
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    Ok(hex(&hasher.finalize()))
}

/// The first 16 digits of the digest of some text: short enough for a folder's name.
pub fn short_digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()).split_at(16).0.to_owned()
}

/// Whether the published component was built from these inputs.
pub fn is_fresh(job: &Job, digest: &str) -> bool {
    job.component().is_file()
        && job.dist.join("plugin.toml").is_file()
        && fs::read_to_string(job.dist.join(STAMP)).is_ok_and(|stamp| stamp == digest)
}

/// Remembers, after it was published, what a component was built from.
pub fn remember(job: &Job, digest: &str) -> Result<()> {
    fs::write(job.dist.join(STAMP), digest).context("cannot write beside the component")
}

/// A name for a project's build folder; projects in different places may have the same name.
pub fn build_name(project: &Project) -> String {
    let place = project.folder.canonicalize().unwrap_or_else(|_| project.folder.clone());
    format!("{}-{}", project.name, &short_digest(&[&place.to_string_lossy()])[..8])
}

/// Copies a project's sources into an empty folder outside it, with its world and the WIT package that it builds on: the
/// tools write beside what they read, and some rewrite it.
pub fn copy_sources(project: &Project, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot clear {}", to.display()))?;
    }
    for file in sources(&project.folder)? {
        let copy = to.join(file.strip_prefix(&project.folder)?);
        fs::create_dir_all(copy.parent().context("a file has a folder")?)?;
        fs::copy(&file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    world::write(project, to)
}

/// The files of a folder that may reach a component, sorted.
pub fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_file() {
                files.push(path);
            } else if path.is_dir() && !NOT_SOURCES.contains(&name.as_str()) {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Kind, Language};
    use crate::workshop::Workshop;

    fn plugin() -> (tempfile::TempDir, Workshop, Job) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("p");
        fs::create_dir_all(folder.join("tests")).unwrap();
        fs::write(folder.join("app.py"), "x = 1").unwrap();
        fs::write(folder.join("plugin.toml"), "").unwrap();
        let project = Project {
            folder,
            name: "p".into(),
            version: "1".into(),
            language: Language::Python,
            kinds: vec![Kind::Executor],
            capabilities: vec!["http"],
        };
        let workshop = Workshop { cache: dir.path().join("cache"), say: |_| {} };
        let job = Job { project, dist: dir.path().join("dist/p") };
        (dir, workshop, job)
    }

    #[test]
    fn sources_and_recipe_count_and_tests_do_not() {
        let (_dir, _, Job { project, .. }) = plugin();
        let before = digest(&project, "1").unwrap();
        fs::write(project.folder.join("tests/test_app.py"), "pass").unwrap();
        assert_eq!(digest(&project, "1").unwrap(), before);
        assert_ne!(digest(&project, "2").unwrap(), before);
        fs::write(project.folder.join("app.py"), "x = 2").unwrap();
        assert_ne!(digest(&project, "1").unwrap(), before);
        let other = Project { language: Language::C, ..project };
        assert_ne!(digest(&other, "1").unwrap(), before, "another SDK");
    }

    #[test]
    fn fresh_is_what_was_published_from_the_same_inputs() {
        let (_dir, workshop, job) = plugin();
        let now = digest(&job.project, "1").unwrap();
        assert!(!is_fresh(&job, &now));
        job.publish(&workshop, b"component").unwrap();
        remember(&job, &now).unwrap();
        assert!(is_fresh(&job, &now));
        assert!(!is_fresh(&job, "other"));
        fs::remove_file(job.component()).unwrap();
        assert!(!is_fresh(&job, &now));
    }

    #[test]
    fn a_copy_holds_world_and_contract_beside_the_sources() {
        let (dir, _, job) = plugin();
        let to = dir.path().join("build/p");
        copy_sources(&job.project, &to).unwrap();
        fs::write(to.join("left-over"), "").unwrap();
        copy_sources(&job.project, &to).unwrap();
        assert!(to.join("app.py").is_file());
        assert!(to.join("wit/deps/apflow-plugin/types.wit").is_file());
        let world = fs::read_to_string(to.join("wit/world.wit")).unwrap();
        assert!(world.contains("import apflow:plugin/http@0.1.0;"), "{world}");
        assert!(!to.join("left-over").exists());
    }

    #[test]
    fn a_world_of_the_projects_own_is_kept() {
        let (dir, _, job) = plugin();
        fs::create_dir(job.project.folder.join("wit")).unwrap();
        fs::write(job.project.folder.join("wit/world.wit"), "package my:own;").unwrap();
        let to = dir.path().join("build/p");
        copy_sources(&job.project, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("wit/world.wit")).unwrap(), "package my:own;");
    }
}
