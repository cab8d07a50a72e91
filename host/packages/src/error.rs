//! What can go wrong with a package: each error names the thing, the problem and the remedy, and has a stable code.

use std::path::Path;

/// Shorthand.
pub type Result<T> = std::result::Result<T, PackageError>;

/// Why a package was not taken, made or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// What was given is no source.
    #[error("'{given}' is not a package: {problem}")]
    SourceInvalid {
        /// As it was given.
        given: String,
        /// What is expected.
        problem: String,
    },
    /// Nothing answered, or the answer was a refusal.
    #[error("{source_name} cannot be reached: {problem}")]
    Unreachable {
        /// The source.
        source_name: String,
        /// What happened.
        problem: String,
    },
    /// The bytes ended early.
    #[error("{source_name} was cut off: {problem}; nothing was changed, try again")]
    CutOff {
        /// The source.
        source_name: String,
        /// What happened.
        problem: String,
    },
    /// More bytes than allowed.
    #[error("{source_name} is larger than {limit} bytes (packages.max_bytes)")]
    TooLarge {
        /// The source.
        source_name: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// It took too long.
    #[error("{source_name} took longer than {seconds} s (packages.timeout_seconds)")]
    TooSlow {
        /// The source.
        source_name: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// Other bytes than were expected.
    #[error("{what} has the SHA-256 {actual}, and {expected} was expected; nothing was changed")]
    DigestMismatch {
        /// What was compared.
        what: String,
        /// In hex.
        expected: String,
        /// In hex.
        actual: String,
    },
    /// It is no package.
    #[error("{what} is not a package: {problem}")]
    Malformed {
        /// The archive, folder or artifact.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// A signature is required.
    #[error(
        "{what} is not signed, and packages.require_signature asks for it; have it signed (`apflow plugin sign`), or give --allow-unsigned"
    )]
    Unsigned {
        /// Name and version.
        what: String,
    },
    /// Signed by a key that is not trusted.
    #[error(
        "{what} is signed by the key {key}, which is not among the trusted ones; give --key, or add it to packages.keys"
    )]
    UnknownKey {
        /// Name and version.
        what: String,
        /// The id of the key in hex.
        key: String,
    },
    /// The signature does not fit.
    #[error(
        "the signature of {what} is wrong: {problem}; the package was changed after it was signed, or the key is another"
    )]
    BadSignature {
        /// Name and version.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// A key cannot be read.
    #[error("the key {key} cannot be used: {problem}")]
    BadKey {
        /// As it was given.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// The name is not installed, or nothing is pending.
    #[error("{problem}")]
    NotInstalled {
        /// The sentence.
        problem: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{path}: {problem}")]
    File {
        /// Its path.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl PackageError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SourceInvalid { .. } => "source_invalid",
            Self::Unreachable { .. } => "source_unreachable",
            Self::CutOff { .. } => "download_cut_off",
            Self::TooLarge { .. } => "package_too_large",
            Self::TooSlow { .. } => "download_too_slow",
            Self::DigestMismatch { .. } => "digest_mismatch",
            Self::Malformed { .. } => "package_malformed",
            Self::Unsigned { .. } => "package_unsigned",
            Self::UnknownKey { .. } => "unknown_key",
            Self::BadSignature { .. } => "signature_wrong",
            Self::BadKey { .. } => "key_invalid",
            Self::NotInstalled { .. } => "not_installed",
            Self::File { .. } => "file_error",
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "errors of any kind are given as they come")]
    pub(crate) fn file(path: &Path, problem: impl ToString) -> Self {
        Self::File { path: path.display().to_string(), problem: problem.to_string() }
    }
}
