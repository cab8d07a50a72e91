//! From what a database driver reports to the project's errors: what an operator can mend is `StoreUnavailable` and says
//! how, what needs another file or another version is `StoreCorrupt`, and the rest is a defect of ours.

use apflow_core::error::{Error, ErrorCode};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

/// Maps any failure of a statement.
#[expect(clippy::needless_pass_by_value, reason = "a function to map errors with takes them by value")]
pub(crate) fn store(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            Some(postgres) => postgres_error(postgres),
            None => sqlite_error(&**database),
        },
        sqlx::Error::Io(io) => unavailable(format!(
            "The database could not be reached, read or written: {io}. Check that it is there; apflow tries again by itself"
        )),
        sqlx::Error::PoolTimedOut => unavailable(
            "No connection to the database was free in time: it is not reachable, or all are busy reading. Check the \
                 database, or read less at once",
        ),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            unavailable("The connection to the database is gone. Restart apflow")
        }
        sqlx::Error::Protocol(problem) => unavailable(format!(
            "The connection to the database broke: {problem}. apflow connects again by itself"
        )),
        sqlx::Error::Tls(problem) => unavailable(format!(
            "No secure connection to the database: {problem}. See 'sslmode' and 'sslrootcert' in its URL"
        )),
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

fn sqlite_error(error: &dyn DatabaseError) -> Error {
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

fn postgres_error(error: &PgDatabaseError) -> Error {
    let text = error.message();
    // By class, then by code: https://www.postgresql.org/docs/current/errcodes-appendix.html
    let mapped = match error.code() {
        DEADLOCK | SERIALIZATION => {
            unavailable("Other hosts keep changing the same tasks at the same moment. Try again")
        }
        "22021" | "22P05" => Error::new(
            ErrorCode::InvalidParams,
            format!("A text holds a character that PostgreSQL cannot store, U+0000: {text}. Leave it out"),
        ),
        "25006" => unavailable(format!("The database is read-only: {text}. Name the primary server")),
        "28000" | "28P01" => {
            unavailable(format!("The database refuses the user: {text}. Check user and password in the URL"))
        }
        "3D000" => unavailable(format!("{text}. Create it: CREATE DATABASE …")),
        "42501" => unavailable(format!(
            "{text}. The user needs CREATE on the database once, and on the schema 'apflow' everything"
        )),
        "53100" => unavailable(format!("The disk of the database is full: {text}. Free some space")),
        code if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => {
            unavailable(format!("The database does not serve now: {text}. apflow tries again by itself"))
        }
        code if code.starts_with("XX") || code.starts_with("58") => {
            corrupt(format!("The database failed: {text}. Look into its log"))
        }
        _ => internal(error),
    };
    mapped.with("sqlstate", error.code())
}

const DEADLOCK: &str = "40P01";
const SERIALIZATION: &str = "40001";

/// Whether PostgreSQL has rolled a transaction back for the sake of another one: played again it may succeed.
pub(crate) fn is_conflict(error: &Error) -> bool {
    let state = error.data.get("sqlstate").and_then(serde_json::Value::as_str);
    state.is_some_and(|state| [DEADLOCK, SERIALIZATION].contains(&state))
}

/// Whether the connection is not to be used again.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            database.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        _ => false,
    }
}

/// Whether a statement failed because that column's value is taken, as in `tasks.id`. SQLite names the column, PostgreSQL
/// the constraint.
pub(crate) fn is_taken(error: &sqlx::Error, column: &str) -> bool {
    let constraint = format!("{}_key", column.replace('.', "_"));
    error.as_database_error().is_some_and(|e| {
        e.is_unique_violation() && (e.message().ends_with(column) || e.constraint() == Some(&constraint))
    })
}

/// Whether a statement failed because that column must not be null, as in `guard.session`.
pub(crate) fn is_missing(error: &sqlx::Error, column: &str) -> bool {
    let kind = sqlx::error::ErrorKind::NotNullViolation;
    error.as_database_error().is_some_and(|e| e.kind() == kind && e.message().ends_with(column))
}
