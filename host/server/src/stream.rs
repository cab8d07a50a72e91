//! The stream that a streaming `tasks.execute` answers with: the JSON-RPC response, the events of that one execution,
//! and an end. Every event carries its `seq` as `id:`, so that a client that loses the connection can read on at
//! `GET /events?tree=…`.

use std::convert::Infallible;
use std::pin::Pin;

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::Event;
use apflow_engine::operation::{self, execution_events};
use apflow_engine::wire::Translator;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::serve::Closing;
use crate::{App, ServerOptions, envelope};

/// Events of the log, live.
pub(crate) type Log = Pin<Box<dyn Stream<Item = Result<Event>> + Send>>;

/// The response. `place` is held until the stream ends.
pub(crate) fn response(
    app: &App,
    id: &Value,
    of: operation::Stream,
    place: Option<OwnedSemaphorePermit>,
    closing: Option<Closing>,
) -> Response {
    let events = execution_events(&app.engine, &of);
    let (head, result, tail) = envelope::success(id, of.first);
    let first = [head.as_str(), result.as_str(), tail].concat();
    let hello = sse::Event::default().id(of.after.0.to_string()).data(first);
    let messages = messages(until_closing(Box::pin(events), closing), Translator::new(of.root));
    let all = stream::iter([hello]).chain(messages).map(move |message| {
        let _ = &place;
        Ok::<_, Infallible>(message)
    });
    sse_response(all, &app.options)
}

/// Messages until the execution has ended, or the log breaks off.
fn messages(log: Log, translator: Translator) -> impl Stream<Item = sse::Event> + Send {
    stream::unfold(Some((log, translator)), |state| async {
        let (mut log, mut translator) = state?;
        let (messages, go_on) = match log.next().await {
            Some(Ok(event)) => {
                let over = event.kind.ends_tree();
                let mut messages = vec![message(&event, &mut translator)];
                if over {
                    messages.push(sse::Event::default().data(translator.stream_end()));
                }
                (messages, !over)
            }
            Some(Err(error)) => {
                crate::error::log(&error);
                (vec![sse::Event::default().data(translator.broken(&error))], false)
            }
            None => return None,
        };
        Some((stream::iter(messages), go_on.then_some((log, translator))))
    })
    .flatten()
}

fn message(event: &Event, translator: &mut Translator) -> sse::Event {
    let message = sse::Event::default().id(event.seq.0.to_string());
    match serde_json::to_string(&translator.translate(event)) {
        Ok(text) => message.data(text),
        Err(error) => {
            let error =
                Error::new(ErrorCode::Internal, format!("Event {} has no JSON form: {error}", event.seq.0));
            crate::error::log(&error);
            message.data(translator.broken(&error))
        }
    }
}

/// The log until the server closes; then one error that says so.
pub(crate) fn until_closing(log: Log, closing: Option<Closing>) -> Log {
    let Some(closing) = closing else { return log };
    let closed = stream::once(async move {
        closing.wait().await;
        Err(Error::new(
            ErrorCode::ShuttingDown,
            "The server is stopping; read on at GET /events with Last-Event-ID when it is back",
        ))
    });
    // The first of the two to end ends the stream.
    let tagged = stream::select(log.map(Some).chain(stream::once(async { None })), closed.map(Some));
    Box::pin(stream::unfold(Some(Box::pin(tagged)), |tagged| async {
        let mut tagged = tagged?;
        let item = tagged.next().await??;
        let over = item.is_err();
        Some((item, (!over).then_some(tagged)))
    }))
}

/// An event stream with keep-alive comments.
pub(crate) fn sse_response<S>(messages: S, options: &ServerOptions) -> Response
where
    S: Stream<Item = Result<sse::Event, Infallible>> + Send + 'static,
{
    let keep_alive = KeepAlive::new().interval(options.keep_alive).text("keepalive");
    let mut response = Sse::new(messages).keep_alive(keep_alive).into_response();
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    response
}
