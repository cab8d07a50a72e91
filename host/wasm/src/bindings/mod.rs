//! The contract in Rust: one module per 0.x line, generated from the WIT files, and its translation from and to the types
//! of `apflow_core`. Guest types stop here; adapters and capabilities see them, nothing else does.

pub(crate) mod convert;
pub mod v0_1;
