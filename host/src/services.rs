//! What the host does for plugins: their state, which lives in the database, and the values of secrets, which come from the
//! environment, from files, from a program, or from providers of the embedding program.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::json::Json;
use apflow_core::plugin::services::{Expected, PluginState, SecretSource, StateEntry};
use apflow_core::store::{StateWrite, StateWritten, Store};
use async_trait::async_trait;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a program may take to say a secret.
const PATIENCE: Duration = Duration::from_secs(10);

/// State in the database.
pub(crate) struct StoredState(pub Arc<dyn Store>);

impl fmt::Debug for StoredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredState")
    }
}

#[async_trait]
impl PluginState for StoredState {
    async fn get(&self, plugin: &str, key: &str) -> Result<Option<StateEntry>> {
        self.0.plugin_state(plugin, key).await
    }

    async fn write(
        &self,
        plugin: &str,
        key: &str,
        expected: Expected,
        value: Option<Json>,
        most_keys: u32,
    ) -> Result<bool> {
        // Drawn, so that no host has to know what others have used.
        let version = fastrand::u64(1..=i64::MAX as u64);
        let (plugin, key) = (plugin.to_owned(), key.to_owned());
        let write = StateWrite { plugin, key, expected, value, version, most_keys };
        match self.0.write_state(&write).await? {
            StateWritten::Done => Ok(true),
            StateWritten::Unexpected => Ok(false),
            StateWritten::Full => {
                let limit = format!("plugins.{}.limits.state_keys", write.plugin);
                let text =
                    format!("The key '{}' cannot be added: the limit {limit} is {most_keys}", write.key);
                Err(Error::new(ErrorCode::LimitExceeded, text).with("limit", limit).with("most", most_keys))
            }
        }
    }
}

/// Secrets by reference: `env:NAME`, `file:PATH`, `command:PROGRAM ARGUMENTS`, and what providers know.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// By the word before the colon.
    pub providers: BTreeMap<String, Arc<dyn SecretSource>>,
}

#[async_trait]
impl SecretSource for Secrets {
    async fn secret(&self, reference: &str) -> Result<String> {
        let (kind, rest) = reference.split_once(':').unwrap_or((reference, ""));
        match kind {
            "env" => std::env::var(rest).map_err(|_| nothing(reference, "the host has no such variable")),
            "file" => match tokio::fs::read_to_string(rest).await {
                Ok(value) => Ok(value),
                Err(error) => Err(nothing(reference, &format!("the file cannot be read: {error}"))),
            },
            "command" => of_program(reference, rest).await,
            other => match self.providers.get(other) {
                Some(provider) => provider.secret(rest).await,
                None => {
                    Err(nothing(reference, "write `env:NAME`, `file:PATH` or `command:PROGRAM ARGUMENTS`"))
                }
            },
        }
    }
}

/// What the program writes to its standard output. There is no shell.
async fn of_program(reference: &str, line: &str) -> Result<String> {
    let words = shell_words::split(line).map_err(|error| nothing(reference, &error.to_string()))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(nothing(reference, "it names no program"));
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let done = timeout(PATIENCE, command.output()).await;
    let output =
        done.map_err(|_| nothing(reference, &format!("no answer within {} s", PATIENCE.as_secs())))?;
    let output = output.map_err(|error| nothing(reference, &format!("it cannot be started: {error}")))?;
    if !output.status.success() {
        return Err(nothing(reference, &format!("it ended with {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| nothing(reference, "what it writes is not text"))
}

/// Says which reference it was and never what was found.
fn nothing(reference: &str, problem: &str) -> Error {
    Error::new(ErrorCode::InvalidParams, format!("`{reference}`: {problem}")).with("from", reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Vault;

    #[async_trait]
    impl SecretSource for Vault {
        async fn secret(&self, reference: &str) -> Result<String> {
            Ok(format!("the value at {reference}"))
        }
    }

    #[tokio::test]
    async fn secrets_come_from_files_programs_and_providers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "from a file\n").unwrap();
        let secrets = Secrets { providers: BTreeMap::from([("vault".to_owned(), Arc::new(Vault) as _)]) };
        assert_eq!(secrets.secret(&format!("file:{}", file.display())).await.unwrap(), "from a file\n");
        assert_eq!(secrets.secret("command:printf 'two words'").await.unwrap(), "two words");
        assert_eq!(secrets.secret("vault:kv/a#b").await.unwrap(), "the value at kv/a#b");
        assert!(!secrets.secret("env:PATH").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_gives_nothing_says_why() {
        let secrets = Secrets::default();
        for (reference, part) in [
            ("env:APFLOW_NO_SUCH_VARIABLE", "no such variable"),
            ("file:/no/such/file", "cannot be read"),
            ("command:", "names no program"),
            ("command:/no/such/program", "cannot be started"),
            ("command:false", "ended with exit status: 1"),
            ("vault:x", "write `env:NAME`"),
            ("nonsense", "write `env:NAME`"),
        ] {
            let error = secrets.secret(reference).await.unwrap_err();
            assert!(error.message.contains(part) && error.message.contains(reference), "{error}");
        }
    }
}
