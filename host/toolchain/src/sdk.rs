//! The SDKs as a project sees them. They are laid into `.apflow` of the project, in the version of the program: so a
//! project builds with its language's own tools, too, and a new version of the program brings its SDK with it.

use crate::embedded;
use crate::project::Language;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where SDKs are laid in a project; `.gitignore` of every template has it.
pub const FOLDER: &str = ".apflow";

/// Writes the SDK of a language and the contract into `folder`, as `sdk/<language>` and `wit/v0.1`, and gives the SDK's
/// place. What is there in this version is not touched.
///
/// # Errors
/// If a file cannot be written.
pub fn lay(language: Language, folder: &Path) -> Result<PathBuf> {
    let to = folder.join("sdk").join(language.sdk());
    let from = format!("sdk/{}/", language.sdk());
    for (path, bytes) in embedded::below(&from) {
        if path == "Cargo.toml" {
            embedded::put(&to.join(path), manifest(bytes)?.as_bytes())?;
        } else {
            embedded::put(&to.join(path), bytes)?;
        }
    }
    embedded::lay("wit/v0.1/", &folder.join("wit/v0.1"))?;
    Ok(to)
}

/// The digest of what builds in a language depend on besides the project: SDK and contract.
pub(crate) fn digest(language: Language) -> String {
    let mut hasher = Sha256::new();
    let sdk = format!("sdk/{}/", language.sdk());
    for (path, bytes) in embedded::below(&sdk).chain(embedded::below("wit/v0.1/")) {
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    crate::freshness::hex(&hasher.finalize())
}

/// The manifest of the Rust SDK, with what it inherits from this repository's workspace written out.
fn manifest(bytes: &[u8]) -> Result<String> {
    let read = |text: &str| toml::from_str::<Table>(text).context("an embedded manifest is not TOML");
    let mut own = read(std::str::from_utf8(bytes)?)?;
    let root = read(embedded::text("Cargo.toml").context("the workspace's manifest is not embedded")?)?;
    let inherited = |table: &str, key: &str| root.get("workspace")?.get(table)?.get(key).cloned();
    for (table, source) in
        [("package", "package"), ("dependencies", "dependencies"), ("dev-dependencies", "dependencies")]
    {
        let Some(Value::Table(entries)) = own.get_mut(table) else { continue };
        for (key, value) in entries.iter_mut() {
            if value.get("workspace") == Some(&Value::Boolean(true)) {
                *value = inherited(source, key)
                    .with_context(|| format!("the workspace has no `{key}` that the SDK could inherit"))?;
            }
        }
    }
    // The project's own lints are what its author looks at.
    own.remove("lints");
    Ok(toml::to_string(&own)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rust_sdk_stands_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let sdk = lay(Language::Rust, dir.path()).unwrap();
        let text = std::fs::read_to_string(sdk.join("Cargo.toml")).unwrap();
        assert!(!text.contains("workspace"), "{text}");
        assert!(text.contains("schemars") && text.contains("edition = \"2024\""), "{text}");
        assert!(dir.path().join("wit/v0.1/types.wit").is_file());
        let before = std::fs::metadata(sdk.join("Cargo.toml")).unwrap().modified().unwrap();
        lay(Language::Rust, dir.path()).unwrap();
        assert_eq!(std::fs::metadata(sdk.join("Cargo.toml")).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn every_language_has_a_digest_of_its_own() {
        assert_ne!(digest(Language::Rust), digest(Language::Python));
        assert_eq!(digest(Language::JavaScript), digest(Language::TypeScript));
    }
}
