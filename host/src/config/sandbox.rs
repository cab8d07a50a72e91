//! `[sandbox]`: where plugins are found, where their compiled code is kept, and what every call may use at most. What
//! a single plugin is allowed beyond that is `[plugins.NAME]`.

use std::path::{Path, PathBuf};

use apflow_core::error::Result;
use apflow_wasm::limits::Limits;
use serde::{Deserialize, Serialize};

use super::wrong;

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
    /// Limits of every call.
    pub limits: Limits,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            folders: Vec::new(),
            bundled: true,
            cache: PathBuf::new(),
            watch: true,
            max_instances: 1000,
            limits: Limits::default(),
        }
    }
}

impl SandboxConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=100_000).contains(&self.max_instances) {
            return Err(wrong("sandbox.max_instances", self.max_instances, "it must be 1 to 100000"));
        }
        Ok(())
    }

    /// The folders that are configured, else those of the usual places that exist: `plugins/dist` in the working
    /// folder (a checkout with built plugins) and `plugins` beside the program (an installation).
    pub(crate) fn folders_or_default(&self, working_folder: &Path) -> Vec<PathBuf> {
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
    fn folders_that_are_named_replace_the_usual_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("plugins/dist")).unwrap();
        let config = SandboxConfig::default();
        assert!(config.folders_or_default(folder.path()).contains(&folder.path().join("plugins/dist")));
        let config = SandboxConfig { folders: vec!["mine".into()], ..config };
        assert_eq!(config.folders_or_default(folder.path()), [PathBuf::from("mine")]);
    }
}
