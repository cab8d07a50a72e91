//! Connecting: where the database is, what a connection is set to, its schema and functions.

use std::str::FromStr as _;
use std::time::Duration;

use apflow_core::error::{Error, ErrorCode, Result};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};

use super::MIGRATIONS;
use super::code::CODE;
use crate::database::sql;
use crate::error::{corrupt, migration, store};
use crate::migrations::{latest, migrator};
use crate::{Durability, StoreOptions};

/// Connections of each pool. Queries are short, and a server has a hundred connections for all its clients.
const POOL: u32 = 4;

/// How long to wait for a connection of a pool, or for the server that is restarting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The advisory lock for changing the schema; "apfl" in ASCII.
const SCHEMA_LOCK: i64 = 0x6170_666c;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    Writer,
}

/// Where a database is, and how it is used.
#[derive(Debug, Clone)]
pub(super) struct Target {
    connect: PgConnectOptions,
    durability: Durability,
}

impl Target {
    pub fn of(url: &str, options: StoreOptions) -> Result<Self> {
        let connect = PgConnectOptions::from_str(url).map_err(|error| {
            // The URL may hold a password, so it is not repeated.
            let text = format!(
                "The database URL cannot be understood: {error}. Write postgres://USER:PASSWORD@HOST:PORT/DATABASE"
            );
            Error::new(ErrorCode::InvalidParams, text).with("field", "database_url")
        })?;
        let connect = connect.application_name("apflow").disable_statement_logging();
        Ok(Self { connect, durability: options.durability })
    }

    /// The server and the database, for messages.
    fn place(&self) -> String {
        let options = &self.connect;
        let host =
            options.get_socket().map_or(options.get_host().to_owned(), |path| path.display().to_string());
        let database = options.get_database().unwrap_or(options.get_username());
        format!("{host}:{}/{database}", options.get_port())
    }

    fn at_place(&self, error: Error) -> Error {
        let message = format!("Database '{}': {}", self.place(), error.message);
        Error { message, ..error }.with("database", self.place())
    }

    /// A connection that is set up for its role.
    pub async fn connect(&self, role: Role) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.connect.connect().await?;
        connection.execute(sql(settings(role, self.durability))).await?;
        Ok(connection)
    }

    /// Connections that are made when they are first needed.
    pub fn pool(&self, role: Role) -> PgPool {
        let text = settings(role, self.durability);
        PgPoolOptions::new()
            .max_connections(POOL)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                let text = sql(text.clone());
                Box::pin(async move { connection.execute(text).await.map(|_| ()) })
            })
            .connect_lazy_with(self.connect.clone())
    }

    /// A connection that only listens.
    pub fn ear(&self) -> PgPool {
        let options = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        options.max_lifetime(None).idle_timeout(None).connect_lazy_with(self.connect.clone())
    }

    /// One statement on a connection of its own.
    async fn execute(&self, connect: &PgConnectOptions, text: String) -> Result<()> {
        let done = async {
            let mut connection = connect.connect().await.map_err(store)?;
            connection.execute(sql(text)).await.map_err(store)?;
            connection.close().await.map_err(store)
        };
        done.await.map_err(|error| self.at_place(error))
    }

    /// Brings schema and functions up to date.
    pub async fn prepare(&self) -> Result<()> {
        let done = async {
            let mut connection = self.connect.connect().await.map_err(store)?;
            prepare(&mut connection).await?;
            connection.close().await.map_err(store)
        };
        done.await.map_err(|error| self.at_place(error))
    }
}

/// The version that the database has; 0 if there is nothing of ours in it.
pub(crate) async fn schema_version(url: &str) -> Result<i64> {
    let target = Target::of(url, StoreOptions::default())?;
    let read = async {
        let mut connection = target.connect.connect().await.map_err(store)?;
        let version = match check_owner(&mut connection).await? {
            false => 0,
            true => sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM apflow._sqlx_migrations")
                .fetch_one(&mut connection)
                .await
                .map_err(store)?,
        };
        connection.close().await.map_err(store)?;
        Ok(version)
    };
    read.await.map_err(|error| target.at_place(error))
}

/// [`crate::scratch::create`].
pub(crate) async fn create_beside(url: &str, name: &str) -> Result<String> {
    let target = Target::of(url, StoreOptions::default())?;
    let text = format!("CREATE DATABASE {}", quoted(name));
    target.execute(&target.connect, text).await?;
    Ok(beside(url, name))
}

