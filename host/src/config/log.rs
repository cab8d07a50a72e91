//! `[log]`: what the binary writes to standard error. The library itself installs no logger.

use apflow_core::error::Result;
use serde::{Deserialize, Serialize};

use super::wrong;

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or directives such as `warn,apflow_engine=debug`.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl LogConfig {
    pub(super) fn check(&self) -> Result<()> {
        self.directives().try_for_each(|directive| directive.map(drop))
    }

    /// The directives in the form of `tracing_subscriber::EnvFilter`.
    pub fn filter(&self) -> String {
        self.directives().flatten().collect::<Vec<_>>().join(",")
    }

    /// Every directive is a level or `target=level`. Names of the Python original are taken too: upper case, `WARNING`,
    /// `CRITICAL`.
    fn directives(&self) -> impl Iterator<Item = Result<String>> {
        self.level.split(',').map(|directive| {
            let (target, level) = directive.rsplit_once('=').unwrap_or(("", directive));
            let level = match level.trim().to_ascii_lowercase().as_str() {
                "warning" => "warn".to_owned(),
                "critical" => "error".to_owned(),
                other => other.to_owned(),
            };
            if !LEVELS.contains(&level.as_str()) {
                let remedy = format!("'{level}' is no level; use one of {}", LEVELS.join(", "));
                return Err(wrong("log.level", &self.level, remedy));
            }
            Ok(if target.is_empty() { level } else { format!("{}={level}", target.trim()) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_checked() {
        let check = |level: &str| LogConfig { level: level.into(), ..LogConfig::default() }.check();
        assert!(check("INFO").is_ok());
        assert!(check("warn,apflow_engine=debug").is_ok());
        assert!(check("loud").unwrap_err().message.contains("'loud' is no level"));
        assert!(check("").is_err());
        let filter = |level: &str| LogConfig { level: level.into(), ..LogConfig::default() }.filter();
        assert_eq!(filter("WARNING, apflow_engine=DEBUG"), "warn,apflow_engine=debug");
    }
}
