//! The engine over the store in memory, with executors, hooks and collectors that answer as the tests say. Time is a
//! clock that the tests move; what happens is awaited, never slept for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#![expect(clippy::needless_pass_by_value, reason = "tests hand over JSON as they write it")]

mod cancelling;
mod collecting;
mod hooks;
mod leases;
mod limits;
mod running;
mod schedules;
mod setup;
mod webhooks;
