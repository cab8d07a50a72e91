//! How plugins are begun and built, in every language that has an SDK: templates, tools, recipes. `cargo xtask` and
//! `apflow plugin` both build with what is here, so a plugin is built the same way inside and outside this repository.
//! Nothing of the sandbox is known here; whether a component is a good one is `apflow-wasm`'s business.

mod build;
mod c;
mod embedded;
mod freshness;
mod javascript;
mod process;
mod project;
mod python;
mod rust;
mod rust_target;
pub mod sdk;
mod template;
mod workshop;
mod world;

pub use anyhow::Error;
pub use build::{Job, Tools, build, fetch_tools};
pub use freshness::short_digest;
pub use javascript::{is_here as node_is_here, packages as npm_packages, run_tests as run_javascript_tests};
pub use process::{line, probe, read, run, run_quietly, run_within};
pub use project::{Kind, Language, Project, check_name};
pub use python::{
    environment as python_environment, is_here as python_is_here, run_tests as run_python_tests,
};
pub use rust::{by_workspace as rust_workspaces, package_name as rust_package};
pub use rust_target::{RustTarget, TARGET, debian};
pub use template::{Names, write as write_project};
pub use workshop::{ToolMissing, Workshop};
