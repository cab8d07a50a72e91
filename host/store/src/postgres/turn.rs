//! `turn`: one call of one function, on a connection of its own, so that the hot path neither waits for others nor asks
//! whether the connection still lives. If it breaks while a turn is on its way, nobody knows whether the turn was
//! committed: the next one first gives back what that one may have claimed.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::lease::Session;
use apflow_core::store::{Turn, TurnOutcome};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::connect::{Role, Target};
use super::transaction::{Statement, for_each};
use crate::database::{Failure, replayed};
use crate::error::{is_broken, store};
use crate::verbs::answer::Reader;
use crate::verbs::finished::{Finished, reports};
use crate::verbs::session::lease_lost;

/// The connection of the turns.
#[derive(Debug, Default)]
pub(super) struct Turner {
    connection: Option<PgConnection>,
    /// The session and the time of a turn of whose outcome nobody was told.
    untold: Option<(Session, Timestamp)>,
}

pub(super) async fn turn(store: &PostgresStore, turn: &Turn) -> Result<TurnOutcome> {
    let finished = turn.finished.iter().map(Finished::pack).collect::<Result<Vec<_>>>()?;
    replayed(|| once(store, turn, &finished)).await
}

async fn once(store_: &PostgresStore, turn: &Turn, finished: &[Finished<'_>]) -> Result<TurnOutcome> {
    let mut turner = store_.turner.lock().await;
    turner.give_back(&store_.target, turn.now).await?;
    let mut reader = Reader::default();
    turner.connect(&store_.target).await?;
    // As long as it is on its way, also if the caller goes away.
    turner.untold = Some((turn.session.clone(), turn.now));
    turner.call(statement(turn, finished), &mut |row| reader.take(row)).await?;
    turner.untold = None;
    if reader.over { Err(lease_lost(&turn.session)) } else { Ok(reader.outcome) }
}

impl Turner {
    /// Without a connection, since a turn of that session and time was sent.
    #[cfg(test)]
    pub fn cut_off(session: Session, at: Timestamp) -> Self {
        Self { connection: None, untold: Some((session, at)) }
    }

    async fn connect(&mut self, target: &Target) -> Result<()> {
        if self.connection.is_none() {
            self.connection = Some(target.connect(Role::Writer).await.map_err(store)?);
        }
        Ok(())
    }

    async fn call(
        &mut self,
        statement: Statement<'_>,
        each: &mut (impl FnMut(&PgRow) -> Result<()> + Send),
    ) -> Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let failure = match for_each(connection, statement, each).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if let Failure::Statement(error) = &failure {
            if is_broken(error) {
                self.connection = None;
            } else {
                // The database has said no, so nothing was committed.
                self.untold = None;
            }
        }
        Err(failure.into())
    }

    /// Gives back what a turn of whose outcome nobody was told has claimed, if it was committed.
    async fn give_back(&mut self, target: &Target, now: Timestamp) -> Result<()> {
        let Some((session, at)) = self.untold.clone() else { return Ok(()) };
        self.connect(target).await?;
        let statement = sqlx::query("SELECT * FROM give_back($1, $2, $3, $4)")
            .bind(now.as_micros())
            .bind(session.node.as_str().to_owned())
            .bind(session.epoch)
            .bind(at.as_micros());
        self.call(statement, &mut |_| Ok(())).await?;
        self.untold = None;
        Ok(())
    }
}

/// Binds a turn by columns.
fn statement<'q>(turn: &'q Turn, finished: &'q [Finished<'_>]) -> Statement<'q> {
    let text = "SELECT * FROM turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
    let reports = reports(&turn.progress);
    sqlx::query(text)
        .bind(turn.now.as_micros())
        .bind(turn.session.node.as_str())
        .bind(turn.session.epoch)
        .bind(i32::try_from(turn.claim).unwrap_or(i32::MAX))
        .bind(column(finished, |run| run.key.0))
        .bind(column(finished, |run| run.token.0))
        .bind(column(finished, |run| run.kind as i16))
        .bind(column(finished, |run| run.until))
        .bind(column(finished, |run| run.data.as_deref()))
        .bind(column(finished, |run| run.result))
        .bind(column(finished, |run| run.error.as_deref()))
        .bind(column(finished, |run| run.inputs))
        .bind(column(finished, |run| run.receipt))
        .bind(column(&reports, |report| report.0.0))
        .bind(column(&reports, |report| report.1.0))
        .bind(column(&reports, |report| report.2))
        .bind(column(&reports, |report| report.3))
        .bind(column(&reports, |report| report.4))
        .bind(turn.started_first)
}

fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
