//! `apflow version`.

use serde_json::json;

use super::errors::{Exit, Failure};
use super::output::{Format, Output};

/// Flags of `apflow version`.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    #[command(flatten)]
    output: Output,
}

/// Prints the versions of the program and of the plugin contract.
pub fn run(args: &VersionArgs) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match args.output.format() {
        Format::Human | Format::Ids => println!("apflow {version}"),
        Format::Json => args.output.json(&json!({ "name": "apflow", "version": version })),
    }
    Ok(Exit::Success)
}
