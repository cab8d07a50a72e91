//! Why a plugin was not loaded. Each says which file, what is wrong and what to do, and has a stable code. What goes
//! wrong inside a call is a [`TaskError`] and made in `call`.

use std::fmt;
use std::path::{Path, PathBuf};

use apflow_core::error::{Error, ErrorCode, FailureKind, TaskError};

/// A plugin, or the sandbox itself, that could not be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasmError {
    /// The file or folder it is about; none for the sandbox.
    pub path: Option<PathBuf>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The sandbox or the file watcher cannot be set up on this machine.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
    /// The grants file cannot be used.
    #[error("{0}")]
    Grants(String),
    /// A file or folder cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// There is a `plugin.toml` and no component beside it.
    #[error("the component is missing; build it, or remove plugin.toml")]
    Missing,
    /// The bytes are not a component.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(&'static str),
    /// It begins like a component and does not hold.
    #[error("the component is damaged or cut off: {0}; build or copy it again")]
    Malformed(String),
    /// It exports nothing that the host can call.
    #[error(
        "the component is not a plugin: it exports {0}; export apflow:plugin/executor, hooks or collector in version 0.1"
    )]
    WrongWorld(String),
    /// It needs something that this host does not have.
    #[error("the component imports `{interface}`, {reason}")]
    UnknownImport {
        /// The interface with its version.
        interface: String,
        /// Why it is not there, and the remedy.
        reason: &'static str,
    },
    /// Imports or exports have other types than the contract says.
    #[error("the component does not fit the contract: {0}; build it with the WIT files of this host")]
    WrongTypes(String),
    /// `plugin.toml` is wrong.
    #[error("{0}")]
    BadManifest(String),
    /// The operator sets something that there is not, or refers to a secret that is not granted.
    #[error("{0}")]
    UnknownSetting(String),
    /// The names in `plugin.toml` and on disk differ.
    #[error("plugin.toml names the plugin `{manifest}`, and its folder is `{folder}`; rename one of them")]
    NameMismatch {
        /// What `plugin.toml` says.
        manifest: String,
        /// What the folder or file is called.
        folder: String,
    },
    /// The kinds in `plugin.toml` and the exports differ.
    #[error(
        "plugin.toml says that it is {manifest}, and the component exports {exports}; correct `plugin.kind`"
    )]
    KindMismatch {
        /// What `plugin.toml` says.
        manifest: String,
        /// What is exported.
        exports: String,
    },
    /// Describing itself failed or gave nonsense.
    #[error("`{function}` does not describe the plugin: {problem}")]
    Describe {
        /// The exported function.
        function: &'static str,
        /// What came back.
        problem: String,
    },
    /// Somebody rolled it back.
    #[error(
        "version {version} was put in its place by a rollback; other files end that, and so does `apflow plugin unpin`"
    )]
    Pinned {
        /// The version that serves.
        version: String,
    },
    /// It failed its trial.
    #[error(
        "this version is not used: {reason}; install another, or try it again with `apflow plugin unpin`"
    )]
    RolledBack {
        /// What happened.
        reason: String,
    },
    /// Another plugin has an executor of the same id.
    #[error(
        "executor `{id}` belongs to plugin `{owner}` already; rename it or remove one of the two plugins"
    )]
    DuplicateExecutor {
        /// The id.
        id: String,
        /// The plugin that has it.
        owner: String,
    },
}

impl Problem {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Sandbox(_) => "sandbox_unavailable",
            Self::Grants(_) => "grants_file",
            Self::Unreadable(_) => "unreadable",
            Self::Missing => "component_missing",
            Self::NotAComponent(_) => "not_a_component",
            Self::Malformed(_) => "malformed",
            Self::WrongWorld(_) => "wrong_world",
            Self::UnknownImport { .. } => "unknown_import",
            Self::WrongTypes(_) => "wrong_types",
            Self::BadManifest(_) => "bad_manifest",
            Self::UnknownSetting(_) => "unknown_setting",
            Self::NameMismatch { .. } => "name_mismatch",
            Self::KindMismatch { .. } => "kind_mismatch",
            Self::Describe { .. } => "describe_failed",
            Self::Pinned { .. } => "pinned",
            Self::RolledBack { .. } => "rolled_back",
            Self::DuplicateExecutor { .. } => "duplicate_executor",
        }
    }

    /// This problem of the file or folder at `path`.
    pub(crate) fn at(self, path: &Path) -> WasmError {
        WasmError { path: Some(path.to_owned()), problem: self }
    }
}

impl WasmError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.problem.code()
    }
}

impl fmt::Display for WasmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        write!(f, "{} ({})", self.problem, self.code())
    }
}

impl std::error::Error for WasmError {}

impl From<Problem> for WasmError {
    fn from(problem: Problem) -> Self {
        Self { path: None, problem }
    }
}

impl From<WasmError> for Error {
    fn from(error: WasmError) -> Self {
        let code = error.code();
        let path = error.path.as_ref().map(|path| path.display().to_string());
        Self::new(ErrorCode::PluginError, error.to_string()).with("problem", code).with("path", path)
    }
}

impl From<WasmError> for TaskError {
    fn from(error: WasmError) -> Self {
        Self::new(FailureKind::Plugin, error.code(), error.to_string())
    }
}
