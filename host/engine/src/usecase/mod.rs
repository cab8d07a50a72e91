//! What a door or an embedder may do, one family a file: check, then one store verb.

mod cancel;
mod clone;
pub(crate) mod create;
pub(crate) mod execute;
pub(crate) mod explain;
pub(crate) mod query;
mod schedule;
mod update;
pub(crate) mod webhook;
