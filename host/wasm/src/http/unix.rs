//! HTTP to an upstream behind a Unix socket, for Docker and its like: a connection for each request, as these are few and local.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, Version, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::body::{OutgoingBody, ResponseBody};
use super::budget::Budget;
use super::client::{Limits, within};
use super::error::{HttpError, Phase};
use super::target::Target;

/// Sends a request whose grant has been checked.
pub(super) async fn exchange(
    socket: &Path,
    mut request: Request<OutgoingBody>,
    target: &Target,
    budget: &Arc<Budget>,
    limits: Limits,
) -> Result<Response<ResponseBody>, HttpError> {
    let origin = &target.origin;
    let connect = |problem: String| HttpError::Connect { origin: origin.clone(), problem };
    let connected = within(limits.connect, origin, Phase::Connect, UnixStream::connect(socket)).await?;
    let stream = connected.map_err(|error| connect(format!("no connection to its socket: {error}")))?;
    budget.record_contact(origin);
    let handshake = http1::handshake::<_, OutgoingBody>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| connect(error.to_string()))?;
    // Ends with the response's body, or when nobody wants it any more.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a socket broke");
        }
    });
    *request.uri_mut() = target.uri.clone();
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    let request = request.map(|body| body.sent_to(origin));
    let sent = within(limits.first_byte, origin, Phase::FirstByte, sender.send_request(request)).await?;
    let (head, body) = sent.map_err(|error| HttpError::broken(origin, &error))?.into_parts();
    let body = ResponseBody::new(body, origin, budget, limits.deadline, limits.between_bytes)?;
    Ok(Response::from_parts(head, body))
}
