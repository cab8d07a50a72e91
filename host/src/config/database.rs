//! `[database]`: where tasks and events are stored, and how carefully.

use std::path::{Path, PathBuf};

use apflow_core::error::Result;
use serde::{Deserialize, Serialize};

use super::wrong;

/// Where state is kept if nobody says otherwise: in the working folder, so that a project's tasks stay with it.
pub const DEFAULT_URL: &str = "sqlite:.apflow/apflow.db";

/// `[database]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:PATH`; the file and its folder are made if they are missing.
    pub url: String,
    /// What a power loss may cost.
    pub durability: Durability,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: DEFAULT_URL.into(), durability: Durability::Full }
    }
}

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When it is on the disk.
    Full,
    /// When the operating system has it: faster; a power loss may take the last moments, a crash of apflow nothing.
    Normal,
}

impl DatabaseConfig {
    /// What the URL names is checked by the store that opens it; only the form is checked here.
    pub(super) fn check(&self) -> Result<()> {
        if location(&self.url).is_none_or(str::is_empty) {
            return Err(wrong(
                "database.url",
                &self.url,
                format!("it must be sqlite:PATH, for example {DEFAULT_URL}"),
            ));
        }
        Ok(())
    }

    /// The database file; none for a database in memory.
    pub fn file(&self) -> Option<PathBuf> {
        location(&self.url).filter(|path| !path.is_empty() && *path != ":memory:").map(PathBuf::from)
    }

    /// Makes a relative path count from `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(file) = self.file().filter(|file| file.is_relative()) {
            self.url = format!("sqlite:{}", folder.join(file).display());
        }
    }
}

fn location(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(url: &str) -> Option<PathBuf> {
        DatabaseConfig { url: url.into(), ..DatabaseConfig::default() }.file()
    }

    #[test]
    fn the_file_is_found_in_every_spelling_of_the_url() {
        assert_eq!(file("sqlite:a/b.db"), Some("a/b.db".into()));
        assert_eq!(file("sqlite://a/b.db"), Some("a/b.db".into()));
        assert_eq!(file("sqlite:///a/b.db"), Some("/a/b.db".into()));
        assert_eq!(file("sqlite::memory:"), None);
    }

    #[test]
    fn relative_paths_of_a_file_count_from_its_folder() {
        let mut config = DatabaseConfig { url: "sqlite:x.db".into(), ..DatabaseConfig::default() };
        config.resolve(Path::new("/etc/apflow"));
        assert_eq!(config.url, "sqlite:/etc/apflow/x.db");
        config.resolve(Path::new("/elsewhere"));
        assert_eq!(config.url, "sqlite:/etc/apflow/x.db");
    }

    #[test]
    fn other_databases_are_refused_with_the_remedy() {
        let config = DatabaseConfig { url: "mysql://x".into(), ..DatabaseConfig::default() };
        let error = config.check().unwrap_err();
        assert!(error.message.contains("database.url"), "{error}");
        assert!(error.message.contains("sqlite:.apflow/apflow.db"), "{error}");
    }
}
