//! The connections: one that writes, behind a lock, and a few that read.
//!
//! A hop to the thread of a connection costs as much as several statements, so the hot verbs send one text that holds
//! `BEGIN IMMEDIATE; …; COMMIT` and all their statements ([`Writing::run`]). The others take several steps between
//! [`Database::begin`] and [`Work::end`]. Whatever happens in between, a failure or a caller that goes away, the
//! transaction is rolled back.

use std::sync::Arc;

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::event::Event;
use apflow_core::id::{NodeId, Seq, TaskId, TreeKey};
use apflow_core::store::{EventQuery, Inserted, PeerWord, Turn, TurnOutcome};
use apflow_core::tree::NewTree;
use futures::{FutureExt, StreamExt};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Either, Executor, SqlStr, Sqlite, SqliteConnection};
use tokio::sync::OwnedMutexGuard;

use super::insert::{self, Frame};
use super::{SqliteStore, steps, turn};
use crate::database::{Argument, Database, Dialect, Failure, Step, Work};
use crate::error::store;
use crate::verbs::events;

/// A text with its parameters, which all its statements share. They are written `$1`, never `?1`: a statement that leaves
/// out a number below its highest one has a nameless parameter there in the second form, and the driver counts those
/// on from statement to statement until it takes the list for exhausted and binds nulls.
pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// The connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    connection: SqliteConnection,
    /// A transaction may be open on the connection, because a text did not come to its end.
    unfinished: bool,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self { connection, unfinished: false }
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    async fn roll_back(&mut self) {
        // An error says that there was nothing left to roll back.
        let _ = self.connection.execute("ROLLBACK").await;
        self.unfinished = false;
    }
}

/// The right to write.
pub(crate) struct Writing {
    writer: OwnedMutexGuard<Writer>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.writer.unfinished {
            // Polled once, the order to roll back is on its way to the connection's thread, behind what still runs
            // there: locks are given back now, not when somebody writes again.
            let _ = self.writer.connection.execute("ROLLBACK").now_or_never();
        }
    }
}

impl SqliteStore {
    /// Waits for the right to write.
    pub(super) async fn write(&self) -> Writing {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        if writer.unfinished {
            writer.roll_back().await;
        }
        Writing { writer }
    }
}

impl Writing {
    /// Runs a text that opens and commits its own transaction.
    pub(super) async fn run(
        &mut self,
        statement: Statement,
        each: impl FnMut(&SqliteRow) -> Result<()>,
    ) -> Result<(), Failure> {
        self.continue_with(statement, each).await?;
        self.writer.unfinished = false;
        Ok(())
    }

    /// Runs a text that leaves a transaction open; after a failure the transaction is gone.
    pub(super) async fn continue_with(
        &mut self,
        statement: Statement,
        mut each: impl FnMut(&SqliteRow) -> Result<()>,
    ) -> Result<(), Failure> {
        self.writer.unfinished = true;
        let done = for_each(self.writer.connection(), statement, &mut each).await;
        if done.is_err() {
            self.writer.roll_back().await;
        }
        done
    }
}

impl Database for SqliteStore {
    type Row = SqliteRow;
    type Work = Writing;

    const DIALECT: Dialect = Dialect::Sqlite;

    async fn read<T: Send>(
        &self,
        text: SqlStr,
        arguments: Vec<Argument>,
        convert: impl FnMut(&SqliteRow) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let statement = statement(text, arguments);
        match &self.readers {
            Some(pool) => collect(&mut *pool.acquire().await.map_err(store)?, statement, convert).await,
            None => collect(self.write().await.writer.connection(), statement, convert).await,
        }
    }

    async fn run(
        &self,
        step: Step,
        arguments: Vec<Argument>,
        each: impl FnMut(&SqliteRow) -> Result<()> + Send,
    ) -> Result<()> {
        let mut writing = self.write().await;
        Ok(writing.run(statement(SqlStr::from_static(steps::alone(step)), arguments), each).await?)
    }

    async fn begin(&self) -> Result<Writing> {
        let mut writing = self.write().await;
        writing.continue_with(sqlx::query("BEGIN IMMEDIATE"), |_| Ok(())).await?;
        Ok(writing)
    }

    async fn insert(&self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<Inserted> {
        insert::insert(self, tree, execute, now).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnOutcome> {
        turn::turn(self, &turn).await
    }

    /// One connection writes, so whatever is there is final.
    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>> {
        events::events(self, query, Seq(i64::MAX)).await
    }

    async fn last_seq(&self) -> Result<Seq> {
        events::newest(self, Seq(i64::MAX)).await
    }

    /// Room in the file is used again by itself.
    async fn tidy(&self) -> Result<()> {
        Ok(())
    }

    /// A file is used by one host, which has taken it before it came here.
    async fn take_name(&self, _: &NodeId, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn tell_peers(&self, _: &NodeId, _: &PeerWord) -> Result<()> {
        Ok(())
    }

    async fn hear_peers(&self) -> Result<(NodeId, PeerWord)> {
        std::future::pending().await
    }
}

impl Work for Writing {
    type Row = SqliteRow;

    const DIALECT: Dialect = Dialect::Sqlite;

    /// Nobody else writes while this one may.
    async fn lock_trees(&mut self, _: &[TaskId]) -> Result<()> {
        Ok(())
    }

    async fn rows<T: Send>(
        &mut self,
        text: SqlStr,
        arguments: Vec<Argument>,
        convert: impl FnMut(&SqliteRow) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        collect(self.writer.connection(), statement(text, arguments), convert).await
    }

    async fn step(
        &mut self,
        step: Step,
        arguments: Vec<Argument>,
        each: impl FnMut(&SqliteRow) -> Result<()> + Send,
    ) -> Result<()> {
        let statement = statement(SqlStr::from_static(steps::text(step)), arguments);
        Ok(self.continue_with(statement, each).await?)
    }

    async fn insert(&mut self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<TreeKey, Failure> {
        insert::write(self, tree, execute, now, Frame::Part).await
    }

    async fn end<T: Send>(mut self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(value) => {
                self.run(sqlx::query("COMMIT"), |_| Ok(())).await?;
                Ok(value)
            }
            Err(error) => {
                self.writer.roll_back().await;
                Err(error)
            }
        }
    }
}

fn statement(text: SqlStr, arguments: Vec<Argument>) -> Statement {
    arguments.into_iter().fold(sqlx::query(text), |statement, argument| match argument {
        Argument::Int(number) => statement.bind(number),
        Argument::Text(text) => statement.bind(text),
    })
}

async fn collect<T>(
    connection: &mut SqliteConnection,
    statement: Statement,
    mut convert: impl FnMut(&SqliteRow) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let mut each = |row: &SqliteRow| {
        all.push(convert(row)?);
        Ok(())
    };
    for_each(connection, statement, &mut each).await?;
    Ok(all)
}

/// Rows are handed on one by one: a list of them would hold every column of a large tree twice.
async fn for_each(
    connection: &mut SqliteConnection,
    statement: Statement,
    each: &mut impl FnMut(&SqliteRow) -> Result<()>,
) -> Result<(), Failure> {
    let mut steps = connection.fetch_many(statement);
    while let Some(step) = steps.next().await {
        if let Either::Right(row) = step.map_err(Failure::Statement)? {
            each(&row).map_err(Failure::Row)?;
        }
    }
    Ok(())
}
