//! With the feature `bundled`: writes the list of shipped plugins, taken from `plugins/dist`, which `src/bundled.rs`
//! includes. Plugins are built beforehand by `cargo xtask plugins`, never from here.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_none() {
        return;
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../plugins/dist");
    println!("cargo::rerun-if-changed={}", root.display());
    match list(&root) {
        Ok(text) => {
            let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("bundled.rs");
            if let Err(error) = fs::write(&target, text) {
                println!("cargo::error=cannot write {}: {error}", target.display());
            }
        }
        Err(problem) => println!(
            "cargo::error=the feature `bundled` puts the built plugins inside the binary, but {problem}. Build them \
             first: cargo xtask plugins"
        ),
    }
}

/// Rust code: a slice of `BundledPlugin`, by name.
fn list(root: &Path) -> Result<String, String> {
    let entries = fs::read_dir(root).map_err(|error| format!("plugins/dist cannot be read ({error})"))?;
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("plugin.toml").is_file())
        .collect();
    folders.sort();
    if folders.is_empty() {
        return Err("plugins/dist holds no plugin".into());
    }
    let mut text = String::from("&[\n");
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (manifest, component) = (folder.join("plugin.toml"), folder.join(format!("{name}.wasm")));
        for file in [&manifest, &component] {
            if !file.is_file() {
                return Err(format!(
                    "plugins/dist/{name} has no {}",
                    file.file_name().unwrap_or_default().display()
                ));
            }
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let (manifest, component) = (manifest.display().to_string(), component.display().to_string());
        let _ = writeln!(
            text,
            "    BundledPlugin {{ name: {name:?}, manifest: include_str!({manifest:?}), component: include_bytes!({component:?}) }},"
        );
    }
    text.push_str("]\n");
    Ok(text)
}
