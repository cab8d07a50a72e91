//! What the tests of every crate share: [`mem::MemStore`], the store in memory; [`suite`], the conformance suite that
//! it and every database pass; [`history`], the checker of event logs; [`scripted`], an executor that answers as the
//! test says; [`trees`], small trees as JSON; [`plugins`], the finder of built components;
//! [`postgres`], servers to test on. Nothing here ships.

pub mod history;
pub mod mem;
pub mod plugins;
#[cfg(unix)]
pub mod postgres;
pub mod scripted;
pub mod suite;
pub mod trees;
