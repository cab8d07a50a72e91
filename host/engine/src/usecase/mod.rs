//! What a door or an embedder may do, one family a file: check, then one store verb.

pub(crate) mod cancel;
pub(crate) mod clone;
pub(crate) mod create;
pub(crate) mod execute;
pub(crate) mod explain;
pub(crate) mod query;
mod schedule;
mod update;
pub(crate) mod webhook;
