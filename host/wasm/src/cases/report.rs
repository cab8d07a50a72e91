//! What came of cases, for people and programs.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

/// One case that was run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The case.
    pub name: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// Whether everything was as expected.
    pub passed: bool,
    /// How long the call took, in microseconds.
    pub wall_us: u64,
    /// What was not as expected.
    pub mismatches: Vec<Mismatch>,
    /// Progress reports, in their order.
    pub progress: Vec<String>,
}

/// Something that was not as expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mismatch {
    /// What: `result`, `failure.code`, `state.KEY`, …
    pub what: String,
    /// What should have been.
    pub expected: Value,
    /// What was.
    pub got: Value,
}

impl Mismatch {
    /// `expected` and `got` of `what`.
    pub(crate) fn new(what: &str, expected: impl Into<Value>, got: impl Into<Value>) -> Self {
        Self { what: what.to_owned(), expected: expected.into(), got: got.into() }
    }
}
