//! Headers as plugins write and read them, and which of them a plugin may not set: those by which it could speak about
//! the connection instead of the request, and so past the checks.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::error::HttpError;

/// Headers that are the host's. `te` may be set, but only to `trailers`.
pub const FORBIDDEN: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Reads a plugin's headers.
///
/// # Errors
/// `BadRequest` with the header's name, where name or value are malformed or the header is the host's.
pub fn parse_headers<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let bad = |problem| HttpError::BadRequest(format!("header `{name}`: {problem}"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("the name is not valid"))?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| bad("the value holds control characters"))?;
        headers.try_append(name, value).map_err(|_| bad("too many headers"))?;
    }
    check_whole(&headers)?;
    Ok(headers)
}

/// Refuses headers that are the host's.
pub(super) fn check_whole(headers: &HeaderMap) -> Result<(), HttpError> {
    check(headers, &FORBIDDEN)
}

/// The same with a streamed body, whose `content-length` is the writer's to declare.
pub(super) fn check_streamed(headers: &HeaderMap) -> Result<(), HttpError> {
    let forbidden: Vec<_> = FORBIDDEN.into_iter().filter(|name| *name != "content-length").collect();
    check(headers, &forbidden)
}

fn check(headers: &HeaderMap, forbidden: &[&str]) -> Result<(), HttpError> {
    if let Some(name) = headers.keys().find(|name| forbidden.contains(&name.as_str())) {
        return Err(HttpError::BadRequest(format!("header `{name}` is set by the host; leave it out")));
    }
    if headers.get_all(header::TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        return Err(HttpError::BadRequest("header `te` may only be `trailers`".into()));
    }
    Ok(())
}

/// Headers as text, in the order received. Bytes that are not UTF-8 become U+FFFD.
pub fn text_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_written_back() {
        let headers =
            parse_headers([("X-One", "1"), ("x-two", "ä"), ("x-one", "2"), ("te", "Trailers")]).unwrap();
        let pairs = text_pairs(&headers);
        let expected = [("x-one", "1"), ("x-one", "2"), ("x-two", "ä"), ("te", "Trailers")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn headers_of_the_host_and_malformed_ones_are_refused_by_name() {
        for name in FORBIDDEN {
            let error = parse_headers([(name.to_uppercase().as_str(), "x")]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        for (name, value) in
            [("te", "gzip"), ("te", "trailers, gzip"), ("a b", "x"), ("", "x"), ("x", "a\r\nhost: b")]
        {
            assert!(
                matches!(parse_headers([(name, value)]), Err(HttpError::BadRequest(_))),
                "{name}: {value}"
            );
        }
        let declared = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(5))]);
        assert_eq!(check_streamed(&declared), Ok(()));
        assert!(
            check_streamed(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("b"))])).is_err()
        );
    }
}
