//! Why a call did not give what it promises: [`Failure`], its parts, and how other errors become one.
//!
//! A failure says by its kind what the host shall do next: `bad input` and `permanent` are never retried, `retryable`
//! is, as the task's retry policy says. Every trait function of this crate ends in it, and the export macros hand it
//! to the host.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::types as wit;
use crate::wire::millis;

/// Why a call failed, and whether it may succeed when it is made again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// The inputs or params break the executor's contract. Never retried.
    BadInput(Issue),
    /// The same call may succeed later. Retried as the task's retry policy says.
    Retryable {
        /// What went wrong.
        issue: Issue,
        /// The shortest wait before the next attempt, if the other side named one.
        after: Option<Duration>,
    },
    /// Will fail again. Never retried.
    Permanent(Issue),
    /// The plugin stopped because it was asked to.
    Cancelled,
}

/// One thing that went wrong, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Stable, lower case, words joined by `_`: `missing_input`.
    pub code: String,
    /// One sentence that names the field, the value and the remedy.
    pub message: String,
    /// Where in the inputs it is, as a JSON pointer (RFC 6901): `/url`.
    pub pointer: Option<String>,
    /// More data for programs.
    pub extra: Map<String, Value>,
}

impl Issue {
    /// An issue without pointer and extra data.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), pointer: None, extra: Map::new() }
    }
}

impl Failure {
    /// The inputs break the contract at `pointer` (RFC 6901; `""` means the inputs as a whole).
    pub fn bad_input(
        code: impl Into<String>,
        message: impl Into<String>,
        pointer: impl Into<String>,
    ) -> Self {
        Self::BadInput(Issue { pointer: Some(pointer.into()), ..Issue::new(code, message) })
    }

    /// May pass if the call is made again, `after` this time at the earliest if the other side named one.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>, after: Option<Duration>) -> Self {
        Self::Retryable { issue: Issue::new(code, message), after }
    }

    /// Will fail again.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Permanent(Issue::new(code, message))
    }

    /// Stopped on request.
    pub fn cancelled() -> Self {
        Self::Cancelled
    }

    /// A permanent failure that tells an error with all its causes, for errors that have no conversion of their own:
    /// `parse(text).map_err(|e| Failure::from_error("bad_feed", &e))?`.
    pub fn from_error(code: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        Self::permanent(code, message)
    }

    /// Adds data for programs; does nothing to [`Failure::Cancelled`] or where `value` is not representable as JSON.
    #[must_use]
    pub fn with_extra(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        if let (Some(issue), Ok(value)) = (self.issue_mut(), serde_json::to_value(value)) {
            issue.extra.insert(key.into(), value);
        }
        self
    }

    /// What went wrong; none for [`Failure::Cancelled`].
    pub fn issue(&self) -> Option<&Issue> {
        match self {
            Self::BadInput(issue) | Self::Permanent(issue) | Self::Retryable { issue, .. } => Some(issue),
            Self::Cancelled => None,
        }
    }

    /// The stable code; `cancelled` for [`Failure::Cancelled`].
    pub fn code(&self) -> &str {
        self.issue().map_or("cancelled", |issue| issue.code.as_str())
    }

    fn issue_mut(&mut self) -> Option<&mut Issue> {
        match self {
            Self::BadInput(issue) | Self::Permanent(issue) | Self::Retryable { issue, .. } => Some(issue),
            Self::Cancelled => None,
        }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.issue() {
            Some(issue) => issue.fmt(f),
            None => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Failure {}

/// Bad input, with the JSON pointer of the value that does not fit.
impl From<serde_path_to_error::Error<serde_json::Error>> for Failure {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let pointer = crate::wire::pointer(error.path());
        let reason = crate::wire::reason(error.inner());
        Self::bad_input("invalid_input", reason, pointer)
    }
}

/// Bad input without a pointer: plain serde errors do not know where they are.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::BadInput(Issue::new("invalid_json", error.to_string()))
    }
}

