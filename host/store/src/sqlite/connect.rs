//! Opening an SQLite database: its folder, its settings, its schema, and what the writing connection needs besides.

use std::path::Path;
use std::time::Duration;

use apflow_core::error::{Error, ErrorCode, Result};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{MIGRATIONS, procedure};
use crate::error::{corrupt, migration, store};
use crate::migrations::{latest, migrator};
use crate::{Durability, StoreOptions};

/// `PRAGMA application_id` of our databases, set by the first migration: "apfl".
const APPLICATION_ID: i64 = 0x6170_666c;

/// Connections that read. Queries are short, and two cores gain nothing from more.
const READERS: u32 = 4;

/// Pages in the log before it is written back. Four times the default costs 16 MB of disk and saves a fifth of the CPU
/// of a busy writer, because pages that change often are written back less often.
const CHECKPOINT_PAGES: &str = "4000";

/// The cache of the writing connection, in KiB when negative.
const WRITER_CACHE: &str = "-32000";

/// How long a reader waits for its turn at a connection.
const READER_TIMEOUT: Duration = Duration::from_secs(30);

/// The connection that writes, with the schema up to date.
pub(super) async fn writer(location: &str, options: StoreOptions) -> Result<SqliteConnection> {
    if location != super::MEMORY {
        make_folder(Path::new(location)).await?;
    }
    let synchronous = match options.durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    let mut connection = base(location, options)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("cache_size", WRITER_CACHE)
        .pragma("temp_store", "MEMORY")
        .connect()
        .await
        .map_err(|error| at_location(store(error), location))?;
    migrate(&mut connection).await.map_err(|error| at_location(error, location))?;
    sqlx::raw_sql(AssertSqlSafe(procedure::installation())).execute(&mut connection).await.map_err(store)?;
    Ok(connection)
}

/// Connections that only read; made when they are first needed.
pub(super) fn readers(location: &str, options: StoreOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .acquire_timeout(READER_TIMEOUT)
        .connect_lazy_with(base(location, options).pragma("query_only", "1"))
}

/// The version that the file has; 0 for no file or an empty one.
pub(crate) async fn schema_version(location: &str) -> Result<i64> {
    if location == super::MEMORY || !Path::new(location).exists() {
        return Ok(0);
    }
    let options = base(location, StoreOptions::default()).read_only(true);
    let read = async {
        let mut connection = options.connect().await.map_err(store)?;
        check_owner(&mut connection).await?;
        let version = applied(&mut connection).await.map_err(store)?;
        connection.close().await.map_err(store)?;
        Ok(version)
    };
    read.await.map_err(|error| at_location(error, location))
}

fn base(location: &str, options: StoreOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(location)
        .busy_timeout(options.busy_timeout)
        // Nothing here refers to another row by a constraint: the checks would cost more than the insert.
        .foreign_keys(false)
        .disable_statement_logging()
}

async fn make_folder(file: &Path) -> Result<()> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    tokio::fs::create_dir_all(folder).await.map_err(|error| {
        Error::new(
            ErrorCode::StoreUnavailable,
            format!(
                "The folder '{}' of the database cannot be made: {error}. Make it, or name another place",
                folder.display()
            ),
        )
    })
}

/// Brings the schema up to date in one transaction, so that two processes that start together do not both do it.
async fn migrate(connection: &mut SqliteConnection) -> Result<()> {
    check_owner(connection).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(store)?;
    migrator(MIGRATIONS)
        .run(&mut *transaction)
        .await
        .map_err(|error| migration(error, latest(MIGRATIONS)))?;
    transaction.commit().await.map_err(store)
}

/// Refuses a database of another program before anything is written to it.
async fn check_owner(connection: &mut SqliteConnection) -> Result<()> {
    let (owner, tables): (i64, i64) = sqlx::query_as(
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(store)?;
    if owner == APPLICATION_ID || (owner == 0 && tables == 0) {
        return Ok(());
    }
    Err(corrupt("The file is the database of another program. Name another file")
        .with("application_id", owner))
}

async fn applied(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let known = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(known).fetch_one(&mut *connection).await? == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations").fetch_one(connection).await
}

fn at_location(error: Error, location: &str) -> Error {
    let message = format!("Database '{location}': {}", error.message);
    Error { message, ..error }.with("database", location)
}
