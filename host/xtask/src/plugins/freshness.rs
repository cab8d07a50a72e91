//! Whether a component built by a tool that cannot say so itself (JavaScript, Python) is up to date: a digest of all
//! that goes into it is kept beside it.

use super::Plugin;
use crate::layout::Layout;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const STAMP: &str = ".inputs";
// Neither what tools leave behind nor what never reaches a component.
const NOT_SOURCES: [&str; 6] = ["node_modules", "target", "dist", "__pycache__", "test", "tests"];

/// The digest of a plugin's sources, the WIT, and `recipe`: whatever else the result depends on.
pub fn digest(layout: &Layout, plugin: &Plugin, recipe: &str) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(recipe);
    for folder in [plugin.folder.clone(), layout.root.join("wit/v0.1")] {
        for file in sources(&folder)? {
            let name = file.strip_prefix(&folder).unwrap_or(&file).to_string_lossy().into_owned();
            let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
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
pub fn is_fresh(plugin: &Plugin, digest: &str) -> bool {
    plugin.component().is_file()
        && plugin.dist.join("plugin.toml").is_file()
        && fs::read_to_string(plugin.dist.join(STAMP)).is_ok_and(|stamp| stamp == digest)
}

/// Remembers, after it was published, what a component was built from.
pub fn remember(plugin: &Plugin, digest: &str) -> Result<()> {
    fs::write(plugin.dist.join(STAMP), digest).context("cannot write beside the component")
}

/// Copies a plugin's sources and the WIT package it builds on into an empty folder outside the checkout: the tools
/// write beside what they read, and some rewrite it.
pub fn copy_sources(layout: &Layout, plugin: &Plugin, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot clear {}", to.display()))?;
    }
    for (from, to) in [
        (plugin.folder.clone(), to.to_owned()),
        (layout.root.join("wit/v0.1"), to.join("wit/deps/apflow-plugin")),
    ] {
        for file in sources(&from)? {
            let copy = to.join(file.strip_prefix(&from)?);
            fs::create_dir_all(copy.parent().context("a file has a folder")?)?;
            fs::copy(&file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(())
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_file() {
                files.push(path);
            } else if !NOT_SOURCES.contains(&name.as_str()) {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Language;

    fn checkout() -> (tempfile::TempDir, Layout, Plugin) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        fs::create_dir_all(root.join("wit/v0.1")).unwrap();
        fs::create_dir_all(root.join("plugins/p/tests")).unwrap();
        fs::write(root.join("wit/v0.1/types.wit"), "package a:b;").unwrap();
        fs::write(root.join("plugins/p/app.py"), "x = 1").unwrap();
        let plugin = Plugin {
            folder: root.join("plugins/p"),
            dist: root.join("plugins/dist/p"),
            name: "p".to_owned(),
            language: Language::Python,
        };
        let layout = Layout { cache: root.join("cache"), target: root.join("target"), root };
        (dir, layout, plugin)
    }

    #[test]
    fn sources_wit_and_recipe_count_and_tests_do_not() {
        let (_dir, layout, plugin) = checkout();
        let before = digest(&layout, &plugin, "1").unwrap();
        fs::write(plugin.folder.join("tests/test_app.py"), "pass").unwrap();
        assert_eq!(digest(&layout, &plugin, "1").unwrap(), before);
        assert_ne!(digest(&layout, &plugin, "2").unwrap(), before);
        fs::write(plugin.folder.join("app.py"), "x = 2").unwrap();
        let edited = digest(&layout, &plugin, "1").unwrap();
        assert_ne!(edited, before);
        fs::write(layout.root.join("wit/v0.1/types.wit"), "package a:c;").unwrap();
        assert_ne!(digest(&layout, &plugin, "1").unwrap(), edited);
    }

    #[test]
    fn fresh_is_what_was_published_from_the_same_inputs() {
        let (dir, layout, plugin) = checkout();
        fs::write(plugin.folder.join("plugin.toml"), "").unwrap();
        let now = digest(&layout, &plugin, "1").unwrap();
        assert!(!is_fresh(&plugin, &now));
        let built = dir.path().join("built.wasm");
        fs::write(&built, "component").unwrap();
        plugin.publish(&layout, &built).unwrap();
        remember(&plugin, &now).unwrap();
        assert!(is_fresh(&plugin, &now));
        assert!(!is_fresh(&plugin, "other"));
        fs::remove_file(plugin.component()).unwrap();
        assert!(!is_fresh(&plugin, &now));
    }

    #[test]
    fn a_copy_holds_the_wit_beside_the_sources() {
        let (dir, layout, plugin) = checkout();
        let to = dir.path().join("build/p");
        copy_sources(&layout, &plugin, &to).unwrap();
        fs::write(to.join("left-over"), "").unwrap();
        copy_sources(&layout, &plugin, &to).unwrap();
        assert!(to.join("app.py").is_file());
        assert!(to.join("wit/deps/apflow-plugin/types.wit").is_file());
        assert!(!to.join("left-over").exists());
    }
}
