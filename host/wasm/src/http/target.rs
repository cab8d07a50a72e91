//! The URL of a request in its one normal form, so that rules, resolver, certificate check and pool all see the same
//! host. What has no normal form, or carries a password, is refused here.

use http::Uri;
use url::{Host, Url};

use super::error::HttpError;

/// A URL that may be asked for, if the grants permit.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Without user, fragment and trailing dot; `http` or `https`.
    pub url: Url,
    /// The same for hyper.
    pub uri: Uri,
    /// Scheme, host and port, for errors.
    pub origin: String,
    /// The upstream on a socket of the machine, where the scheme is `unix`.
    pub upstream: Option<String>,
}

impl Target {
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        Url::parse(text)
            .map_err(|error| bad(format!("the URL is not valid: {error}")))
            .and_then(Self::from_url)
    }

    pub fn from_url(mut url: Url) -> Result<Self, HttpError> {
        if url.scheme() == "unix" {
            return Self::on_socket(url);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!(
                "the URL's scheme is `{}`; it must be `http`, `https` or `unix`",
                url.scheme()
            )));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad(
                "the URL holds a user or password; send them in the `authorization` header".into()
            ));
        }
        url.set_fragment(None);
        if let Some(Host::Domain(name)) = url.host()
            && let Some(bare) = name.strip_suffix('.').map(str::to_owned)
        {
            let invalid = bare.is_empty() || bare.ends_with('.') || url.set_host(Some(&bare)).is_err();
            if invalid {
                return Err(bad(format!("`{bare}.` is not a host")));
            }
        }
        let uri =
            Uri::try_from(url.as_str()).map_err(|error| bad(format!("the URL is not valid: {error}")))?;
        let origin = url.origin().ascii_serialization();
        Ok(Self { url, uri, origin, upstream: None })
    }

    /// `unix://NAME/path?query`.
    fn on_socket(mut url: Url) -> Result<Self, HttpError> {
        url.set_fragment(None);
        let name = url.host_str().unwrap_or_default().to_owned();
        if name.is_empty() || url.port().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(bad("the URL of an upstream is `unix://NAME/path`".into()));
        }
        let path = if url.path().is_empty() { "/" } else { url.path() };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let uri = Uri::try_from(format!("{path}{query}"))
            .map_err(|error| bad(format!("the URL is not valid: {error}")))?;
        let origin = format!("unix://{name}");
        Ok(Self { url, uri, origin, upstream: Some(name) })
    }

    /// Name or address, IPv6 in brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// `host:port`.
    pub fn peer(&self) -> String {
        format!("{}:{}", self.host(), self.url.port_or_known_default().unwrap_or_default())
    }
}

fn bad(problem: String) -> HttpError {
    HttpError::BadRequest(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_one_form() {
        for (text, url, peer) in [
            ("HTTP://EXAMPLE.com.", "http://example.com/", "example.com:80"),
            ("https://example.com:443/a?b#c", "https://example.com/a?b", "example.com:443"),
            ("http://2130706433/", "http://127.0.0.1/", "127.0.0.1:80"),
            ("http://0x7f.1:8080/", "http://127.0.0.1:8080/", "127.0.0.1:8080"),
            ("http://017700000001", "http://127.0.0.1/", "127.0.0.1:80"),
            ("http://127.1", "http://127.0.0.1/", "127.0.0.1:80"),
            ("http://127.0.0.1.", "http://127.0.0.1/", "127.0.0.1:80"),
            ("http://１２７.0.0.1", "http://127.0.0.1/", "127.0.0.1:80"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "[::ffff:7f00:1]:80"),
            ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4", "xn--bcher-kva.example:80"),
            ("http://a.test\\@b.test/", "http://a.test/@b.test/", "a.test:80"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.url.as_str(), target.peer().as_str()), (url, peer), "{text}");
            assert_eq!(target.uri.to_string(), url, "{text}");
        }
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for text in [
            "",
            "/path",
            "example.com",
            "ftp://a.test/",
            "file:///etc/passwd",
            "data:,x",
            "http://",
            "http://./",
            "http://a../",
            "http://u@a.test/",
            "http://u:p@a.test/",
            "http://:p@a.test/",
            "http://a b/",
            "http://1.2.3.4.5/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://a.test:99999/",
        ] {
            assert!(matches!(Target::parse(text), Err(HttpError::BadRequest(_))), "{text}");
        }
    }
}
