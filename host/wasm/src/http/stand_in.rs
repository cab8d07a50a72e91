//! Answers in the network's stead, for a plugin's own cases: everything before the connection is the same (grants, limits,
//! secrets, redirects), and nothing leaves the machine.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;

use super::body::{OutgoingBody, ResponseBody};
use super::budget::{Budget, Deadline};
use super::error::HttpError;
use super::target::Target;
use crate::grants::Grants;

/// Answers requests that the grants permit.
#[async_trait]
pub trait StandIn: fmt::Debug + Send + Sync {
    /// The answer to a request with its absolute URL.
    ///
    /// # Errors
    /// Why there is none; the plugin is told.
    async fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String>;
}

/// Judges an address that is written in the URL; names lead nowhere here, so there is nothing to judge about them.
pub(super) fn check_address(grants: &Grants, target: &Target) -> Result<(), HttpError> {
    let bare = target.host().trim_start_matches('[').trim_end_matches(']');
    let Ok(address) = bare.parse::<IpAddr>() else { return Ok(()) };
    let port = target.url.port_or_known_default().unwrap_or_default();
    grants
        .address(target.host(), SocketAddr::new(address, port))
        .map_err(|denied| HttpError::ProhibitedAddress(Box::new(denied)))
}

/// One request and its answer, under the limits that the network's would have.
pub(super) async fn exchange(
    stand_in: &dyn StandIn,
    request: Request<OutgoingBody>,
    target: &Target,
    budget: &Arc<Budget>,
    deadline: Option<Deadline>,
) -> Result<Response<ResponseBody>, HttpError> {
    let (mut head, body) = request.map(|body| body.sent_to(&target.origin)).into_parts();
    head.uri = target.url.as_str().parse().unwrap_or_else(|_| target.uri.clone());
    let body = body.collect().await.map_err(|error| HttpError::broken(&target.origin, &*error))?;
    budget.record_contact(&if target.upstream.is_some() { target.origin.clone() } else { target.peer() });
    let answer = stand_in.answer(Request::from_parts(head, body.to_bytes())).await;
    let answer = answer.map_err(|message| HttpError::Other { code: "http_no_answer", message })?;
    let (head, body) = answer.into_parts();
    let body = ResponseBody::new(body, &target.origin, budget, deadline, None)?;
    Ok(Response::from_parts(head, body))
}
