//! The doors over real sockets, on an engine with a store in memory and executors that answer as the test says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod envelopes;
mod limits;
mod listening;
mod queries;
mod setup;
mod streams;
mod work;
