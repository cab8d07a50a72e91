//! The files that the program carries: SDKs, templates and WIT, as they were when it was compiled.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Path in the repository, and content; sorted by path.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below a folder (with its `/`), their paths relative to it.
pub fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> + '_ {
    FILES.iter().filter_map(move |(path, bytes)| Some((path.strip_prefix(folder)?, *bytes)))
}

/// The text of one file.
pub fn text(path: &str) -> Option<&'static str> {
    let (_, bytes) = FILES.iter().find(|(name, _)| *name == path)?;
    std::str::from_utf8(bytes).ok()
}

/// Writes the files below a folder into `to`; what is there in the same form is not touched.
pub fn lay(folder: &str, to: &Path) -> Result<()> {
    for (path, bytes) in below(folder) {
        put(&to.join(path), bytes)?;
    }
    Ok(())
}

/// Writes one file, with its folder, unless it is there already.
pub fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_and_the_sdks_are_inside() {
        assert!(text("wit/v0.1/types.wit").is_some_and(|text| text.starts_with("package apflow:plugin@")));
        assert!(below("sdk/rust/").any(|(path, _)| path == "src/lib.rs"));
    }
}
