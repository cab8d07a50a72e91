//! What the operator sets in `[plugins.otlp_collector.settings]`; the host hands it in as environment variables.

use std::collections::BTreeMap;
use std::time::Duration;

use apflow_sdk::prelude::*;

/// The settings, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Without a slash at the end.
    pub endpoint: String,
    pub headers: BTreeMap<String, String>,
    pub service_name: String,
    pub resource: BTreeMap<String, String>,
    pub traces: bool,
    pub metrics: bool,
    pub timeout: Duration,
}

impl Settings {
    /// Reads the variables that `variable` has. A value that cannot be read is an error with its name.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let set = apflow_sdk::settings::Settings::of("otlp_collector", variable);
        let endpoint = set.text("endpoint").unwrap_or_default();
        let endpoint = endpoint.trim().trim_end_matches('/');
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            let expected = "an http or https URL such as http://127.0.0.1:4318";
            return Err(set.invalid("endpoint", endpoint, expected));
        }
        Ok(Self {
            endpoint: endpoint.to_owned(),
            headers: set.parsed("headers", "a table of texts")?.unwrap_or_default(),
            service_name: set.text("service_name").unwrap_or_else(|| "apflow".to_owned()),
            resource: set.parsed("resource", "a table of texts")?.unwrap_or_default(),
            traces: set.parsed("traces", "true or false")?.unwrap_or(true),
            metrics: set.parsed("metrics", "true or false")?.unwrap_or(true),
            timeout: Duration::from_millis(
                set.parsed("timeout_ms", "a whole number of milliseconds")?.unwrap_or(10_000),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Settings, Failure> {
        let all: BTreeMap<String, String> =
            set.iter().map(|(name, value)| (format!("APFLOW_SETTING_{name}"), (*value).to_owned())).collect();
        Settings::read(|name| all.get(name).cloned())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let settings = read(&[("ENDPOINT", "http://h:4318/")]).unwrap();
        assert_eq!((settings.endpoint.as_str(), settings.service_name.as_str()), ("http://h:4318", "apflow"));
        assert!(settings.traces && settings.metrics && settings.headers.is_empty());
    }

    #[test]
    fn tables_numbers_and_switches_are_json() {
        let settings = read(&[
            ("ENDPOINT", "https://h"),
            ("HEADERS", r#"{"x-key":"k"}"#),
            ("TRACES", "false"),
            ("TIMEOUT_MS", "250"),
        ])
        .unwrap();
        assert_eq!((settings.headers["x-key"].as_str(), settings.traces), ("k", false));
        assert_eq!(settings.timeout, Duration::from_millis(250));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let wrong = [
            ("ENDPOINT", "127.0.0.1:4318", "endpoint"),
            ("HEADERS", "x=y", "headers"),
            ("METRICS", "maybe", "metrics"),
            ("TIMEOUT_MS", "-1", "timeout_ms"),
        ];
        for (name, value, shown) in wrong {
            let failure = read(&[("ENDPOINT", "http://h"), (name, value)]).unwrap_err();
            assert!(failure.to_string().contains(&format!("settings.{shown} is '{value}'")), "{failure}");
        }
    }
}
