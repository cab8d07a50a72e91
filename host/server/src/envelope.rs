//! The JSON-RPC 2.0 envelope: what a request must look like, and how responses are written. Knows nothing of
//! operations.

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::json::Json;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::RpcError;

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// The operation.
    pub method: String,
    /// Its parameters; null if there are none.
    pub params: Value,
    /// What the response repeats; none for a notification, which gets no response.
    pub id: Option<Value>,
}

/// A call, or why it is none; the latter with the id to answer to.
pub(crate) type Parsed = Result<Call, (Value, Error)>;

/// What a body holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// One call.
    One(Parsed),
    /// Several, to be answered together.
    Batch(Vec<Parsed>),
}

/// Reads a body. Broken parts of a batch do not spoil the rest.
pub(crate) fn parse(body: &[u8], max_batch: usize) -> Message {
    let refuse = |error| Message::One(Err((Value::Null, error)));
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        return Message::One(call(body));
    }
    match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Err(error) => refuse(not_json(&error)),
        Ok(calls) if calls.is_empty() => refuse(Error::new(
            ErrorCode::InvalidRequest,
            "The batch is empty; send at least one request in it",
        )),
        Ok(calls) if calls.len() > max_batch => refuse(
            Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "The batch has {} requests, the limit is {max_batch} (server.max_batch)",
                    calls.len()
                ),
            )
            .with("limit", max_batch),
        ),
        Ok(calls) => Message::Batch(calls.into_iter().map(|one| call(one.get().as_bytes())).collect()),
    }
}

/// A request as it comes. All members are free-form here, so that reading fails on broken JSON only.
#[derive(Deserialize)]
struct Envelope {
    jsonrpc: Option<Value>,
    method: Option<Value>,
    #[serde(default)]
    params: Value,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
}

/// Tells `"id": null` from no id.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn call(text: &[u8]) -> Parsed {
    let is_object = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let envelope: Envelope = if is_object {
        serde_json::from_slice(text).map_err(|error| (Value::Null, not_json(&error)))?
    } else {
        let error = match serde_json::from_slice::<&RawValue>(text) {
            Ok(_) => Error::new(ErrorCode::InvalidRequest, "A request is a JSON object with a 'method'"),
            Err(error) => not_json(&error),
        };
        return Err((Value::Null, error));
    };
    let id = match envelope.id {
        Some(Value::Null | Value::String(_) | Value::Number(_)) | None => envelope.id,
        Some(other) => {
            let text = format!("'id' is {other}; send a string, a number or null");
            return Err((Value::Null, invalid("id", text)));
        }
    };
    let refuse = |error| Err((id.clone().unwrap_or_default(), error));
    if let Some(version) = envelope.jsonrpc.filter(|version| version != "2.0") {
        return refuse(invalid("jsonrpc", format!("'jsonrpc' is {version}; send \"2.0\" or leave it out")));
    }
    match envelope.method {
        Some(Value::String(method)) => Ok(Call { method, params: envelope.params, id }),
        Some(other) => {
            refuse(invalid("method", format!("'method' is {other}; send the name of an operation")))
        }
        None => refuse(invalid("method", "'method' is missing; send the name of an operation".into())),
    }
}

fn invalid(field: &str, text: String) -> Error {
    Error::new(ErrorCode::InvalidRequest, text).with("field", field)
}

fn not_json(error: &serde_json::Error) -> Error {
    let code = if error.is_data() { ErrorCode::InvalidRequest } else { ErrorCode::ParseError };
    Error::new(code, format!("The request is not valid JSON-RPC: {error}"))
}

/// A response with a result, in three parts; the middle one may be large and is not copied.
pub(crate) fn success(id: &Value, result: Json) -> (String, Json, &'static str) {
    let (head, tail) = around(id);
    (head, result, tail)
}

/// What stands before and after a result.
pub(crate) fn around(id: &Value) -> (String, &'static str) {
    (format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#), "}")
}

/// A response with an error.
pub(crate) fn failure(id: &Value, error: &Error) -> String {
    serde_json::json!({ "jsonrpc": "2.0", "id": id, "error": RpcError::from(error) }).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(body: &str) -> Parsed {
        match parse(body.as_bytes(), 10) {
            Message::One(parsed) => parsed,
            Message::Batch(_) => panic!("a batch"),
        }
    }

    fn refusal(body: &str) -> (Value, ErrorCode) {
        let (id, error) = one(body).unwrap_err();
        (id, error.code)
    }

    #[test]
    fn requests_and_notifications_are_told_apart() {
        let call = one(r#" {"method": "m", "params": [1], "id": "x"}"#).unwrap();
        assert_eq!(call, Call { method: "m".into(), params: json!([1]), id: Some(json!("x")) });
        assert_eq!(one(r#"{"jsonrpc": "2.0", "method": "m"}"#).unwrap().id, None);
        assert_eq!(one(r#"{"method": "m", "id": null}"#).unwrap().id, Some(Value::Null));
    }

    #[test]
    fn broken_requests_are_refused_with_the_id_they_have() {
        assert_eq!(refusal("not json"), (Value::Null, ErrorCode::ParseError));
        assert_eq!(refusal(""), (Value::Null, ErrorCode::ParseError));
        assert_eq!(refusal(r#"{"method": "m""#), (Value::Null, ErrorCode::ParseError));
        assert_eq!(refusal("{} {}"), (Value::Null, ErrorCode::ParseError));
        assert_eq!(
            refusal(&format!(r#"{{"params":{}"#, "[".repeat(100_000))),
            (Value::Null, ErrorCode::ParseError)
        );
        assert_eq!(refusal("\"text\""), (Value::Null, ErrorCode::InvalidRequest));
        assert_eq!(refusal("[]"), (Value::Null, ErrorCode::InvalidRequest));
        assert_eq!(refusal(r#"{"id": 1}"#), (json!(1), ErrorCode::InvalidRequest));
        assert_eq!(refusal(r#"{"id": 1, "method": 2}"#), (json!(1), ErrorCode::InvalidRequest));
        assert_eq!(
            refusal(r#"{"id": 1, "method": "m", "jsonrpc": "1.0"}"#),
            (json!(1), ErrorCode::InvalidRequest)
        );
        assert_eq!(refusal(r#"{"id": {}, "method": "m"}"#), (Value::Null, ErrorCode::InvalidRequest));
        assert_eq!(refusal(r#"{"method": "m", "method": "n"}"#), (Value::Null, ErrorCode::InvalidRequest));
        assert_eq!(refusal(&format!("[{}1]", "1,".repeat(10))), (Value::Null, ErrorCode::LimitExceeded));
    }

    #[test]
    fn a_broken_part_does_not_spoil_a_batch() {
        let Message::Batch(parts) = parse(br#"[{"method": "m", "id": 1}, 5, [1]]"#, 10) else {
            panic!("not a batch")
        };
        assert!(parts[0].is_ok());
        assert!(parts[1..].iter().all(|part| part.as_ref().unwrap_err().1.code == ErrorCode::InvalidRequest));
    }
}
