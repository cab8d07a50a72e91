//! The one table of how errors look from outside: [`ErrorCode`] to HTTP status, JSON-RPC code and message.

use apflow_core::error::{Error, ErrorCode};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How one kind of error looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Usual status of an HTTP response that carries this error alone; see [`status`].
    pub status: StatusCode,
    /// `error.code` of JSON-RPC.
    pub rpc: i32,
    /// `error.message` of JSON-RPC: a title, the same for all errors of the kind.
    pub title: &'static str,
}

/// The table. Codes down to −32099 are those of JSON-RPC and of the original; −321xx are our own.
pub const fn look(code: ErrorCode) -> Look {
    let (status, rpc, title) = match code {
        ErrorCode::ParseError => (StatusCode::BAD_REQUEST, -32700, "Parse error"),
        ErrorCode::InvalidRequest => (StatusCode::BAD_REQUEST, -32600, "Invalid Request"),
        ErrorCode::MethodNotFound => (StatusCode::BAD_REQUEST, -32601, "Method not found"),
        ErrorCode::InvalidParams => (StatusCode::BAD_REQUEST, -32602, "Invalid params"),
        ErrorCode::TaskNotFound => (StatusCode::NOT_FOUND, -32001, "Task not found"),
        ErrorCode::CircularDependency => (StatusCode::UNPROCESSABLE_ENTITY, -32002, "Circular dependency"),
        ErrorCode::ExecutorNotFound => (StatusCode::UNPROCESSABLE_ENTITY, -32003, "Executor not found"),
        ErrorCode::Unauthorized => (StatusCode::FORBIDDEN, -32004, "Unauthorized"),
        ErrorCode::InvalidTask => (StatusCode::UNPROCESSABLE_ENTITY, -32005, "Invalid task"),
        ErrorCode::InvalidTransition => (StatusCode::CONFLICT, -32006, "Invalid state transition"),
        ErrorCode::DependencyNotSatisfied => (StatusCode::CONFLICT, -32007, "Dependency not satisfied"),
        ErrorCode::AlreadyExecuting => (StatusCode::CONFLICT, -32008, "Already executing"),
        ErrorCode::CannotDelete => (StatusCode::CONFLICT, -32009, "Cannot delete"),
        ErrorCode::InvalidParent => (StatusCode::UNPROCESSABLE_ENTITY, -32010, "Invalid parent"),
        ErrorCode::InvalidDependency => (StatusCode::UNPROCESSABLE_ENTITY, -32011, "Invalid dependency"),
        ErrorCode::InvalidTree => (StatusCode::UNPROCESSABLE_ENTITY, -32012, "Tree validation failed"),
        ErrorCode::IdempotencyConflict => (StatusCode::CONFLICT, -32101, "Idempotency conflict"),
        ErrorCode::ScheduleInvalid => (StatusCode::UNPROCESSABLE_ENTITY, -32111, "Invalid schedule"),
        ErrorCode::TaskImmutable => (StatusCode::CONFLICT, -32109, "Task is immutable"),
        ErrorCode::CannotClone => (StatusCode::CONFLICT, -32110, "Cannot clone"),
        ErrorCode::EventsExpired => (StatusCode::GONE, -32116, "Events expired"),
        ErrorCode::WebhookNotFound => (StatusCode::NOT_FOUND, -32117, "Webhook not found"),
        ErrorCode::WebhookInvalid => (StatusCode::UNPROCESSABLE_ENTITY, -32118, "Invalid webhook"),
        ErrorCode::LimitExceeded => (StatusCode::PAYLOAD_TOO_LARGE, -32102, "Limit exceeded"),
        ErrorCode::PluginError => (StatusCode::BAD_GATEWAY, -32103, "Plugin error"),
        ErrorCode::Vetoed => (StatusCode::FORBIDDEN, -32104, "Refused by a hook"),
        ErrorCode::LeaseLost => (StatusCode::CONFLICT, -32105, "Lease lost"),
        ErrorCode::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, -32106, "Store unavailable"),
        ErrorCode::StoreCorrupt => (StatusCode::INTERNAL_SERVER_ERROR, -32107, "Store not usable"),
        ErrorCode::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, -32108, "Shutting down"),
        ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, -32603, "Internal error"),
    };
    Look { status, rpc, title }
}

/// The status of an HTTP response that carries this error alone. What passes by itself is "unavailable" and not the
/// caller's fault, whatever its kind.
pub fn status(error: &Error) -> StatusCode {
    match error.data.get("retryable") {
        Some(Value::Bool(true)) => StatusCode::SERVICE_UNAVAILABLE,
        _ => look(error.code).status,
    }
}

/// The `error` member of a JSON-RPC response.
#[derive(Debug, Serialize)]
pub struct RpcError {
    code: i32,
    message: &'static str,
    data: Map<String, Value>,
}

impl From<&Error> for RpcError {
    fn from(error: &Error) -> Self {
        let look = look(error.code);
        Self { code: look.rpc, message: look.title, data: data(error) }
    }
}

/// What programs and people need: the stable code, the text, and the error's own facts.
fn data(error: &Error) -> Map<String, Value> {
    let mut data = error.data.clone();
    data.insert("code".into(), error.code.as_str().into());
    data.insert("detail".into(), error.message.as_str().into());
    data
}

/// The response of doors that are not JSON-RPC: the same `error` object, and no envelope.
pub fn response(error: &Error) -> Response {
    log(error);
    json_response(status(error), &json!({ "error": RpcError::from(error) }))
}

/// Logs what is not the caller's doing; once for each error, where it leaves the process.
pub(crate) fn log(error: &Error) {
    if look(error.code).status.is_server_error() && error.code != ErrorCode::ShuttingDown {
        tracing::error!(code = %error.code, %error, "a request failed");
    }
}

/// A JSON document as a response.
pub(crate) fn json_response(status: StatusCode, document: &Value) -> Response {
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_looks_different_and_is_an_error() {
        let codes: BTreeSet<i32> = ErrorCode::ALL.iter().map(|code| look(*code).rpc).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let look = look(*code);
            assert!(look.status.is_client_error() || look.status.is_server_error(), "{code}");
            assert!((-32768..=-32000).contains(&look.rpc), "{code}");
        }
    }

    #[test]
    fn facts_of_an_error_never_hide_its_code() {
        let error = Error::new(ErrorCode::InvalidTask, "no").with("code", "mine").with("index", 3);
        let body = serde_json::to_value(RpcError::from(&error)).unwrap();
        let data = json!({"code": "invalid_task", "detail": "no", "index": 3});
        assert_eq!(body, json!({"code": -32005, "message": "Invalid task", "data": data}));
    }
}
