//! `POST /tasks` and `POST /system`: JSON-RPC 2.0 over the operation table, with batches, notifications and streams.

use std::panic::AssertUnwindSafe;

use apflow_core::error::{Error, Result};
use apflow_core::json::Json;
use apflow_engine::operation::{Door, Reply};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::{FutureExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;

use crate::envelope::{self, Call, Message, Parsed};
use crate::error::{log, status};
use crate::serve::Closing;
use crate::{App, body, defect, stream as sse};

/// Responses above this size are sent in parts instead of being put together in one buffer.
const COPY_LIMIT: usize = 64 * 1024;

pub(crate) async fn tasks(
    State(app): State<App>,
    closing: Option<Extension<Closing>>,
    request: Request,
) -> Response {
    answer(app, Door::Tasks, closing, request).await
}

pub(crate) async fn system(
    State(app): State<App>,
    closing: Option<Extension<Closing>>,
    request: Request,
) -> Response {
    answer(app, Door::System, closing, request).await
}

async fn answer(app: App, door: Door, closing: Option<Extension<Closing>>, request: Request) -> Response {
    let body = match body::read(request, &app.options).await {
        Ok(body) => body,
        Err(error) => return failed(&serde_json::Value::Null, &error),
    };
    let message = envelope::parse(&body, app.options.max_batch);
    drop(body);
    match message {
        Message::One(parsed) => one(&app, door, closing, parsed).await,
        Message::Batch(parts) => batch(&app, door, parts).await,
    }
}

async fn one(app: &App, door: Door, closing: Option<Extension<Closing>>, parsed: Parsed) -> Response {
    let call = match parsed {
        Ok(call) => call,
        Err((id, error)) => return failed(&id, &error),
    };
    let id = call.id.clone();
    // A place to listen is taken first, so that nothing is started that its caller could not follow.
    let place = match place(app, door, &call) {
        Ok(place) => place,
        Err(error) => return failed(&id.unwrap_or_default(), &error),
    };
    let reply = run(app, door, call, true).await;
    let Some(id) = id else { return empty() };
    match reply {
        Ok(Reply::Value(result)) => {
            let (head, result, tail) = envelope::success(&id, result);
            json(StatusCode::OK, joined(head, result, tail))
        }
        Ok(Reply::Parts(parts)) => {
            let (head, tail) = envelope::around(&id);
            let parts: Vec<String> = std::iter::once(head).chain(parts).chain([tail.to_owned()]).collect();
            json(
                StatusCode::OK,
                match parts.iter().map(String::len).sum::<usize>() <= COPY_LIMIT {
                    true => Body::from(parts.concat()),
                    false => in_parts(parts.into_iter().map(Bytes::from)),
                },
            )
        }
        Ok(Reply::Stream(of)) => {
            sse::response(app, &id, of, place, closing.map(|Extension(closing)| closing))
        }
        Err(error) => failed(&id, &error),
    }
}

fn place(app: &App, door: Door, call: &Call) -> Result<Option<OwnedSemaphorePermit>> {
    let streams =
        call.id.is_some() && door.find(&call.method).is_ok_and(|one| one.wants_stream(&call.params));
    streams.then(|| app.subscriptions.take()).transpose()
}

/// Calls one after another, so that a later one sees what an earlier one has done.
async fn batch(app: &App, door: Door, parts: Vec<Parsed>) -> Response {
    let mut answers: Vec<String> = Vec::new();
    for part in parts {
        let (id, reply) = match part {
            Err((id, error)) => (Some(id), Err(error)),
            Ok(call) => (call.id.clone(), run(app, door, call, false).await),
        };
        let Some(id) = id else { continue };
        answers.push(match reply {
            Ok(
                Reply::Value(result) | Reply::Stream(apflow_engine::operation::Stream { first: result, .. }),
            ) => {
                let (head, result, tail) = envelope::success(&id, result);
                [head.as_str(), result.as_str(), tail].concat()
            }
            Ok(Reply::Parts(parts)) => {
                let (head, tail) = envelope::around(&id);
                [head.as_str(), &parts.concat(), tail].concat()
            }
            Err(error) => {
                log(&error);
                envelope::failure(&id, &error)
            }
        });
    }
    if answers.is_empty() {
        return empty();
    }
    json(StatusCode::OK, Body::from(format!("[{}]", answers.join(","))))
}

/// Runs one call. A panic becomes an error of this call and of no other.
async fn run(app: &App, door: Door, call: Call, may_stream: bool) -> Result<Reply> {
    let operation = door.find(&call.method)?;
    if !may_stream && operation.wants_stream(&call.params) {
        return Err(Error::invalid_params(
            "use_streaming",
            "a request inside a batch cannot be streamed; send it alone",
        ));
    }
    tracing::debug!(operation = operation.name, "call");
    AssertUnwindSafe((operation.call)(&app.engine, call.params))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(defect()))
}

fn failed(id: &serde_json::Value, error: &Error) -> Response {
    log(error);
    json(status(error), Body::from(envelope::failure(id, error)))
}

/// The answer to notifications.
fn empty() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn joined(head: String, result: Json, tail: &'static str) -> Body {
    if result.as_str().len() <= COPY_LIMIT {
        return Body::from([head.as_str(), result.as_str(), tail].concat());
    }
    let parts = [Bytes::from(head), Bytes::from_owner(Text(result)), Bytes::from_static(tail.as_bytes())];
    in_parts(parts.into_iter())
}

fn in_parts(parts: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(stream::iter(parts.map(Ok::<_, std::convert::Infallible>)))
}

/// The text of a document as bytes, without a copy.
struct Text(Json);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_str().as_bytes()
    }
}
