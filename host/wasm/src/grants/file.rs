//! The grants file: what was granted and revoked on a running host, kept for later starts. A table in it stands for all that a
//! plugin is allowed; it counts before the configuration, and that before what is shipped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use apflow_core::error::{Error, ErrorCode, Result};
use serde_json::Value;

use super::{Capabilities, PluginPolicy, edit};

const HEAD: &str = "# What `apflow plugin grant` and `revoke` have changed. A table here stands for all that the plugin is allowed,\n\
     # whatever apflow.toml says; `apflow plugin revoke NAME --reset` removes it.\n";

type Rows = BTreeMap<String, Capabilities>;

/// The file and what is in it.
#[derive(Debug, Default)]
pub(crate) struct GrantsFile {
    path: Option<PathBuf>,
    rows: Mutex<Rows>,
}

impl GrantsFile {
    /// Reads the file at `path`; without one, changes last as long as the host.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn open(path: Option<PathBuf>) -> Result<Self> {
        let file = Self { path, rows: Mutex::default() };
        file.reread()?;
        Ok(file)
    }

    /// Reads it again: commands without a server change it, too.
    ///
    /// # Errors
    /// If it cannot be read; then what was read last counts.
    pub fn reread(&self) -> Result<()> {
        if let Some(path) = &self.path {
            *self.lock() = read(path)?;
        }
        Ok(())
    }

    /// What is said of `plugin`, if anything is.
    pub fn of(&self, plugin: &str) -> Option<Capabilities> {
        self.lock().get(plugin).cloned()
    }

    /// Says it of `plugin`, or nothing any more; writes the file first.
    ///
    /// # Errors
    /// If it cannot be written; then nothing has changed.
    pub fn put(&self, plugin: &str, allowed: Option<Capabilities>) -> Result<()> {
        let mut rows = self.lock();
        let mut next = rows.clone();
        match allowed {
            Some(allowed) => next.insert(plugin.to_owned(), allowed),
            None => next.remove(plugin),
        };
        if let Some(path) = &self.path {
            write(path, &next)?;
        }
        *rows = next;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to what `plugin` is allowed in the grants file at `path`, for a host that is not running or has not loaded the plugin
/// yet. `configured` are the tables of the configuration.
///
/// # Errors
/// If the file cannot be read or written, or `more` is not in the form of `[plugins.NAME.grants]`.
pub fn grant_in_file(
    path: &Path,
    plugin: &str,
    configured: &BTreeMap<String, PluginPolicy>,
    more: &Value,
) -> Result<()> {
    let file = GrantsFile::open(Some(path.to_owned()))?;
    let present = file.of(plugin).unwrap_or_else(|| PluginPolicy::of(plugin, configured).grants);
    let next = edit::add(&present, more)?;
    if next == present { Ok(()) } else { file.put(plugin, Some(next)) }
}

fn read(path: &Path) -> Result<Rows> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            failed(path, format!("line {line}: {}; correct or remove it", error.message().trim()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Rows::new()),
        Err(error) => Err(failed(path, error)),
    }
}

fn write(path: &Path, rows: &Rows) -> Result<()> {
    let text = toml::to_string(rows).map_err(|error| failed(path, error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(HEAD.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The rename, too, shall outlast a power loss: a revoked grant must not come back.
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| failed(path, error))
}

fn failed(path: &Path, problem: impl std::fmt::Display) -> Error {
    let message = format!("The grants file {}: {problem}", path.display());
    Error::new(ErrorCode::PluginError, message).with("path", path.display().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_put_is_there_for_the_next_one_who_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/grants.toml");
        let file = GrantsFile::open(Some(path.clone())).unwrap();
        let allowed: Capabilities = toml::from_str("system = true").unwrap();
        file.put("p", Some(allowed.clone())).unwrap();
        let other = GrantsFile::open(Some(path.clone())).unwrap();
        assert_eq!(other.of("p"), Some(allowed));
        other.put("p", None).unwrap();
        file.reread().unwrap();
        assert_eq!(file.of("p"), None);
        fs::write(&path, "[p]\nhtpp = []\n").unwrap();
        let error = file.reread().unwrap_err();
        assert!(error.message.contains("unknown field `htpp`") && error.message.contains("line "), "{error}");
    }

    #[test]
    fn a_first_change_begins_with_what_counts_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grants.toml");
        let more = json!({"private_network": ["127.0.0.1"]});
        grant_in_file(&path, "rest_executor", &BTreeMap::new(), &more).unwrap();
        let allowed = GrantsFile::open(Some(path)).unwrap().of("rest_executor").unwrap();
        assert_eq!((allowed.http.len(), allowed.private_network.len()), (2, 1));
    }
}
