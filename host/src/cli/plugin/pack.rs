//! `apflow plugin pack`: one file to hand on, the same bytes for the same plugin; what `apflow plugin install` takes.

use std::path::{Path, PathBuf};

use apflow_host::Config;
use apflow_packages::archive;
use serde_json::{Value, json};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};
use super::build;

/// Flags of `apflow plugin pack`.
#[derive(Debug, clap::Args)]
pub struct PackArgs {
    /// Folder of a project (it is built) or of a built plugin
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// File to write, or folder for it [default: NAME-VERSION.tar in the working folder]
    #[arg(long, value_name = "FILE", default_value = ".", hide_default_value = true)]
    out: PathBuf,
}

/// Runs the command.
pub async fn run(args: &PackArgs, config: &Config, output: Output) -> Result<Exit, Failure> {
    let built = build::component(&args.dir)?;
    let checked = apflow_host::check_plugin(config, &built.component).await?;
    if let Some(first) = checked.problems.first() {
        let more = checked.problems.len() - 1;
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let message = format!("it is not packed: {}{more}; see `apflow plugin check`", first.message);
        return Err(Failure::refused(first.code, message));
    }
    let folder = built.component.parent().unwrap_or(Path::new("."));
    let packed = archive::pack(folder, &args.out)?;
    let packed = json!({
        "name": packed.name, "version": packed.version, "file": packed.path.display().to_string(),
        "size_bytes": packed.size_bytes, "sha256": packed.sha256,
    });
    output.show(&packed, |packed: &Value| {
        format!(
            "Packed {} {} into {} ({} bytes, SHA-256 {})",
            field(packed, "name"),
            field(packed, "version"),
            field(packed, "file"),
            field(packed, "size_bytes"),
            field(packed, "sha256")
        )
    });
    Ok(Exit::Success)
}
