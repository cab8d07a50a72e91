//! What probes, scrapers and people ask for: liveness, readiness, metrics, what there is.

use std::collections::BTreeMap;

use apflow_core::error::{Error, ErrorCode};
use apflow_engine::operation::{Category, Door, OPERATIONS, Operation};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};

use crate::App;
use crate::error::{json_response, response};

/// What stands where, for `GET /` and for whoever asks for something else.
const DOORS: &[(&str, &str, &str)] = &[
    ("POST", "/tasks", "JSON-RPC 2.0: operations on tasks and the event log"),
    ("POST", "/system", "JSON-RPC 2.0: operations on the host"),
    ("GET", "/tasks/methods", "what POST /tasks can do, with schemas"),
    ("GET", "/events", "the event log as server-sent events; ?tree=, ?task=, ?after=, Last-Event-ID"),
    ("GET", "/healthz", "200 while the process lives"),
    ("GET", "/readyz", "200 while the store answers, else 503"),
    ("GET", "/metrics", "figures of all collectors as Prometheus text"),
];

pub(crate) async fn index(State(app): State<App>) -> Response {
    let health = app.engine.health().await;
    json_response(
        StatusCode::OK,
        &json!({ "name": "apflow", "version": health.version, "status": health.status, "doors": doors() }),
    )
}

fn doors() -> Vec<Value> {
    DOORS.iter().map(|(method, path, what)| json!({ "method": method, "path": path, "what": what })).collect()
}

pub(crate) async fn healthz() -> Response {
    json_response(StatusCode::OK, &json!({ "status": "ok" }))
}

pub(crate) async fn readyz(State(app): State<App>) -> Response {
    match app.engine.last_seq().await {
        Ok(_) => json_response(StatusCode::OK, &json!({ "status": "ready" })),
        Err(error) => {
            let body = json!({ "status": "not_ready", "code": error.code.as_str(), "reason": error.message });
            json_response(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let figures = match app.engine.render_metrics().await {
        Ok(figures) => figures,
        Err(error) => return response(&error),
    };
    let open = app.subscriptions.open();
    let text = format!(
        "{figures}# HELP apflow_server_open_streams Event streams that clients listen to at the moment.\n\
         # TYPE apflow_server_open_streams gauge\napflow_server_open_streams {open}\n"
    );
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The operations behind `POST /tasks`, by category.
pub(crate) async fn methods() -> Response {
    let mut by_category: BTreeMap<Category, Vec<Value>> = BTreeMap::new();
    let mut total = 0;
    for operation in OPERATIONS.iter().filter(|operation| operation.door == Door::Tasks) {
        by_category.entry(operation.category).or_default().push(discovered(operation));
        total += 1;
    }
    let categories: Vec<&str> = by_category.keys().map(|category| category.as_str()).collect();
    let methods: serde_json::Map<String, Value> = by_category
        .iter()
        .map(|(category, list)| (category.as_str().to_owned(), list.clone().into()))
        .collect();
    let protocols = json!({ "jsonrpc": { "version": "2.0", "endpoint": "/tasks" } });
    let body =
        json!({ "total": total, "categories": categories, "methods": methods, "protocols": protocols });
    json_response(StatusCode::OK, &body)
}

fn discovered(operation: &Operation) -> Value {
    let example: Value = serde_json::from_str(operation.example).unwrap_or_default();
    json!({
        "method": operation.name,
        "name": operation.title,
        "description": operation.summary,
        "category": operation.category.as_str(),
        "tags": [operation.category.as_str(), operation.permission.as_str()],
        "input_schema": (operation.params)(),
        "supports_streaming": operation.streams,
        "examples": [example],
    })
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    let error = Error::new(ErrorCode::InvalidRequest, format!("There is nothing at '{}'", uri.path()));
    refused(StatusCode::NOT_FOUND, error)
}

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let error =
        Error::new(ErrorCode::InvalidRequest, format!("{method} is not possible at '{}'", uri.path()));
    refused(StatusCode::METHOD_NOT_ALLOWED, error)
}

fn refused(status: StatusCode, error: Error) -> Response {
    let mut response = response(&error.with("doors", doors()));
    *response.status_mut() = status;
    response
}
