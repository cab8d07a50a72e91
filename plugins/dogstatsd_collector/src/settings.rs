//! What the operator sets in `[plugins.dogstatsd_collector.settings]`; the host hands it in as environment variables.

use apflow_sdk::prelude::*;

use crate::datagrams::clean;

/// The settings, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    /// What the names of metrics begin with, without the dot.
    pub prefix: String,
    /// Tags of every metric.
    pub tags: Vec<String>,
    /// The largest datagram.
    pub datagram_bytes: usize,
}

impl Settings {
    /// Reads the variables that `variable` has. A value that cannot be read is an error with its name.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let text = |name: &str| variable(&format!("APFLOW_SETTING_{}", name.to_ascii_uppercase()));
        let address = text("address").unwrap_or_default();
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port > 0)?)))
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| invalid("address", &address, "host:port, such as 127.0.0.1:8125"))?;
        let prefix = text("prefix").unwrap_or_else(|| "apflow".to_owned());
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if !prefix.starts_with(|c: char| c.is_ascii_alphabetic()) || !prefix.chars().all(fits) {
            let expected = "letters, digits, dots and underscores, beginning with a letter";
            return Err(invalid("prefix", &prefix, expected));
        }
        let tags: Vec<String> = parsed("tags", text("tags"), "a list of texts")?.unwrap_or_default();
        let datagram_bytes = text("datagram_bytes");
        let bytes = parsed("datagram_bytes", datagram_bytes.clone(), "a number")?.unwrap_or(1432);
        if !(512..=65_000).contains(&bytes) {
            return Err(invalid("datagram_bytes", &datagram_bytes.unwrap_or_default(), "512 to 65000"));
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            prefix,
            tags: tags.iter().map(|tag| clean(tag)).collect(),
            datagram_bytes: bytes,
        })
    }
}

/// What is no text in `apflow.toml` comes as JSON.
fn parsed<T: for<'de> Deserialize<'de>>(
    name: &str,
    text: Option<String>,
    expected: &str,
) -> Result<Option<T>, Failure> {
    let Some(text) = text else { return Ok(None) };
    apflow_sdk::serde_json::from_str(&text).map(Some).map_err(|_| invalid(name, &text, expected))
}

fn invalid(name: &str, value: &str, expected: &str) -> Failure {
    let message = format!("plugins.dogstatsd_collector.settings.{name} is '{value}'; it must be {expected}");
    Failure::permanent("invalid_setting", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Settings, Failure> {
        let find = |name: &str| {
            let of = |(one, value): &(&str, &str)| {
                (format!("APFLOW_SETTING_{one}") == name).then(|| (*value).to_owned())
            };
            set.iter().rev().find_map(of)
        };
        Settings::read(find)
    }

    #[test]
    fn an_address_is_enough() {
        let settings = read(&[("ADDRESS", "[::1]:8125")]).unwrap();
        assert_eq!(
            (settings.host.as_str(), settings.port, settings.prefix.as_str()),
            ("::1", 8125, "apflow")
        );
        assert_eq!(settings.datagram_bytes, 1432);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, value) in [
            ("ADDRESS", "agent"),
            ("ADDRESS", ":8125"),
            ("ADDRESS", "h:0"),
            ("PREFIX", "1x"),
            ("PREFIX", "a b"),
            ("TAGS", "env:prod"),
            ("DATAGRAM_BYTES", "100"),
        ] {
            let failure = read(&[("ADDRESS", "h:1"), (name, value)]).unwrap_err();
            let shown = format!("settings.{} is '{value}'", name.to_ascii_lowercase());
            assert!(failure.to_string().contains(&shown), "{failure}");
        }
    }
}
