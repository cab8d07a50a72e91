//! Writes the list of files that `src/embedded.rs` includes: the SDKs, their templates and the WIT files, so that the
//! program can lay them out on a machine without this repository.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Neither what tools leave behind nor what authors have no use for.
const LEFT_OUT: [&str; 5] = ["node_modules", "target", "dist", "__pycache__", ".apflow"];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..");
    let mut files = vec![root.join("Cargo.toml")];
    for folder in ["sdk", "wit/v0.1"] {
        if let Err(error) = walk(&root.join(folder), &mut files) {
            println!("cargo::error={folder} cannot be read: {error}");
        }
    }
    files.sort();
    println!("cargo::rerun-if-changed=build.rs");
    let mut text = String::from("&[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let path = file.display().to_string();
        let _ = writeln!(text, "    ({name:?}, include_bytes!({path:?})),");
    }
    text.push_str("]\n");
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs");
    if let Err(error) = fs::write(&target, text) {
        println!("cargo::error=cannot write {}: {error}", target.display());
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    // A new file changes its folder.
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !LEFT_OUT.contains(&name.as_str()) {
            walk(&path, files)?;
        } else if path.is_file() && !name.ends_with(".pyc") {
            files.push(path);
        }
    }
    Ok(())
}
