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
    /// `sqlite:PATH`; the file and its folder are made if they are missing. Or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`,
    /// where the database must exist.
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
        if !self.is_server() && location(&self.url).is_none_or(str::is_empty) {
            let problem = format!(
                "it must be sqlite:PATH, for example {DEFAULT_URL}, or postgres://USER@HOST:PORT/DATABASE"
            );
            return Err(wrong("database.url", &self.url, problem));
        }
        Ok(())
    }

    /// Whether it is a database server, which several hosts may use at a time.
    pub fn is_server(&self) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The URL as it may be shown: without a password.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else { return self.url.clone() };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let Some((user, host)) = authority.rsplit_once('@') else { return self.url.clone() };
        let user = user.split(':').next().unwrap_or_default();
        // Passwords may stand in the query as well.
        let path = path.split('?').next().unwrap_or_default();
        format!("{scheme}://{user}@{host}{path}")
    }

    /// The database file; none for a database in memory or on a server.
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
    fn passwords_are_not_shown() {
        let shown = |url: &str| DatabaseConfig { url: url.into(), ..DatabaseConfig::default() }.shown();
        assert_eq!(shown("postgres://ann:secret@h:5432/d?sslmode=require"), "postgres://ann@h:5432/d");
        assert_eq!(shown("postgres://ann:s@cret@h/d"), "postgres://ann@h/d");
        assert_eq!(shown("postgres://h/d"), "postgres://h/d");
        assert_eq!(shown("sqlite:a/b.db"), "sqlite:a/b.db");
        assert_eq!(file("postgres://ann@h/d"), None);
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
