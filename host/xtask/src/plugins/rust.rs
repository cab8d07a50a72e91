//! Plugins in Rust: cargo decides what is up to date, so it is always asked. All plugins of one workspace are built in
//! one go, because they share their dependencies.

use super::Plugin;
use crate::layout::Layout;
use crate::process::{line, read, say};
use crate::toolchain::{TARGET, Toolchain};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds and publishes the given plugins.
pub fn build(layout: &Layout, plugins: &[&Plugin]) -> Result<()> {
    if plugins.is_empty() {
        return Ok(());
    }
    let toolchain = Toolchain::find(layout)?;
    for (workspace, members) in by_workspace(layout, plugins)? {
        let shown = workspace.strip_prefix(&layout.root).unwrap_or(&workspace);
        let names: Vec<_> = members.iter().map(|plugin| plugin.name.as_str()).collect();
        say(&format!("cargo build --release --target {TARGET} in {}: {}", shown.display(), names.join(", ")));
        let components = compile(toolchain.cargo(layout), &workspace, &members)?;
        for plugin in members {
            let manifest = plugin.folder.join("Cargo.toml");
            let component = components.get(&manifest).with_context(|| {
                format!(
                    "{} gave no component; its library needs `crate-type = [\"cdylib\"]`",
                    manifest.display()
                )
            })?;
            plugin.publish(layout, component)?;
        }
    }
    Ok(())
}

/// The workspaces of the given plugins, each with its members among them.
pub fn by_workspace<'a>(
    layout: &Layout,
    plugins: &[&'a Plugin],
) -> Result<BTreeMap<PathBuf, Vec<&'a Plugin>>> {
    let mut workspaces: BTreeMap<PathBuf, Vec<&Plugin>> = BTreeMap::new();
    for plugin in plugins {
        let mut locate = layout.cargo();
        locate.args(["locate-project", "--workspace", "--message-format", "plain", "--manifest-path"]);
        let manifest = read(locate.arg(plugin.folder.join("Cargo.toml")))
            .with_context(|| format!("cargo cannot read the manifest in {}", plugin.folder.display()))?;
        let root = Path::new(&manifest).parent().context("a manifest is in a folder")?.to_owned();
        workspaces.entry(root).or_default().push(plugin);
    }
    Ok(workspaces)
}

// Gives the component of each manifest, in cargo's own words, so that no file name is guessed.
fn compile(mut cargo: Command, workspace: &Path, members: &[&Plugin]) -> Result<BTreeMap<PathBuf, PathBuf>> {
    cargo.args(["build", "--release", "--quiet", "--target", TARGET, "--lib"]);
    cargo
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"));
    for plugin in members {
        cargo.arg("--package").arg(package_name(&plugin.folder)?);
    }
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = BufReader::new(child.stdout.take().context("cargo's output is piped")?);
    let mut components = BTreeMap::new();
    for message in output.lines() {
        if let Some((manifest, component)) = component_of(&message?) {
            components.insert(manifest, component);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} ended with {status}", line(&cargo));
    }
    Ok(components)
}

fn component_of(message: &str) -> Option<(PathBuf, PathBuf)> {
    #[derive(Deserialize)]
    struct Artifact {
        reason: String,
        manifest_path: PathBuf,
        filenames: Vec<PathBuf>,
    }
    let artifact: Artifact = serde_json::from_str(message).ok()?;
    let component =
        artifact.filenames.into_iter().find(|file| file.extension().is_some_and(|ext| ext == "wasm"))?;
    (artifact.reason == "compiler-artifact").then_some((artifact.manifest_path, component))
}

/// The name of the package in a plugin's folder.
pub fn package_name(folder: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct File {
        package: Head,
    }
    #[derive(Deserialize)]
    struct Head {
        name: String,
    }
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: File =
        toml::from_str(&text).with_context(|| format!("{} is not as it must be", path.display()))?;
    Ok(file.package.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_artifact_with_a_component_counts() {
        let artifact = r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","target":{"kind":["cdylib"]},
            "filenames":["/t/p.rlib","/t/p.wasm"]}"#;
        assert_eq!(component_of(artifact), Some(("/p/Cargo.toml".into(), "/t/p.wasm".into())));
        assert_eq!(component_of(&artifact.replace("/t/p.wasm", "/t/p.rmeta")), None);
        assert_eq!(component_of(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(component_of("not JSON"), None);
    }
}
