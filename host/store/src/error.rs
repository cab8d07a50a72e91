//! From what a database driver reports to the project's errors: what an operator can mend is `StoreUnavailable` and says
//! how, what needs another file or another version is `StoreCorrupt`, and the rest is a defect of ours.

use apflow_core::error::{Error, ErrorCode};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// Maps any failure of a statement.
#[expect(clippy::needless_pass_by_value, reason = "a function to map errors with takes them by value")]
pub(crate) fn store(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) => database_error(&**database),
        sqlx::Error::Io(io) => unavailable(format!("The database could not be read or written: {io}")),
        sqlx::Error::PoolTimedOut => {
            unavailable("All connections to the database are busy reading. Try again, or read less at once")
        }
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            unavailable("The connection to the database is gone. Restart apflow")
        }
        _ => internal(&error),
    }
}

/// Maps a failure while the schema is brought up to date; `latest` is the newest version that this build knows.
pub(crate) fn migration(error: MigrateError, latest: i64) -> Error {
    match error {
        MigrateError::VersionMissing(version) => corrupt(format!(
            "The database has schema version {version}, this apflow knows versions up to {latest}. Run the apflow that \
             wrote it, or a newer one"
        ))
        .with("schema_version", version)
        .with("latest", latest),
        MigrateError::VersionMismatch(version) => corrupt(format!(
            "Schema version {version} of the database is not the one that this apflow would make. Restore a backup, or use \
             the build that wrote it"
        ))
        .with("schema_version", version),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => store(error),
        error => internal(&error),
    }
}

/// Text that the store itself wrote does not read back.
pub(crate) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    corrupt(format!("A stored {what} cannot be read: {error}. Restore a backup"))
}

pub(crate) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::StoreCorrupt, message)
}

pub(crate) fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::Internal, format!("Database statement failed: {error}"))
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::StoreUnavailable, message)
}

fn database_error(error: &dyn DatabaseError) -> Error {
    // SQLite's extended result codes carry the primary one in their lowest byte.
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    let mapped = match code & 0xff {
        5 | 6 => unavailable(
            "The database is locked by another process that has been writing for too long. Stop it, or try again later",
        ),
        8 => unavailable(
            "The database is read-only. Give this user the right to write the file and its folder",
        ),
        10 => unavailable(format!(
            "The disk failed while the database was read or written: {error}. Check the disk"
        )),
        13 => unavailable("The disk is full. Free some space, then try again"),
        14 => unavailable(format!(
            "The database file cannot be opened: {error}. Check that the folder exists and is writable"
        )),
        11 => corrupt(format!("The database file is damaged: {error}. Restore a backup")),
        26 => corrupt("The file is not an SQLite database. Name another file"),
        _ => internal(&error),
    };
    mapped.with("sqlite_code", code)
}

/// Whether a statement failed because that column's value is taken, as in `tasks.id`.
pub(crate) fn is_taken(error: &sqlx::Error, column: &str) -> bool {
    error.as_database_error().is_some_and(|e| e.is_unique_violation() && e.message().ends_with(column))
}

/// Whether a statement failed because that column must not be null, as in `guard.session`.
pub(crate) fn is_missing(error: &sqlx::Error, column: &str) -> bool {
    let kind = sqlx::error::ErrorKind::NotNullViolation;
    error.as_database_error().is_some_and(|e| e.kind() == kind && e.message().ends_with(column))
}
