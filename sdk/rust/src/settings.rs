//! What an operator has set for the plugin in `[plugins.NAME.settings]`. The host hands settings in as environment variables:
//! texts as they are, everything else as JSON.

use std::fmt::Display;

use serde::de::DeserializeOwned;

use crate::Failure;

/// The settings of one plugin.
///
/// ```
/// # use apflow_sdk::settings::Settings;
/// # fn read() -> Result<(), apflow_sdk::Failure> {
/// let settings = Settings::of("my_plugin", |name| std::env::var(name).ok());
/// let region = settings.text("region").unwrap_or_else(|| "eu".to_owned());
/// let retries: u32 = settings.parsed("retries", "a number")?.unwrap_or(3);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Settings<V> {
    plugin: &'static str,
    variable: V,
}

impl<V: Fn(&str) -> Option<String>> Settings<V> {
    /// The settings of `plugin`, found in the variables that `variable` has.
    pub fn of(plugin: &'static str, variable: V) -> Self {
        Self { plugin, variable }
    }

    /// A setting that is a text.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.variable)(&format!("APFLOW_SETTING_{}", name.to_ascii_uppercase()))
    }

    /// A setting of another type; `expected` says which, for people.
    ///
    /// # Errors
    /// `invalid_setting`, permanent.
    pub fn parsed<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|_| self.invalid(name, text, expected))
    }

    /// The failure of a setting that cannot be what it is.
    pub fn invalid(&self, name: &str, value: impl Display, expected: &str) -> Failure {
        let key = format!("plugins.{}.settings.{name}", self.plugin);
        Failure::permanent("invalid_setting", format!("{key} is '{value}'; it must be {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_they_are_and_the_rest_is_json() {
        let variable = |name: &str| match name {
            "APFLOW_SETTING_REGION" => Some("eu".to_owned()),
            "APFLOW_SETTING_RETRIES" => Some("3".to_owned()),
            "APFLOW_SETTING_TAGS" => Some("many".to_owned()),
            _ => None,
        };
        let settings = Settings::of("p", variable);
        assert_eq!(settings.text("region").as_deref(), Some("eu"));
        assert_eq!(settings.parsed::<u32>("retries", "a number").unwrap(), Some(3));
        assert_eq!(settings.parsed::<u32>("unset", "a number").unwrap(), None);
        let failure = settings.parsed::<Vec<String>>("tags", "a list of texts").unwrap_err();
        assert!(
            format!("{failure:?}").contains("plugins.p.settings.tags is 'many'; it must be a list of texts")
        );
    }
}
