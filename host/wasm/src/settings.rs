//! Settings of a plugin: what its `plugin.toml` says can be set, what the operator sets in `[plugins.NAME.settings]`, and the
//! environment variables in which the guest finds the values, because every language can read those. A value may refer to a
//! secret of the plugin, `{secret:NAME}`: the guest finds its placeholder there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Value;

use crate::grants::Grants;
use crate::secrets::placeholder;

/// One entry of `[settings]` in `plugin.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setting {
    /// What it means, in one sentence.
    pub description: String,
    /// Whether the plugin can do nothing without it. It is not used before the operator has set it.
    pub required: bool,
}

/// The name of a setting: 1 to 64 of `a`–`z`, `0`–`9` and `_`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SettingName(String);

impl SettingName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The variable in which a guest finds it: `APFLOW_SETTING_` and the name in capitals.
    pub fn variable(&self) -> String {
        format!("APFLOW_SETTING_{}", self.0.to_ascii_uppercase())
    }
}

impl TryFrom<String> for SettingName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
            let rule = "1 to 64 of `a`-`z`, `0`-`9` and `_`, beginning with a letter";
            return Err(format!("the setting `{name}` must be {rule}"));
        }
        Ok(Self(name))
    }
}

impl From<SettingName> for String {
    fn from(name: SettingName) -> Self {
        name.0
    }
}

/// What an operator set, joined with what can be set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Variables of the guest with their values.
    pub variables: Vec<(String, String)>,
    /// Required settings that nobody set; the plugin is not used.
    pub missing: Vec<String>,
}

impl Settings {
    /// Joins the two sides for the plugin that has these grants.
    ///
    /// # Errors
    /// A value for a setting that there is not, or that refers to a secret which is not granted, as a sentence.
    pub fn join(
        grants: &Grants,
        known: &BTreeMap<SettingName, Setting>,
        set: &BTreeMap<String, Value>,
    ) -> Result<Self, String> {
        let plugin = grants.plugin();
        if let Some(unknown) = set.keys().find(|name| known.keys().all(|one| one.as_str() != name.as_str())) {
            let names: Vec<_> = known.keys().map(SettingName::as_str).collect();
            let has = if names.is_empty() { "none".into() } else { names.join(", ") };
            return Err(format!(
                "plugins.{plugin}.settings.{unknown} is no setting of this plugin; it has: {has}"
            ));
        }
        let mut settings = Self::default();
        for (name, setting) in known {
            match set.get(name.as_str()) {
                Some(value) => {
                    let value = with_placeholders(&text(value), grants).map_err(|problem| {
                        format!("plugins.{plugin}.settings.{} {problem}", name.as_str())
                    })?;
                    settings.variables.push((name.variable(), value));
                }
                None if setting.required => settings.missing.push(name.as_str().to_owned()),
                None => {}
            }
        }
        Ok(settings)
    }
}

/// A text as it is, and everything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Datetime(time) => time.to_string(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// The text with the placeholder of each secret in place of its name.
fn with_placeholders(text: &str, grants: &Grants) -> Result<String, String> {
    const BEGIN: &str = "{secret:";
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, after) = rest.split_at(at);
        let Some((name, behind)) = after[BEGIN.len()..].split_once('}') else { break };
        if !grants.secret_names().any(|one| one == name) {
            return Err(format!(
                "refers to the secret '{name}': it must be asked for in plugin.toml under [requests] and allowed under \
                 [plugins.{}.grants], as secrets",
                grants.plugin()
            ));
        }
        filled.push_str(before);
        filled.push_str(&placeholder(grants.plugin(), name));
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::Capabilities;

    fn grants() -> Grants {
        let side = |text: &str| toml::from_str::<Capabilities>(text).unwrap();
        let allowed =
            "secrets = [{ name = \"token\", hosts = [\"https://h\"], from = \"env:APFLOW_TOKEN\" }]";
        Grants::new("p", side("secrets = [\"token\"]"), side(allowed))
    }

    #[test]
    fn a_secret_is_its_placeholder() {
        let settings = join("endpoint = \"Bearer {secret:token}, {x} {secret:\"").unwrap();
        let expected = format!("Bearer {}, {{x}} {{secret:", placeholder("p", "token"));
        assert_eq!(settings.variables[0].1, expected);
        let problem = join("endpoint = \"{secret:other}\"").unwrap_err();
        assert!(problem.starts_with("plugins.p.settings.endpoint refers to the secret 'other'"), "{problem}");
    }

    fn known() -> BTreeMap<SettingName, Setting> {
        toml::from_str("endpoint = { required = true }\ntags = {}\ntraces = { description = \"d\" }\n")
            .unwrap()
    }

    fn join(set: &str) -> Result<Settings, String> {
        Settings::join(&grants(), &known(), &toml::from_str(set).unwrap())
    }

    #[test]
    fn values_become_variables() {
        let settings = join("endpoint = \"http://h\"\ntags = [\"a\", \"b\"]\ntraces = false\n").unwrap();
        let pair = |name: &str, value: &str| (format!("APFLOW_SETTING_{name}"), value.to_owned());
        let expected = [pair("ENDPOINT", "http://h"), pair("TAGS", r#"["a","b"]"#), pair("TRACES", "false")];
        assert_eq!(settings, Settings { variables: expected.into(), missing: vec![] });
    }

    #[test]
    fn what_is_required_and_not_set_is_named() {
        assert_eq!(join("").unwrap(), Settings { variables: vec![], missing: vec!["endpoint".into()] });
    }

    #[test]
    fn what_there_is_not_is_refused_with_what_there_is() {
        let problem = join("endpiont = 1").unwrap_err();
        assert_eq!(
            problem,
            "plugins.p.settings.endpiont is no setting of this plugin; it has: endpoint, tags, traces"
        );
        assert!(toml::from_str::<BTreeMap<SettingName, Setting>>("Endpoint = {}").is_err());
    }
}
