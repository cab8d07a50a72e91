//! Plugins in Rust: cargo decides what is up to date, so it is always asked. All plugins of one workspace are built in
//! one go, because they share their dependencies.

use crate::build::Job;
use crate::process::{line, read};
use crate::project::Project;
use crate::rust_target::{RustTarget, TARGET};
use crate::sdk;
use crate::workshop::Workshop;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds and publishes the given plugins.
pub(crate) fn build(workshop: &Workshop, jobs: &[&Job]) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    for job in jobs {
        renew_sdk(&job.project)?;
    }
    let target = RustTarget::find(workshop)?;
    let projects: Vec<&Project> = jobs.iter().map(|job| &job.project).collect();
    for (workspace, members) in by_workspace(&projects)? {
        let names: Vec<_> = members.iter().map(|project| project.name.as_str()).collect();
        let (shown, names) = (workspace.display(), names.join(", "));
        workshop.say(&format!("cargo build --release --target {TARGET} in {shown}: {names}"));
        let components = compile(target.cargo(workshop), &workspace, &members)?;
        let built = jobs.iter().filter(|job| members.iter().any(|one| one.folder == job.project.folder));
        for job in built {
            let manifest = job.project.folder.join("Cargo.toml").canonicalize()?;
            let component = components.get(&manifest).with_context(|| {
                format!(
                    "{} gave no component; its library needs `crate-type = [\"cdylib\"]`",
                    manifest.display()
                )
            })?;
            let bytes =
                fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
            job.publish(workshop, &bytes)?;
        }
    }
    Ok(())
}

/// A project that has the SDK laid into it gets that of this version.
fn renew_sdk(project: &Project) -> Result<()> {
    let manifest = fs::read_to_string(project.folder.join("Cargo.toml")).unwrap_or_default();
    if manifest.contains(&format!("{}/sdk/", sdk::FOLDER)) {
        sdk::lay(project.language, &project.folder.join(sdk::FOLDER))?;
    }
    Ok(())
}

/// The workspaces of the given plugins, each with its members among them.
///
/// # Errors
/// If cargo cannot read a manifest.
pub fn by_workspace<'a>(projects: &[&'a Project]) -> Result<BTreeMap<PathBuf, Vec<&'a Project>>> {
    let mut workspaces: BTreeMap<PathBuf, Vec<&Project>> = BTreeMap::new();
    for project in projects {
        let mut locate = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        locate.args(["locate-project", "--workspace", "--message-format", "plain", "--manifest-path"]);
        let manifest = read(locate.arg(project.folder.join("Cargo.toml")))
            .with_context(|| format!("cargo cannot read the manifest in {}", project.folder.display()))?;
        let root = Path::new(&manifest).parent().context("a manifest is in a folder")?.to_owned();
        workspaces.entry(root).or_default().push(project);
    }
    Ok(workspaces)
}

// Gives the component of each manifest, in cargo's own words, so that no file name is guessed.
fn compile(mut cargo: Command, workspace: &Path, members: &[&Project]) -> Result<BTreeMap<PathBuf, PathBuf>> {
    cargo.args(["build", "--release", "--quiet", "--target", TARGET, "--lib"]);
    cargo
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"));
    for project in members {
        cargo.arg("--package").arg(package_name(&project.folder)?);
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
        // What is wrong, and where, the compiler has said.
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
///
/// # Errors
/// If its `Cargo.toml` cannot be read.
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
