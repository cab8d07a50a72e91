//! `cargo xtask toolchain`: which Rust compiler builds guests, as lines that a shell can source.

use crate::layout::Layout;
use crate::process::say;
use anyhow::Result;
use apflow_toolchain::{RustTarget, TARGET};

/// The command.
pub fn print(layout: &Layout) -> Result<()> {
    let target = RustTarget::find(&layout.workshop())?;
    match &target {
        RustTarget::Installed => say(&format!("the Rust in use has {TARGET}")),
        RustTarget::Unpacked(dir) => say(&format!("guests are built with the compiler in {}", dir.display())),
    }
    println!("export CARGO_TARGET_DIR='{}'", layout.workshop().guest_target().display());
    for (name, value) in target.environment() {
        println!("export {name}='{}'", value.display());
    }
    Ok(())
}
