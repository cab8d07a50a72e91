//! `GET /events`: the event log as server-sent events, of everything, of one tree or of one task; resumable.

use std::convert::Infallible;

use apflow_core::error::{Error, Result};
use apflow_core::event::Event;
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::store::EventQuery;
use apflow_engine::operation::tree_of;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::response::sse;
use futures::{StreamExt as _, future};
use http::HeaderMap;

use crate::serve::Closing;
use crate::stream::{sse_response, until_closing};
use crate::{App, error};

/// What the query and the headers ask for.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    tree: Option<TreeId>,
    task: Option<TaskId>,
    after: Option<Seq>,
}

pub(crate) async fn events(
    State(app): State<App>,
    closing: Option<Extension<Closing>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match open(&app, closing.map(|Extension(closing)| closing), query, &headers).await {
        Ok(response) => response,
        Err(error) => error::response(&error),
    }
}

async fn open(
    app: &App,
    closing: Option<Closing>,
    query: Option<String>,
    headers: &HeaderMap,
) -> Result<Response> {
    let wanted = wanted(&query.unwrap_or_default(), headers)?;
    let tree = match (&wanted.tree, &wanted.task) {
        (Some(tree), _) => Some(tree.clone()),
        (None, Some(task)) => Some(tree_of(&app.engine, task).await?),
        (None, None) => None,
    };
    let after = match (wanted.after, &tree) {
        (Some(after), _) => after,
        // A tree is shown from the oldest event that there is, the whole log from now on.
        (None, Some(_)) => app.engine.log_start().await?,
        (None, None) => app.engine.last_seq().await?,
    };
    // Whoever asks for what is gone gets an answer of its own, not a stream.
    app.engine
        .read_events(EventQuery { after, tree: tree.clone(), limit: 1, ..EventQuery::default() })
        .await?;
    let place = app.subscriptions.take()?;
    let log = until_closing(Box::pin(app.engine.events(tree, after)), closing);
    let task = wanted.task;
    let messages = log
        .filter(move |item| {
            let other = matches!((item, &task), (Ok(event), Some(_)) if event.task_id != task);
            future::ready(!other)
        })
        .map(move |item| {
            let _ = &place;
            Ok::<_, Infallible>(message(item))
        });
    Ok(sse_response(messages, &app.options))
}

fn message(item: Result<Event>) -> sse::Event {
    let problem = match item {
        Ok(event) => match serde_json::to_string(&event) {
            Ok(text) => {
                return sse::Event::default()
                    .id(event.seq.0.to_string())
                    .event(event.kind.as_str())
                    .data(text);
            }
            Err(problem) => Error::new(
                apflow_core::error::ErrorCode::Internal,
                format!("Event {} has no JSON form: {problem}", event.seq.0),
            ),
        },
        Err(problem) => problem,
    };
    error::log(&problem);
    let body = serde_json::json!({ "error": error::RpcError::from(&problem) });
    sse::Event::default().event("error").data(body.to_string())
}

fn wanted(query: &str, headers: &HeaderMap) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    let uri = http::Uri::builder().path_and_query(format!("/?{query}")).build();
    let pairs: Vec<(String, String)> = uri
        .ok()
        .and_then(|uri| axum::extract::Query::try_from_uri(&uri).ok())
        .map(|axum::extract::Query(pairs)| pairs)
        .ok_or_else(|| {
            Error::invalid_params("query", format!("'{query}' cannot be read; use name=value pairs"))
        })?;
    for (name, value) in pairs {
        match name.as_str() {
            "tree" => wanted.tree = Some(TreeId::from(value)),
            "task" => wanted.task = Some(TaskId::from(value)),
            "after" => wanted.after = Some(seq("after", &value)?),
            _ => {
                return Err(Error::invalid_params(
                    &name,
                    "there is no such parameter; known are tree, task, after",
                ));
            }
        }
    }
    // A client that connects again repeats its address and adds what it has seen.
    if let Some(seen) = headers.get("last-event-id") {
        wanted.after = Some(seq("Last-Event-ID", seen.to_str().unwrap_or_default())?);
    }
    Ok(wanted)
}

fn seq(field: &str, text: &str) -> Result<Seq> {
    match text.parse::<i64>() {
        Ok(number) if number >= 0 => Ok(Seq(number)),
        _ => Err(Error::invalid_params(
            field,
            format!(
                "'{text}' is not a position of the log; send the id of the last event you have seen, or 0"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, seen: Option<&str>) -> Result<Wanted> {
        let mut headers = HeaderMap::new();
        if let Some(seen) = seen {
            headers.insert("last-event-id", seen.parse().unwrap());
        }
        wanted(query, &headers)
    }

    #[test]
    fn what_was_seen_last_wins_over_the_address() {
        let wanted = read("tree=a%20b&after=3", Some("9")).unwrap();
        assert_eq!(wanted, Wanted { tree: Some("a b".into()), task: None, after: Some(Seq(9)) });
        assert_eq!(read("", None).unwrap(), Wanted::default());
    }

    #[test]
    fn unknown_and_malformed_parameters_are_named() {
        for (query, seen, field) in
            [("tre=x", None, "tre"), ("after=x", None, "after"), ("", Some("-1"), "Last-Event-ID")]
        {
            assert_eq!(read(query, seen).unwrap_err().data["field"], field);
        }
    }
}
