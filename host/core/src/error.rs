//! The one list of error codes and the error that operations return. Doors map a code to a status in one table; the
//! code's text is stable.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What kind of error it is. The text form is stable and documented in `docs/errors.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// All codes, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable text: lower case, words joined by `_`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The request is not JSON.
    ParseError = "parse_error",
    /// The request is JSON but not a request.
    InvalidRequest = "invalid_request",
    /// There is no operation of that name.
    MethodNotFound = "method_not_found",
    /// A parameter is missing, unknown or malformed.
    InvalidParams = "invalid_params",
    /// There is no such task.
    TaskNotFound = "task_not_found",
    /// Dependencies form a circle.
    CircularDependency = "circular_dependency",
    /// No loaded plugin has that executor.
    ExecutorNotFound = "executor_not_found",
    /// The caller may not do this.
    Unauthorized = "unauthorized",
    /// A task object breaks the task schema or its executor's input schema.
    InvalidTask = "invalid_task",
    /// A status change that the state machine does not know.
    InvalidTransition = "invalid_transition",
    /// A required dependency has not completed.
    DependencyNotSatisfied = "dependency_not_satisfied",
    /// The tree is running.
    AlreadyExecuting = "already_executing",
    /// The task cannot be deleted.
    CannotDelete = "cannot_delete",
    /// `parent_id` names nothing.
    InvalidParent = "invalid_parent",
    /// A dependency names nothing or may not be set.
    InvalidDependency = "invalid_dependency",
    /// The tree as a whole is not valid: empty, no root, several roots, ids taken.
    InvalidTree = "invalid_tree",
    /// The same idempotency key came with other content.
    IdempotencyConflict = "idempotency_conflict",
    /// A schedule cannot be read, or cannot be where it was put.
    ScheduleInvalid = "schedule_invalid",
    /// The task is archived, or a link: it can neither be changed nor run.
    TaskImmutable = "task_immutable",
    /// The task cannot be cloned in that way.
    CannotClone = "cannot_clone",
    /// The events that were asked for have been removed by retention.
    EventsExpired = "events_expired",
    /// There is no such webhook.
    WebhookNotFound = "webhook_not_found",
    /// A webhook cannot be delivered as it is written, or not in its present state.
    WebhookInvalid = "webhook_invalid",
    /// Something is larger than the configured limit.
    LimitExceeded = "limit_exceeded",
    /// A plugin was refused or is broken.
    PluginError = "plugin_error",
    /// A hook refused.
    Vetoed = "vetoed",
    /// The lease of a run is held by someone else, or has expired.
    LeaseLost = "lease_lost",
    /// The store is locked, full or unreachable; trying again may help.
    StoreUnavailable = "store_unavailable",
    /// The database is not one that this version can use.
    StoreCorrupt = "store_corrupt",
    /// The host is stopping.
    ShuttingDown = "shutting_down",
    /// A defect in apflow itself.
    Internal = "internal",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an operation was refused. `message` is for people and names the field, the value and the remedy; `data` is for
/// programs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The kind.
    pub code: ErrorCode,
    /// One or a few sentences.
    pub message: String,
    /// More facts, for example `{"index": 3, "field": "parent_id"}`.
    pub data: Map<String, Value>,
}

impl Error {
    /// An error without data.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: Map::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }

    /// No task has this id.
    pub fn task_not_found(id: &crate::id::TaskId) -> Self {
        Self::new(ErrorCode::TaskNotFound, format!("Task '{id}' not found")).with("task_id", id.as_str())
    }

    /// What comes after `after` was asked for, but everything up to `start` has been removed.
    pub fn events_expired(after: crate::id::Seq, start: crate::id::Seq) -> Self {
        let oldest = start.0 + 1;
        let text = format!(
            "The log begins at position {oldest}: events after position {after} were asked for, and those before {oldest} have \
             been removed (`events.retain_days`, `events.retain_max`). To go on with what there is, ask for events after \
             {start}; what was missed is in `tasks.get` and `tasks.attempts`"
        );
        Self::new(ErrorCode::EventsExpired, text)
            .with("after", after.0)
            .with("oldest_seq", oldest)
            .with("resume_after", start.0)
    }

    /// The same about one task of a list.
    #[must_use]
    pub(crate) fn at_task(mut self, index: usize) -> Self {
        self.message = format!("Task at index {index}: {}", self.message);
        self.with("index", index)
    }

    /// A parameter that is missing or malformed.
    pub fn invalid_params(field: &str, problem: impl fmt::Display) -> Self {
        Self::new(ErrorCode::InvalidParams, format!("Parameter '{field}': {problem}")).with("field", field)
    }
}

/// Result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can mend a failed run, and whether another attempt makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The inputs or params are wrong.
    BadInput,
    /// It may work later.
    Retryable,
    /// It will fail again.
    Permanent,
    /// It was told to stop.
    Cancelled,
    /// The plugin broke a limit, trapped, lied or was refused a capability.
    Plugin,
}

/// Why an attempt failed: what is stored with it and shown as the task's error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// Stable code: one of the host's (`timeout`, `memory_limit`, …) or the plugin's own.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// JSON pointer into the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// More facts.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

impl TaskError {
    /// An error without pointer or data.
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), pointer: None, data: Map::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