/// [`crate::scratch::remove`].
pub(crate) async fn remove(url: &str) -> Result<()> {
    let target = Target::of(url, StoreOptions::default())?;
    let name = target.connect.get_database().unwrap_or(target.connect.get_username());
    // Nobody removes the database that he is connected to; this one every server has.
    let text = format!("DROP DATABASE {} WITH (FORCE)", quoted(name));
    target.execute(&target.connect.clone().database("postgres"), text).await
}

/// The URL of another database of the same server.
fn beside(url: &str, name: &str) -> String {
    let (place, options) = url.split_at(url.find('?').unwrap_or(url.len()));
    let (scheme, server) = place.split_once("://").unwrap_or(("postgres", place));
    let server = server.split('/').next().unwrap_or_default();
    format!("{scheme}://{server}/{name}{options}")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Without statistics, as in a new or quickly changing table, the planner takes sequential scans and hash joins for the
/// turn, whose cost grows with the table. Whoever writes finds everything by key, always with the same plan.
fn settings(role: Role, durability: Durability) -> String {
    let planner = match role {
        // Tables are joined in the order in which they are written, as on SQLite: to look for a better one would cost
        // more than most queries do.
        Role::Reader => "SET join_collapse_limit = 1; SET from_collapse_limit = 1; SET jit = off;",
        Role::Writer => {
            "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
             SET jit = off; SET plan_cache_mode = force_generic_plan;"
        }
    };
    let commit = match durability {
        Durability::Normal => "SET synchronous_commit = off;",
        // Stronger settings of the server stay.
        Durability::Full => {
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';"
        }
    };
    format!(
        "SET search_path = {}, apflow; SET default_transaction_isolation = 'read committed'; \
         SET idle_in_transaction_session_timeout = '60s'; {planner} {commit}",
        CODE.schema
    )
}

/// One transaction under a lock, so that hosts that start together do not get in each other's way.
async fn prepare(connection: &mut PgConnection) -> Result<()> {
    let mut transaction = connection.begin().await.map_err(store)?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(SCHEMA_LOCK);
    lock.execute(&mut *transaction).await.map_err(store)?;
    if !check_owner(&mut transaction).await? {
        transaction.execute("CREATE SCHEMA IF NOT EXISTS apflow").await.map_err(store)?;
    }
    transaction.execute("SET LOCAL search_path = apflow").await.map_err(store)?;
    let mut migrator = migrator(MIGRATIONS);
    migrator.set_locking(false);
    migrator.run(&mut *transaction).await.map_err(|error| migration(error, latest(MIGRATIONS)))?;
    if !exists(&mut transaction, &CODE.schema).await? {
        let text = format!(
            "CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, apflow; {}",
            CODE.text,
            schema = CODE.schema
        );
        transaction.execute(sql(text)).await.map_err(store)?;
    }
    transaction.commit().await.map_err(store)
}

async fn exists(connection: &mut PgConnection, schema: &str) -> Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
    sqlx::query_scalar(text).bind(schema).fetch_one(connection).await.map_err(store)
}

/// Whether there is something of ours; refuses a schema `apflow` of another program before anything is written to it.
async fn check_owner(connection: &mut PgConnection) -> Result<bool> {
    let text = "SELECT count(*), count(*) FILTER (WHERE relname = '_sqlx_migrations')
                  FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace WHERE s.nspname = 'apflow'";
    let (all, ours): (i64, i64) = sqlx::query_as(text).fetch_one(&mut *connection).await.map_err(store)?;
    if ours > 0 {
        return Ok(true);
    }
    if all > 0 {
        return Err(corrupt(
            "The schema 'apflow' of the database belongs to another program. Name another database",
        ));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_beside_another_has_the_same_server_and_options() {
        for (url, expected) in [
            ("postgres://u:p@h:5433/d", "postgres://u:p@h:5433/x"),
            ("postgres://h", "postgres://h/x"),
            ("postgresql:///d?host=/run/a/b", "postgresql:///x?host=/run/a/b"),
        ] {
            assert_eq!(beside(url, "x"), expected);
        }
        assert_eq!(quoted(r#"a"b"#), r#""a""b""#);
    }
}
