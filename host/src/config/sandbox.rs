//! `[sandbox]`: where plugins are found, where their compiled code is kept, and what every call may use at most. What
//! a single plugin is allowed beyond that is `[plugins.NAME]`.

use std::path::{Path, PathBuf};

use apflow_core::error::Result;
use apflow_wasm::limits::Limits;
use serde::{Deserialize, Serialize};

use super::{DatabaseConfig, wrong};

/// `[sandbox]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Folders with plugins, each a folder with `plugin.toml` and its component; later ones win. Empty means the
    /// usual places: see [`SandboxConfig::folders_or_default`].
    pub folders: Vec<PathBuf>,
    /// Whether the plugins inside the binary are loaded, where it carries any; those in folders win over them.
    pub bundled: bool,
    /// Folder of compiled components; empty means `$XDG_CACHE_HOME/apflow/components` or
    /// `~/.cache/apflow/components`.
    pub cache: PathBuf,
    /// Whether changed files are loaded while the host runs.
    pub watch: bool,
    /// Instances of components at the same time, of all plugins together.
    pub max_instances: u32,
    /// File of grants that `apflow plugin grant` and `revoke` change; empty means `grants.toml` in the state folder (see
    /// [`SandboxConfig::state_folder`]).
    pub grants_file: PathBuf,
    /// Folder of versions that have served; empty means `versions` in the state folder.
    pub versions_folder: PathBuf,
    /// Versions of a plugin that are kept there.
    pub keep_versions: u32,
    /// When a version that has replaced another is rolled back by itself.
    pub rollback: RollbackConfig,
    /// Limits of every call.
    pub limits: Limits,
}

/// `[sandbox.rollback]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackConfig {
    /// The first calls of a version that has replaced another; 0 turns it off.
    pub calls: u32,
    /// The share of them, from 0 to 1, that the plugin may fail by its own fault.
    pub threshold: f64,
}

impl Default for RollbackConfig {
    fn default() -> Self {
        Self { calls: 20, threshold: 0.5 }
    }
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            folders: Vec::new(),
            bundled: true,
            cache: PathBuf::new(),
            watch: true,
            max_instances: 1000,
            grants_file: PathBuf::new(),
            versions_folder: PathBuf::new(),
            keep_versions: 5,
            rollback: RollbackConfig::default(),
            limits: Limits::default(),
        }
    }
}

impl SandboxConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=100_000).contains(&self.max_instances) {
            return Err(wrong("sandbox.max_instances", self.max_instances, "it must be 1 to 100000"));
        }
        if !(1..=100).contains(&self.keep_versions) {
            return Err(wrong("sandbox.keep_versions", self.keep_versions, "it must be 1 to 100"));
        }
        let threshold = self.rollback.threshold;
        if !(0.0..=1.0).contains(&threshold) {
            return Err(wrong("sandbox.rollback.threshold", threshold, "it must be 0 to 1"));
        }
        Ok(())
    }

    /// Where state about plugins lies if nothing else is said: beside the database file, in `.apflow` for a database on a
    /// server, nowhere for one in memory.
    pub fn state_folder(database: &DatabaseConfig) -> Option<PathBuf> {
        match database.file() {
            Some(file) => Some(file.parent().map(Path::to_path_buf).unwrap_or_default()),
            None => database.is_server().then(|| PathBuf::from(".apflow")),
        }
    }

    /// The grants file; none if changes last as long as the host.
    pub fn grants_file_or_default(&self, database: &DatabaseConfig) -> Option<PathBuf> {
        named(&self.grants_file).or_else(|| Some(Self::state_folder(database)?.join("grants.toml")))
    }

    /// The folder of versions; none if they are kept only as long as the host.
    pub fn versions_folder_or_default(&self, database: &DatabaseConfig) -> Option<PathBuf> {
        named(&self.versions_folder).or_else(|| Some(Self::state_folder(database)?.join("versions")))
    }

    /// The folders that are configured, else those of the usual places that exist: `plugins/dist` in the working
    /// folder (a checkout with built plugins) and `plugins` beside the program (an installation).
    pub fn folders_or_default(&self, working_folder: &Path) -> Vec<PathBuf> {
        if !self.folders.is_empty() {
            return self.folders.clone();
        }
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("plugins")));
        let usual = [beside, Some(working_folder.join("plugins/dist"))];
        usual.into_iter().flatten().filter(|folder| folder.is_dir()).collect()
    }

    /// The cache folder; none if there is neither a setting nor a home folder, and then nothing is kept.
    pub(crate) fn cache_or_default(&self, home: &Home) -> Option<PathBuf> {
        if !self.cache.as_os_str().is_empty() {
            return Some(self.cache.clone());
        }
        let base = home.cache.clone().or_else(|| Some(home.home.clone()?.join(".cache")))?;
        Some(base.join("apflow/components"))
    }
}

fn named(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

/// The user's folders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Home {
    /// `XDG_CACHE_HOME`.
    pub cache: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl Home {
    /// Asks the process environment.
    pub fn find() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { cache, home: std::env::home_dir().filter(|path| !path.as_os_str().is_empty()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_lies_in_the_users_cache_folder() {
        let config = SandboxConfig::default();
        let home = Home { cache: Some("/x".into()), home: Some("/h".into()) };
        assert_eq!(config.cache_or_default(&home), Some("/x/apflow/components".into()));
        let home = Home { cache: None, ..home };
        assert_eq!(config.cache_or_default(&home), Some("/h/.cache/apflow/components".into()));
        assert_eq!(config.cache_or_default(&Home::default()), None);
        let config = SandboxConfig { cache: "/own".into(), ..config };
        assert_eq!(config.cache_or_default(&Home::default()), Some("/own".into()));
    }

    #[test]
    fn state_lies_beside_the_database() {
        let config = SandboxConfig::default();
        let database = |url: &str| DatabaseConfig { url: url.into(), ..DatabaseConfig::default() };
        for (url, file) in [
            ("sqlite:.apflow/apflow.db", Some(".apflow/grants.toml")),
            ("sqlite:/srv/apflow.db", Some("/srv/grants.toml")),
            ("postgres://a@b/c", Some(".apflow/grants.toml")),
            ("sqlite::memory:", None),
        ] {
            assert_eq!(config.grants_file_or_default(&database(url)), file.map(PathBuf::from), "{url}");
        }
        let config = SandboxConfig { grants_file: "/own.toml".into(), ..config };
        assert_eq!(config.grants_file_or_default(&database("sqlite::memory:")), Some("/own.toml".into()));
    }

    #[test]
    fn folders_that_are_named_replace_the_usual_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("plugins/dist")).unwrap();
        let config = SandboxConfig::default();
        assert!(config.folders_or_default(folder.path()).contains(&folder.path().join("plugins/dist")));
        let config = SandboxConfig { folders: vec!["mine".into()], ..config };
        assert_eq!(config.folders_or_default(folder.path()), [PathBuf::from("mine")]);
    }
}
