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
        let set = apflow_sdk::settings::Settings::of("dogstatsd_collector", variable);
        let address = set.text("address").unwrap_or_default();
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port > 0)?)))
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| set.invalid("address", &address, "host:port, such as 127.0.0.1:8125"))?;
        let prefix = set.text("prefix").unwrap_or_else(|| "apflow".to_owned());
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if !prefix.starts_with(|c: char| c.is_ascii_alphabetic()) || !prefix.chars().all(fits) {
            let expected = "letters, digits, dots and underscores, beginning with a letter";
            return Err(set.invalid("prefix", &prefix, expected));
        }
        let tags: Vec<String> = set.parsed("tags", "a list of texts")?.unwrap_or_default();
        let bytes = set.parsed("datagram_bytes", "a number")?.unwrap_or(1432);
        if !(512..=65_000).contains(&bytes) {
            return Err(set.invalid("datagram_bytes", bytes, "512 to 65000"));
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
