//! `plugins.lock`: what is installed in a plugins folder, where it came from, and what was approved. Written by the commands
//! that install; read by them and by listings, which compare it with the files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{PackageError, Result};
use crate::folder::write_whole;

/// The file's name.
pub(crate) const FILE: &str = "plugins.lock";
const FORMAT: u32 = 1;
const HEAD: &str =
    "# Written by `apflow plugin install`, `update` and `remove`. Keep it beside the plugins.\n";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Of the file's form.
    version: u32,
    /// By name.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<Locked>,
}

/// One installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// `plugin.name`.
    pub name: String,
    /// `plugin.version`.
    pub version: String,
    /// Where it came from, as it was given; an update looks there again.
    pub source: String,
    /// SHA-256 of the component in hex.
    pub component_sha256: String,
    /// SHA-256 of `plugin.toml` in hex.
    pub manifest_sha256: String,
    /// The id of the key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// When (RFC 3339).
    pub installed_at: String,
    /// What it asks for, as it was approved.
    #[serde(default)]
    pub approved: toml::Table,
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: FORMAT, plugins: Vec::new() }
    }
}

impl Lock {
    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&Locked> {
        self.plugins.iter().find(|one| one.name == name)
    }

    pub(crate) fn put(&mut self, entry: Locked) {
        self.plugins.retain(|one| one.name != entry.name);
        self.plugins.push(entry);
        self.plugins.sort_by(|a, b| a.name.cmp(&b.name));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.plugins.retain(|one| one.name != name);
    }

    /// Reads the lock of a plugins folder; empty if there is none.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(PackageError::file(&path, error)),
        };
        let lock: Self = toml::from_str(&text).map_err(|error| PackageError::file(&path, error.message()))?;
        if lock.version != FORMAT {
            let problem =
                format!("version = {} is not known here; use the apflow that wrote it", lock.version);
            return Err(PackageError::file(&path, problem));
        }
        Ok(lock)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let text = toml::to_string(self).map_err(|error| PackageError::file(&path, error))?;
        write_whole(&path, format!("{HEAD}{text}").as_bytes())
    }
}
