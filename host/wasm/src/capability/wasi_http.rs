//! `wasi:http` 0.2, for guests that have it: the same client, grants and budget as behind the own `http` interface.
//! Redirects are the guest's business here, each a new request that is checked like the first.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, FieldSizePayload};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::log::TARGET;
use crate::grants::Grants;
use crate::http::{
    BoxError, Budget, Direction, HttpClient, HttpError, OutRequest, Phase, RequestBody, Timeouts,
};
use crate::state::GuestState;
use crate::state::Identity;

/// What wasmtime keeps for `wasi:http`, made when a guest first uses it.
#[derive(Default)]
pub(crate) struct WasiHttpState {
    ctx: WasiHttpCtx,
    hooks: Option<Hooks>,
}

struct Hooks {
    identity: Arc<Identity>,
    budget: Arc<Budget>,
}

/// Adds `wasi:http` to a linker that has the rest of WASI.
pub(crate) fn add_wasi_http(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    // wasmtime's own looks for an error of another type than the one that bodies fail with, and finds none.
    linker.allow_shadowing(true);
    linker.instance("wasi:http/types@0.2.12")?.func_wrap(
        "http-error-code",
        |mut store: StoreContextMut<'_, GuestState>, (error,): (Resource<wasmtime::Error>,)| {
            let error = store.data_mut().table.get(&error)?;
            Ok((error.downcast_ref::<Error>().map(code),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.call.usage.add_host_call();
        let budget = self.http_budget();
        let Self { identity, table, wasi_http, .. } = self;
        let WasiHttpState { ctx, hooks } = wasi_http;
        let hooks = hooks
            .get_or_insert_with(|| Hooks { identity: Arc::clone(identity), budget: Arc::clone(&budget) });
        // An instance may serve several calls.
        hooks.budget = budget;
        WasiHttpCtxView { ctx, table, hooks }
    }
}

type Connection = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Connection), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (client, grants, budget) =
            (Arc::clone(&self.identity.http), self.identity.grants.get(), Arc::clone(&self.budget));
        Box::new(async move { send(&client, &grants, budget, request, options.unwrap_or_default()).await })
    }
}

async fn send(
    client: &HttpClient,
    grants: &Grants,
    budget: Arc<Budget>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Sent {
    // wasmtime sets it from the URL, and so does the client.
    request.headers_mut().remove(http::header::HOST);
    let (head, body) = request.into_parts();
    let request = OutRequest {
        method: head.method,
        url: head.uri.to_string(),
        headers: head.headers,
        body: RequestBody::streamed(body.map_err(BoxError::from).boxed_unsync()),
        max_redirects: 0,
        timeouts: Timeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
            total: None,
        },
    };
    let answer = client.send(grants, request, budget).await.map_err(|error| {
        // Guests get a code without words, so the words go to the log.
        tracing::debug!(target: TARGET, plugin = grants.plugin(), "{error}");
        wasi_error(error)
    })?;
    let mut response = Response::new(answer.body.map_err(wasi_error).boxed_unsync());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    // The client drives its connections itself.
    Ok((response, Box::new(std::future::ready(Ok(())))))
}

fn wasi_error(error: HttpError) -> Error {
    match error {
        HttpError::Denied(_) => Error::HttpRequestDenied,
        HttpError::ProhibitedAddress(_) => Error::DestinationIpProhibited,
        HttpError::Timeout { phase, .. } => match phase {
            Phase::Connect => Error::ConnectionTimeout,
            Phase::FirstByte | Phase::Total => Error::HttpResponseTimeout,
            Phase::BetweenBytes => Error::ConnectionReadTimeout,
        },
        HttpError::Connect { problem, .. } => Error::InternalError(Some(problem)),
        HttpError::TooLarge { direction, limit, .. } => match direction {
            Direction::Request => Error::HttpRequestBodySize(Some(limit)),
            Direction::Response => Error::HttpResponseBodySize(Some(limit)),
        },
        HttpError::BadRequest(_) => Error::HttpRequestUriInvalid,
        HttpError::Other { message, .. } => Error::InternalError(Some(message)),
    }
}

/// The errors that bodies fail with, as guests know them.
fn code(error: &Error) -> ErrorCode {
    match error {
        Error::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        Error::DestinationIpProhibited => ErrorCode::DestinationIpProhibited,
        Error::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpResponseTrailerSize { field_name, field_size } => {
            let (field_name, field_size) = (field_name.clone(), *field_size);
            ErrorCode::HttpResponseTrailerSize(FieldSizePayload { field_name, field_size })
        }
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}
