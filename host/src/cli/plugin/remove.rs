//! `apflow plugin remove`.

use std::path::PathBuf;

use serde_json::json;

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};
use super::super::target::TargetArgs;
use super::site::Site;

/// Flags of `apflow plugin remove`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
    /// Plugins folder [default: the last one that plugins are loaded from]
    #[arg(long, value_name = "PLUGINS")]
    dir: Option<PathBuf>,
}

/// Runs the command. What the plugin is allowed stays as it is.
pub fn run(args: &RemoveArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let site = Site::open(target, args.dir.as_deref())?;
    let entry = site.folder.remove(&args.name)?;
    let answer = json!({ "name": entry.name, "version": entry.version, "folder": site.folder.path() });
    output.show(&answer, |answer| {
        let [name, version, folder] = ["name", "version", "folder"].map(|part| field(answer, part));
        format!("Removed {name} {version} from {folder}")
    });
    Ok(Exit::Success)
}
