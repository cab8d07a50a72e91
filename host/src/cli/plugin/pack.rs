//! `apflow plugin pack`: one file to hand on, the same bytes for the same plugin.

use std::path::{Path, PathBuf};

use apflow_host::Config;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};
use super::build;

/// Flags of `apflow plugin pack`.
#[derive(Debug, clap::Args)]
pub struct PackArgs {
    /// Folder of a project (it is built) or of a built plugin
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// File to write [default: NAME-VERSION.apflow.tar in the working folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
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
    let info = checked.info;
    let out = args.out.clone().unwrap_or_else(|| format!("{}-{}.apflow.tar", info.name, info.version).into());
    let bytes = archive(&built.component, &info.name)
        .and_then(|bytes| std::fs::write(&out, &bytes).map(|()| bytes))
        .map_err(|error| Failure::refused("file_error", format!("{}: {error}", out.display())))?;
    let packed = json!({
        "name": info.name, "version": info.version, "file": out.display().to_string(),
        "size_bytes": bytes.len(), "component_sha256": info.digest,
    });
    output.show(&packed, |packed: &Value| {
        format!(
            "Packed {} {} into {} ({} bytes)",
            field(packed, "name"),
            field(packed, "version"),
            field(packed, "file"),
            field(packed, "size_bytes")
        )
    });
    Ok(Exit::Success)
}

/// `plugin.toml` and the component, without owner, time or anything else of the machine.
fn archive(component: &Path, name: &str) -> std::io::Result<Vec<u8>> {
    let parts = [
        ("plugin.toml".to_owned(), component.with_file_name("plugin.toml")),
        (format!("{name}.wasm"), component.into()),
    ];
    let mut tar = Builder::new(Vec::new());
    for (name, path) in parts {
        let bytes = std::fs::read(path)?;
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, bytes.as_slice())?;
    }
    tar.into_inner()
}
