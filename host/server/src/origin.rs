//! Which web pages may call: a server on a loopback address is reachable from every page that its user opens, so a
//! request that says it comes from a page of another origin is refused unless the operator has allowed that origin.

use apflow_core::error::{Error, ErrorCode};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{App, error};

/// Refuses requests of foreign pages.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    match foreign(request.headers(), request.uri(), &app.options.allowed_origins) {
        None => next.run(request).await,
        Some(origin) => error::response(
            &Error::new(
                ErrorCode::Unauthorized,
                format!(
                    "Pages of origin '{origin}' may not call this server; allow it in server.allowed_origins"
                ),
            )
            .with("origin", origin),
        ),
    }
}

/// The origin of a request that comes from a page that is neither the server's own nor allowed.
fn foreign(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Option<String> {
    let origin = String::from_utf8_lossy(headers.get(header::ORIGIN)?.as_bytes()).into_owned();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = host.or(uri.authority().map(http::uri::Authority::as_str));
    let of_origin = origin.split_once("://").map(|(_, authority)| authority);
    let same = own.is_some_and(|own| of_origin.is_some_and(|of_origin| of_origin.eq_ignore_ascii_case(own)));
    let listed = allowed.iter().any(|one| one.eq_ignore_ascii_case(&origin));
    (!same && !listed).then_some(origin)
}

/// Answers browsers that ask before they call, where any origin is allowed.
pub(crate) fn cors(allowed: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        allowed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                header::CONTENT_TYPE,
                header::AUTHORIZATION,
                HeaderName::from_static("last-event-id"),
            ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(origin: Option<&str>, host: &str, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        foreign(&headers, &Uri::from_static("/tasks"), &allowed).is_some()
    }

    #[test]
    fn programs_and_own_pages_may_call_others_only_if_allowed() {
        assert!(!refused(None, "127.0.0.1:8000", &[]));
        assert!(!refused(Some("http://127.0.0.1:8000"), "127.0.0.1:8000", &[]));
        assert!(refused(Some("http://127.0.0.1:3000"), "127.0.0.1:8000", &[]));
        assert!(refused(Some("null"), "127.0.0.1:8000", &[]));
        assert!(!refused(Some("http://localhost:3000"), "127.0.0.1:8000", &["http://localhost:3000"]));
        assert!(refused(Some("http://localhost:3001"), "127.0.0.1:8000", &["http://localhost:3000"]));
    }
}
