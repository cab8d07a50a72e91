//! Patterns over hosts (`*`, `*.example.com`, `example.com`, an address) and the split of `host:port`. Names are
//! compared as the url crate normalises them, so that every spelling of a host is one host. Used by `grants::rules`.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// Which hosts a rule covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`: every host.
    Any,
    /// `*.example.com`: every name below `example.com`, but not itself.
    Below(String),
    /// One name or address.
    Exact(Host<String>),
}

impl HostPattern {
    /// Whether `host` is covered. A trailing dot of a name does not count.
    pub fn matches(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Below(suffix), Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (Self::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
            (Self::Exact(Host::Domain(one)), Host::Domain(name)) => {
                one == name.strip_suffix('.').unwrap_or(name)
            }
            (Self::Exact(one), host) => one == host,
        }
    }

    /// Whether every host of `other` is also one of this pattern.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Below(suffix), Self::Below(inner)) => {
                inner == suffix || self.matches(&Host::Domain(inner.clone()))
            }
            (pattern, Self::Exact(host)) => pattern.matches(host),
            (Self::Below(_) | Self::Exact(_), Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let below = text.strip_prefix("*.");
        let rest = below.unwrap_or(text);
        if rest.contains('*') {
            return Err(format!("`{text}`: `*` may stand alone or as `*.` in front of a name, nowhere else"));
        }
        match parse_host(rest)? {
            host if below.is_none() => Ok(Self::Exact(host)),
            Host::Domain(name) => Ok(Self::Below(name)),
            Host::Ipv4(_) | Host::Ipv6(_) => Err(format!(
                "`{text}`: an address has no names below it; a range is written in `private_network`"
            )),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
            Self::Exact(host) => host.fmt(f),
        }
    }
}

/// A host in its one normal form: lower case, IDNA, numbers as addresses, without a trailing dot. IPv6 in brackets.
pub fn parse_host(text: &str) -> Result<Host<String>, String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    Host::parse(bare).map_err(|error| format!("`{text}` is not a host: {error}"))
}

/// Splits `host`, `host:port`, `host:*`, `[v6]` and `[v6]:port`; brackets stay with the host. `None` is any port.
pub fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let after_host = match text.rfind(']') {
        Some(end) if text.starts_with('[') => end + 1,
        _ => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(after_host);
    if host.is_empty() {
        return Err(format!("`{text}` names no host; write `*` for all"));
    }
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some("*") => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(format!("`{text}`: `{digits}` is not a port; write 1 to 65535, or `*`")),
        },
        None => return Err(format!("`{text}`: `{rest}` after the host is not a port")),
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str) -> bool {
        let pattern: HostPattern = pattern.parse().unwrap();
        pattern.matches(&Host::parse(host).unwrap())
    }

    #[test]
    fn patterns_match_hosts_in_every_spelling() {
        let table = [
            ("*", "example.com", true),
            ("*", "127.0.0.1", true),
            ("*", "[::1]", true),
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com", true),
            ("Example.COM.", "example.com", true),
            ("example.com", "example.com.", true),
            ("example.com", "a.example.com", false),
            ("example.com", "badexample.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com.", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "example.com.evil.test", false),
            ("*.example.com", "127.0.0.1", false),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("xn--bcher-kva.example", "BÜCHER.example", true),
            ("127.0.0.1", "0x7f.1", true),
            ("2130706433", "127.0.0.1", true),
            ("[::1]", "[0:0:0:0:0:0:0:1]", true),
            ("[::1]", "[::2]", false),
        ];
        for (pattern, host, expected) in table {
            assert_eq!(matches(pattern, host), expected, "{pattern} on {host}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused_with_the_reason() {
        for (pattern, part) in [
            ("a*.example.com", "nowhere else"),
            ("*.*.com", "nowhere else"),
            ("*.127.0.0.1", "no names below"),
            ("", "not a host"),
            ("a b", "not a host"),
            ("*.", "not a host"),
        ] {
            let error = pattern.parse::<HostPattern>().unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }

    #[test]
    fn wider_patterns_cover_narrower_ones() {
        let covers = |a: &str, b: &str| a.parse::<HostPattern>().unwrap().covers(&b.parse().unwrap());
        assert!(
            covers("*", "*.a.test") && covers("*.a.test", "*.b.a.test") && covers("*.a.test", "x.a.test")
        );
        assert!(covers("*.a.test", "*.a.test") && covers("a.test", "a.test") && covers("*", "*"));
        assert!(!covers("*.a.test", "*") && !covers("a.test", "*.a.test") && !covers("*.a.test", "a.test"));
        assert!(!covers("*.a.test", "*.ba.test"));
    }

    #[test]
    fn ports_are_split_off() {
        assert_eq!(split_port("a.test"), Ok(("a.test", None)));
        assert_eq!(split_port("*:8080"), Ok(("*", Some(8080))));
        assert_eq!(split_port("a.test:*"), Ok(("a.test", None)));
        assert_eq!(split_port("[::1]"), Ok(("[::1]", None)));
        assert_eq!(split_port("[::1]:80"), Ok(("[::1]", Some(80))));
        for wrong in [":80", "a:0", "a:65536", "a:x", "a:", "[::1]80"] {
            assert!(split_port(wrong).is_err(), "{wrong}");
        }
    }
}
