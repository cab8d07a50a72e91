//! How commands fail: what is printed to standard error and which exit code the process has. Both are stable.

use std::process::ExitCode;

use apflow_core::error::{Error, ErrorCode};
use apflow_packages::PackageError;

/// Exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// The tree did not complete, or the request was refused.
    Failed = 1,
    /// Wrong usage or bad input; nothing was done.
    Usage = 2,
    /// A server, database or plugin is out of reach.
    Missing = 3,
    /// Somebody pressed Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    code: String,
    message: String,
    exit: Exit,
}

impl Failure {
    /// Wrong usage or bad input.
    pub fn usage(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), exit: Exit::Usage }
    }

    /// It was done as asked, and did not come out well.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), exit: Exit::Failed }
    }

    /// Something outside is not there.
    pub fn missing(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), exit: Exit::Missing }
    }

    /// The sentence, without the code.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Somebody stopped it before it was done.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { code: "interrupted".into(), message: message.into(), exit: Exit::Interrupted }
    }

    /// An error that a server reported, with the stable code it gave.
    pub fn remote(code: &str, message: impl Into<String>) -> Self {
        let known = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
        Self {
            code: code.into(),
            message: message.into(),
            exit: known.map_or(Exit::Failed, |code| exit_of(*code)),
        }
    }

    /// The process's exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes `error: …` with the code to standard error.
    pub fn print(&self) {
        let label = console::style("error:").red().bold().for_stderr();
        eprintln!("{label} {} ({})", self.message, self.code);
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: error.code.to_string(), message: error.message, exit: exit_of(error.code) }
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        let exit = match error {
            PackageError::SourceInvalid { .. } | PackageError::BadKey { .. } => Exit::Usage,
            PackageError::Unreachable { .. }
            | PackageError::CutOff { .. }
            | PackageError::TooSlow { .. }
            | PackageError::File { .. } => Exit::Missing,
            PackageError::TooLarge { .. }
            | PackageError::DigestMismatch { .. }
            | PackageError::Malformed { .. }
            | PackageError::Unsigned { .. }
            | PackageError::UnknownKey { .. }
            | PackageError::BadSignature { .. }
            | PackageError::NotInstalled { .. } => Exit::Failed,
        };
        Self { code: error.code().into(), message: capital(&error.to_string()), exit }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

const fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::ParseError
        | ErrorCode::InvalidRequest
        | ErrorCode::MethodNotFound
        | ErrorCode::InvalidParams
        | ErrorCode::CircularDependency
        | ErrorCode::ExecutorNotFound
        | ErrorCode::InvalidTask
        | ErrorCode::InvalidParent
        | ErrorCode::InvalidDependency
        | ErrorCode::InvalidTree
        | ErrorCode::ScheduleInvalid
        | ErrorCode::WebhookInvalid
        | ErrorCode::LimitExceeded => Exit::Usage,
        ErrorCode::PluginError
        | ErrorCode::StoreUnavailable
        | ErrorCode::StoreCorrupt
        | ErrorCode::ShuttingDown
        | ErrorCode::Internal => Exit::Missing,
        ErrorCode::TaskNotFound
        | ErrorCode::Unauthorized
        | ErrorCode::InvalidTransition
        | ErrorCode::DependencyNotSatisfied
        | ErrorCode::AlreadyExecuting
        | ErrorCode::CannotDelete
        | ErrorCode::IdempotencyConflict
        | ErrorCode::Vetoed
        | ErrorCode::LeaseLost
        | ErrorCode::TaskImmutable
        | ErrorCode::CannotClone
        | ErrorCode::EventsExpired
        | ErrorCode::WebhookNotFound => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_code_and_get_an_exit_code() {
        let failure = Failure::from(Error::new(ErrorCode::InvalidTree, "Two roots"));
        assert_eq!((failure.code.as_str(), failure.exit()), ("invalid_tree", Exit::Usage));
        assert_eq!(Failure::remote("store_unavailable", "x").exit(), Exit::Missing);
        assert_eq!(Failure::remote("task_not_found", "x").exit(), Exit::Failed);
        assert_eq!(Failure::remote("from_the_future", "x").exit(), Exit::Failed);
    }
}
