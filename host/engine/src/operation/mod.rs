//! The operation table: the only list of what can be done with an engine from outside. Doors (JSON-RPC, command line,
//! console, …) look an operation up by name, hand it JSON and translate the reply; names, schemas, permissions and the
//! documentation in `docs/operations.md` come from here. What an operation does is the engine's business: the files
//! beside this one read parameters, call the engine and shape the answer.

mod clone;
mod control;
mod create;
mod doc;
mod events;
mod execute;
mod nested;
mod params;
mod plugins;
mod query;
mod running;
mod schedules;
mod shape;
mod system;
mod table;
mod webhooks;

use std::fmt;

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::json::Json;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

pub use doc::markdown;
pub use events::{execution_events, tree_of};
pub use nested::MAX_NESTED_LEVELS;
pub use table::OPERATIONS;

use crate::Engine;

/// Where an operation is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Work: `POST /tasks`.
    Tasks,
    /// The host itself: `POST /system`.
    System,
}

impl Door {
    /// The text in errors and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tasks => "task",
            Self::System => "system",
        }
    }

    /// The operation with that name or alias behind this door.
    ///
    /// # Errors
    /// `MethodNotFound`, naming it.
    pub fn find(self, name: &str) -> Result<&'static Operation> {
        OPERATIONS.iter().find(|one| one.door == self && one.is_called(name)).ok_or_else(|| {
            Error::new(ErrorCode::MethodNotFound, format!("Unknown {} method: {name}", self.as_str()))
                .with("method", name)
        })
    }
}

/// What an operation is for; groups listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// Runs or stops work.
    AgentAction,
    /// Makes, reads, changes or deletes one task.
    Crud,
    /// Reads several tasks, or what is known about one.
    Query,
    /// Shows what happens at the moment.
    Monitoring,
    /// Concerns the host.
    System,
}

impl Category {
    /// All, in the order of listings.
    pub const ALL: [Self; 5] = [Self::AgentAction, Self::Crud, Self::Query, Self::Monitoring, Self::System];

    /// The text on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentAction => "agent_action",
            Self::Crud => "crud",
            Self::Query => "query",
            Self::Monitoring => "monitoring",
            Self::System => "system",
        }
    }
}

/// What a caller must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// See.
    Read,
    /// Change tasks.
    Write,
    /// Change the host.
    Admin,
}

impl Permission {
    /// The text on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A document. Kept as text: a listing may hold 100,000 tasks, and no door needs to look inside.
    Value(Json),
    /// A large document in parts, which belong together in this order. Doors that can send them one by one need not hold
    /// the whole of it twice.
    Parts(Vec<String>),
    /// A document now, and then the events of one execution until it has ended; see [`execution_events`].
    Stream(Stream),
}

/// An execution whose events follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// The answer that comes before the events.
    pub first: Json,
    /// The tree.
    pub tree_id: TreeId,
    /// The root of the tree.
    pub root: TaskId,
    /// Position in the log before the first event of the execution.
    pub after: Seq,
    /// Number of the execution.
    pub execution: u32,
}

/// What runs an operation.
pub type Call = for<'a> fn(&'a Engine, Value) -> BoxFuture<'a, Result<Reply>>;

/// One thing that can be done.
pub struct Operation {
    /// Its name on every wire.
    pub name: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [&'static str],
    /// Where it is reached.
    pub door: Door,
    /// What it is for.
    pub category: Category,
    /// A title for people.
    pub title: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What else a caller must know, in Markdown; may be empty.
    pub description: &'static str,
    /// Parameters that work, as JSON text.
    pub example: &'static str,
    /// JSON Schema of the parameters.
    pub params: fn() -> Value,
    /// JSON Schema of the result.
    pub result: fn() -> Value,
    /// What the caller must be allowed to do.
    pub permission: Permission,
    /// Whether `use_streaming` makes it answer with [`Reply::Stream`].
    pub streams: bool,
    /// Runs it.
    pub call: Call,
}

impl Operation {
    /// Whether `name` is its name or one of its aliases.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Whether a call with these parameters asks for a stream.
    pub fn wants_stream(&self, params: &Value) -> bool {
        self.streams && params.get("use_streaming") == Some(&Value::Bool(true))
    }
}

/// The JSON form of a result.
fn document<T: Serialize + ?Sized>(result: &T) -> Result<Json> {
    Json::of(result).map_err(|error| {
        Error::new(
            ErrorCode::Internal,
            format!("A result has no JSON form: {error}. This is a defect; please report it"),
        )
    })
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("name", &self.name).finish_non_exhaustive()
    }
}
