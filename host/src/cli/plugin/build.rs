//! `apflow plugin build`: from a project to a component beside its `plugin.toml`. The other commands for authors build with
//! it, too, so that they never speak of an old component.

use std::path::{Path, PathBuf};

use apflow_toolchain::{Job, Project, ToolMissing, Tools, Workshop};
use serde_json::{Value, json};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};

/// Flags of `apflow plugin build`.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// Folder of the project
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Folder for the component and its plugin.toml [default: dist in DIR]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A component and where it came from.
#[derive(Debug)]
pub struct Built {
    /// The component; `plugin.toml` is beside it.
    pub component: PathBuf,
    /// `plugin.name`; empty for a lone component.
    pub name: String,
    /// `plugin.version`.
    pub version: String,
}

/// Runs the command.
pub fn run(args: &BuildArgs, output: Output) -> Result<Exit, Failure> {
    let Built { component, name, version } = project(&args.dir, args.out.as_deref())?;
    let size = std::fs::metadata(&component).map(|file| file.len()).unwrap_or_default();
    let built = json!({
        "name": name, "version": version, "component": component.display().to_string(), "size_bytes": size,
    });
    output.show(&built, |built: &Value| {
        format!(
            "{} {} is built: {} ({} bytes)",
            field(built, "name"),
            field(built, "version"),
            field(built, "component"),
            field(built, "size_bytes")
        )
    });
    Ok(Exit::Success)
}

/// The component that `path` is, has, or is built to.
pub fn component(path: &Path) -> Result<Built, Failure> {
    if path.is_file() {
        return Ok(Built { component: path.to_owned(), name: String::new(), version: String::new() });
    }
    let read = read(path)?;
    let component = path.join(format!("{}.wasm", read.name));
    if component.is_file() {
        return Ok(Built { component, name: read.name, version: read.version });
    }
    project(path, None)
}

fn read(folder: &Path) -> Result<Project, Failure> {
    Project::read(folder).map_err(|error| Failure::usage("bad_manifest", format!("{error:#}")))
}

/// Builds the project in `folder`. What the tools say goes to standard error as they say it.
fn project(folder: &Path, out: Option<&Path>) -> Result<Built, Failure> {
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::usage("invalid_params", format!("DIR {}: {error}", folder.display())))?;
    let project = read(&folder)?;
    let dist = out.map_or_else(|| folder.join("dist"), Path::to_owned);
    let (name, version) = (project.name.clone(), project.version.clone());
    let job = Job { project, dist };
    let built = tokio::task::block_in_place(|| {
        apflow_toolchain::build(&Workshop::find(say)?, &[&job], Tools::Needed)
    });
    match built {
        Ok(()) => Ok(Built { component: job.component(), name, version }),
        Err(error) if error.downcast_ref::<ToolMissing>().is_some() => {
            Err(Failure::missing("tool_missing", format!("{error:#}")))
        }
        Err(error) => Err(Failure::refused("build_failed", format!("{name} was not built: {error:#}"))),
    }
}

fn say(step: &str) {
    eprintln!("{step}");
}
