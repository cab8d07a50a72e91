//! JSON text to values and back, with errors that say where; times to whole milliseconds. The border between typed Rust
//! and the documents of the WIT interfaces; every other module of this crate goes through here.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::Failure;

/// Reads a document; what does not fit is bad input with the JSON pointer of the culprit.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Writes a document; `what` names it where the type cannot be written as JSON (a map with keys that are no text).
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T, what: &str) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| {
        Failure::permanent("not_json", format!("the {what} cannot be written as JSON: {error}"))
    })
}

/// A permanent failure from an `other` case of a capability: JSON text with `code` and `message`, or plain text.
#[cfg(any(feature = "http", feature = "process", feature = "net", feature = "tasks"))]
pub(crate) fn other_failure(code: &str, text: &str) -> Failure {
    #[derive(serde::Deserialize)]
    struct Other {
        code: String,
        message: String,
    }
    match serde_json::from_str::<Other>(text) {
        Ok(other) => Failure::permanent(other.code, other.message),
        Err(_) => Failure::permanent(code, text),
    }
}

/// What a capability answers in unit tests on the developer's machine.
#[cfg(all(
    not(target_family = "wasm"),
    any(
        feature = "http",
        feature = "process",
        feature = "system",
        feature = "net",
        feature = "secrets",
        feature = "state",
        feature = "tasks",
        feature = "checkpoint"
    )
))]
pub(crate) fn no_host(capability: &str) -> crate::Issue {
    let message = format!("`{capability}` exists only inside a host; test the parts that do not need it");
    crate::Issue::new("no_host", message)
}

/// [`no_host`] as the document that an `other` case holds.
#[cfg(all(not(target_family = "wasm"), any(feature = "http", feature = "process", feature = "net")))]
pub(crate) fn no_host_document(capability: &str) -> String {
    let issue = no_host(capability);
    serde_json::json!({"code": issue.code, "message": issue.message}).to_string()
}

/// Reads a document that the host keeps for the plugin; one that does not fit `T` is a permanent failure, not bad input:
/// the task's inputs are not to blame.
#[cfg(any(feature = "state", feature = "tasks", feature = "checkpoint"))]
pub(crate) fn from_kept<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Failure> {
    from_json(text).map_err(|failure| {
        let issue = failure.issue();
        let place = issue.and_then(|issue| issue.pointer.as_deref()).unwrap_or_default();
        let reason = issue.map_or("", |issue| issue.message.as_str());
        Failure::permanent("does_not_fit", format!("the {what} does not fit: {place} {reason}"))
    })
}

/// The grant is missing, or what was asked for does not exist here: neither passes by itself.
#[cfg(any(feature = "system", feature = "secrets", feature = "state", feature = "checkpoint"))]
pub(crate) fn refused(issue: crate::bindings::types::Issue) -> Failure {
    Failure::Permanent(crate::Issue::from(issue))
}

/// Whole milliseconds, rounded up so that a wait is never shortened to nothing, and capped at what `u32` holds (49 days).
pub(crate) fn millis(time: Duration) -> u32 {
    let rounded = time.as_nanos().div_ceil(1_000_000);
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

/// A path as JSON pointer (RFC 6901); the empty text is the whole document.
pub(crate) fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            // Enum variants are steps in the type, not always in the document; what is unknown ends the path.
            Segment::Enum { .. } => {}
            Segment::Unknown => break,
        }
    }
    pointer
}

/// The error's text without serde_json's line and column, which mean nothing to people who never see the text.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn pointers_escape_what_rfc_6901_reserves() {
        let failure = from_json::<BTreeMap<String, u8>>(r#"{"a/b~c": "no"}"#).unwrap_err();
        assert_eq!(failure.issue().unwrap().pointer.as_deref(), Some("/a~1b~0c"));
    }

    #[test]
    fn text_after_the_document_is_refused() {
        assert_eq!(from_json::<u8>("1 2").unwrap_err().code(), "invalid_json");
    }

    #[test]
    fn milliseconds_round_up_and_stop_at_the_end() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_millis(30)), 30);
        assert_eq!(millis(Duration::from_secs(1 << 40)), u32::MAX);
    }

    #[test]
    fn values_that_json_cannot_hold_are_named() {
        let strange = BTreeMap::from([((1, 2), 3)]);
        let failure = to_json(&strange, "result of `sum`").unwrap_err();
        assert!(failure.to_string().starts_with("not_json: the result of `sum`"), "{failure}");
    }
}