/// Retryable where the kind says that it may pass (interrupted, timed out, reset), permanent elsewhere.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let passing = matches!(
            error.kind(),
            Kind::Interrupted
                | Kind::TimedOut
                | Kind::WouldBlock
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::ConnectionRefused
        );
        let issue = Issue::new("io_error", error.to_string());
        let failure = if passing { Self::Retryable { issue, after: None } } else { Self::Permanent(issue) };
        failure.with_extra("kind", error.kind().to_string())
    }
}

impl From<Issue> for wit::Issue {
    fn from(issue: Issue) -> Self {
        let extra = Value::Object(issue.extra).to_string();
        Self { code: issue.code, message: issue.message, pointer: issue.pointer, extra }
    }
}

impl From<wit::Issue> for Issue {
    fn from(issue: wit::Issue) -> Self {
        let extra = serde_json::from_str(&issue.extra).unwrap_or_default();
        Self { code: issue.code, message: issue.message, pointer: issue.pointer, extra }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::BadInput(issue) => Self::BadInput(issue.into()),
            Failure::Permanent(issue) => Self::Permanent(issue.into()),
            Failure::Cancelled => Self::Cancelled,
            Failure::Retryable { issue, after } => {
                Self::Retryable(wit::Retry { issue: issue.into(), after_ms: after.map(millis) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Server {
        #[expect(dead_code, reason = "only its type matters")]
        port: u16,
    }

    fn read(text: &str) -> Result<Vec<Server>, Failure> {
        crate::wire::from_json(text)
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_by_its_pointer() {
        let failure = read(r#"[{"port": 1}, {"port": "x"}]"#).unwrap_err();
        let Failure::BadInput(issue) = failure else { panic!("{failure:?}") };
        assert_eq!(issue.code, "invalid_input");
        assert_eq!(issue.pointer.as_deref(), Some("/1/port"));
        assert_eq!(issue.message, "invalid type: string \"x\", expected u16");
    }

    #[test]
    fn a_missing_field_points_to_the_object_that_lacks_it() {
        let failure = read(r#"[{}]"#).unwrap_err();
        let issue = failure.issue().unwrap();
        assert_eq!(issue.pointer.as_deref(), Some("/0"));
        assert!(issue.message.contains("`port`"), "{}", issue.message);
    }

    #[test]
    fn the_question_mark_turns_serde_errors_into_bad_input() {
        fn parse() -> Result<Value, Failure> {
            Ok(serde_json::from_str("{")?)
        }
        let failure = parse().unwrap_err();
        assert!(matches!(failure, Failure::BadInput(_)), "{failure:?}");
        assert_eq!(failure.code(), "invalid_json");
    }

    #[test]
    fn io_errors_are_retryable_only_where_they_may_pass() {
        let denied = Failure::from(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert!(matches!(denied, Failure::Permanent(_)), "{denied:?}");
        let late = Failure::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert!(matches!(late, Failure::Retryable { after: None, .. }), "{late:?}");
        assert_eq!(late.issue().unwrap().extra["kind"], "timed out");
    }

    #[test]
    fn kinds_waits_and_extra_data_survive_the_border() {
        let failure = Failure::retryable("busy", "come back", Some(Duration::from_millis(1500)))
            .with_extra("queue", json!({"length": 3}));
        let wit::Failure::Retryable(retry) = wit::Failure::from(failure) else { panic!("kind changed") };
        assert_eq!(retry.after_ms, Some(1500));
        assert_eq!(retry.issue.extra, r#"{"queue":{"length":3}}"#);
        assert_eq!(retry.issue.pointer, None);
        assert!(matches!(wit::Failure::from(Failure::cancelled()), wit::Failure::Cancelled));
    }

    #[test]
    fn foreign_errors_keep_their_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("no number")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let failure = Failure::from_error("bad_number", &Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(failure.to_string(), "bad_number: no number: invalid digit found in string");
    }
}
