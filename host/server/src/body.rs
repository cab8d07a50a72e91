//! Reading a request's body: with a limit, a time, and a content type that a foreign web page cannot send unasked.

use apflow_core::error::{Error, ErrorCode, Result};
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, header};

use crate::ServerOptions;

/// Reads the whole body.
///
/// # Errors
/// `InvalidRequest` for another content type than JSON and for bodies that stop half-way or take too long;
/// `LimitExceeded`.
pub(crate) async fn read(request: Request, options: &ServerOptions) -> Result<Bytes> {
    check_content_type(request.headers())?;
    let limit = options.max_body_bytes;
    let body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(options.body_timeout, collect(body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(Error::new(
            ErrorCode::InvalidRequest,
            format!("The request did not arrive within {:?} (server.body_timeout_ms)", options.body_timeout),
        )),
    }
}

async fn collect(body: Body, limit: usize) -> Result<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut all = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Error::new(ErrorCode::InvalidRequest, format!("The request did not arrive in full: {error}"))
        })?;
        if all.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

fn too_large(limit: usize) -> Error {
    Error::new(
        ErrorCode::LimitExceeded,
        format!("The request is larger than {limit} bytes (server.max_body_bytes)"),
    )
    .with("limit", limit)
}

/// Browsers send forms and plain text to any server without asking it first, but JSON only after it has agreed.
fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(Error::new(ErrorCode::InvalidRequest, format!("Content-Type is '{text}'; send 'application/json'"))
        .with("field", "Content-Type"))
}
