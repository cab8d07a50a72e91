//! A plugin's own test cases: the real component in the real sandbox, with exactly what its `plugin.toml` asks for granted,
//! and everything outside faked as the case says. Nothing leaves the machine. `apflow plugin test` shows what comes of it.
//!
//! Programs (`process`), folders and variables that the plugin asks for are those of the machine; `net` is refused.

mod expect;
mod file;
mod network;
mod report;
mod run;
mod services;

pub use file::{Case, CaseFile, CaseFileError};
pub use report::{Mismatch, Report};
pub use run::CaseRunner;

pub(crate) use expect::violation;
pub(crate) use run::{bare_run, call, invocation};
