//! What a redirect asks for: the next request, as browsers and the fetch standard make it. Pure; the client sends each
//! hop through the same checks as the first.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::error::HttpError;
use super::target::Target;

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub method: Method,
    pub target: Target,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Headers that speak about a body.
const ABOUT_BODY: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION];

/// Headers that are meant for one server only. Values marked sensitive are, too.
const CREDENTIALS: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::WWW_AUTHENTICATE];

impl Hop {
    /// The request that the response asks for; none if it is no redirect or does not say where to.
    ///
    /// # Errors
    /// `Other` with code `http_redirect` if it leads to something that is not an HTTP URL.
    pub fn next(&self, status: StatusCode, response: &HeaderMap) -> Result<Option<Self>, HttpError> {
        let Some(location) = response.get(header::LOCATION).filter(|_| is_redirect(status)) else {
            return Ok(None);
        };
        let target = String::from_utf8_lossy(location.as_bytes());
        let target = self.target.url.join(&target).map_err(|error| format!("the URL is not valid: {error}"));
        let target = target.and_then(|url| Target::from_url(url).map_err(|error| error.to_string()));
        let target = target.map_err(|problem| HttpError::Other {
            code: "http_redirect",
            message: format!(
                "{} redirects to something that cannot be followed: {problem}",
                self.target.origin
            ),
        })?;
        let mut next = Self { target, ..self.clone() };
        if turns_into_get(status, &self.method) {
            next.method = Method::GET;
            next.body = Bytes::new();
            remove(&mut next.headers, |name| ABOUT_BODY.contains(name));
        }
        if next.target.origin != self.target.origin {
            let headers = &next.headers;
            let sensitive: Vec<_> = headers
                .iter()
                .filter(|(_, value)| value.is_sensitive())
                .map(|(name, _)| name.clone())
                .collect();
            remove(&mut next.headers, |name| CREDENTIALS.contains(name) || sensitive.contains(name));
        }
        Ok(Some(next))
    }
}

/// Whether the status can be followed.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn turns_into_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::GET && *method != Method::HEAD,
        _ => false,
    }
}

fn remove(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| doomed(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::parse_headers;
    use super::*;

    fn hop(method: Method) -> Hop {
        let headers =
            parse_headers([("authorization", "b"), ("cookie", "c"), ("content-type", "t"), ("accept", "a")]);
        let target = Target::parse("https://a.test/dir/page").unwrap();
        Hop { method, target, headers: headers.unwrap(), body: Bytes::from_static(b"body") }
    }

    fn next(hop: &Hop, status: u16, location: &'static str) -> Result<Option<Hop>, HttpError> {
        let headers = HeaderMap::from_iter([(header::LOCATION, location.parse().unwrap())]);
        hop.next(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn methods_and_bodies_follow_the_fetch_standard() {
        for (status, before, after) in [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (301, "PUT", "PUT"),
            (302, "GET", "GET"),
            (303, "PUT", "GET"),
            (303, "DELETE", "GET"),
            (303, "HEAD", "HEAD"),
            (307, "POST", "POST"),
            (308, "PATCH", "PATCH"),
        ] {
            let from = hop(before.parse().unwrap());
            let to = next(&from, status, "/x").unwrap().unwrap();
            assert_eq!(to.method.as_str(), after, "{status} {before}");
            assert_eq!(to.body.is_empty(), before != after, "{status} {before}");
            assert_eq!(to.headers.contains_key("content-type"), before == after, "{status} {before}");
        }
    }

    #[test]
    fn locations_are_resolved_against_the_request() {
        let from = hop(Method::GET);
        for (location, expected) in [
            ("other?q", "https://a.test/dir/other?q"),
            ("/x#part", "https://a.test/x"),
            ("//b.test./", "https://b.test/"),
            ("http://0x7f.1:81/", "http://127.0.0.1:81/"),
        ] {
            assert_eq!(next(&from, 302, location).unwrap().unwrap().target.url.as_str(), expected);
        }
        for location in ["file:///etc/passwd", "http://user@b.test/", "http://"] {
            assert_eq!(next(&from, 302, location).unwrap_err().code(), "http_redirect", "{location}");
        }
    }

    #[test]
    fn other_statuses_and_silent_ones_are_answers() {
        let from = hop(Method::GET);
        for status in [200, 201, 300, 304, 305, 404] {
            assert!(next(&from, status, "/x").unwrap().is_none(), "{status}");
        }
        assert!(from.next(StatusCode::FOUND, &HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn credentials_stay_with_the_origin() {
        let mut from = hop(Method::GET);
        let mut key = http::HeaderValue::from_static("k");
        key.set_sensitive(true);
        from.headers.insert("x-api-key", key);
        let same = next(&from, 307, "https://a.test:443/y").unwrap().unwrap();
        assert_eq!(same.headers.len(), 5);
        for other in ["https://b.test/", "http://a.test/", "https://a.test:8443/"] {
            let headers = next(&from, 307, other).unwrap().unwrap().headers;
            assert_eq!(
                headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
                ["content-type", "accept"],
                "{other}"
            );
        }
    }
}
