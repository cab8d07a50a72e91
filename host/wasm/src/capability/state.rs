//! `state`: what a plugin keeps over calls, restarts and hosts. Keys belong to the plugin's name, not to a version of it.

use apflow_core::json::Json;
use apflow_core::plugin::services::Expected;
use wasmtime::Result;

use crate::bindings::convert::{issue_of, say};
use crate::bindings::v0_1::state::{Entry, Host};
use crate::bindings::v0_1::types::Issue;
use crate::state::GuestState;

/// Bytes of a key.
const KEY: usize = 255;

impl Host for GuestState {
    async fn get(&mut self, key: String) -> Result<std::result::Result<Option<Entry>, Issue>> {
        self.enter()?;
        Ok(self.read_state(&key).await)
    }

    async fn put(&mut self, key: String, value: Option<String>) -> Result<std::result::Result<(), Issue>> {
        self.enter()?;
        Ok(self.write_state(&key, Expected::Any, value).await.map(drop))
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<String>,
        value: Option<String>,
    ) -> Result<std::result::Result<bool, Issue>> {
        self.enter()?;
        let expected = match expected.as_deref().map(str::parse) {
            None => Expected::Absent,
            Some(Ok(version)) => Expected::Version(version),
            // No value has such a version.
            Some(Err(_)) => return Ok(Ok(false)),
        };
        Ok(self.write_state(&key, expected, value).await)
    }
}

impl GuestState {
    async fn read_state(&mut self, key: &str) -> std::result::Result<Option<Entry>, Issue> {
        self.check_state(key)?;
        let entry = self.identity.services.state.get(&self.identity.name, key).await.map_err(issue_of)?;
        Ok(entry.map(|entry| Entry {
            value: entry.value.as_str().to_owned(),
            version: entry.version.to_string(),
        }))
    }

    async fn write_state(
        &mut self,
        key: &str,
        expected: Expected,
        value: Option<String>,
    ) -> std::result::Result<bool, Issue> {
        self.check_state(key)?;
        let limits = &self.identity.limits;
        let most = limits.state_value_bytes;
        let value = match value {
            None => None,
            Some(text) if text.len() as u64 > most => {
                let (plugin, bytes) = (&self.identity.name, text.len());
                let text = format!(
                    "The value of `{key}` has {bytes} bytes: the limit plugins.{plugin}.limits.state_value_bytes is {most}"
                );
                return Err(say("state_limit", text));
            }
            Some(text) => match Json::parse(text) {
                Ok(value) => Some(value),
                Err(error) => {
                    return Err(say("bad_value", format!("The value of `{key}` is not JSON: {error}")));
                }
            },
        };
        let services = &self.identity.services;
        services
            .state
            .write(&self.identity.name, key, expected, value, limits.state_keys)
            .await
            .map_err(issue_of)
    }

    fn check_state(&self, key: &str) -> std::result::Result<(), Issue> {
        self.identity.grants.get().state().map_err(|denied| say(denied.code(), denied.to_string()))?;
        if key.is_empty() || key.len() > KEY || key.contains('\0') {
            let text = format!("A key has 1 to {KEY} bytes and no zero byte; this one has {}", key.len());
            return Err(say("bad_key", text));
        }
        Ok(())
    }
}
