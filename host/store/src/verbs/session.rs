//! Sessions of nodes, whose lease is the lease of all their runs: open, renew, close, rescue. A run that is taken back
//! stands in the queue where its execution put it; its token grows, so that whoever still works on it is refused, and its attempt
//! does not count as a try.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::NodeId;
use apflow_core::lease::Session;
use apflow_core::store::Opened;
use apflow_core::task::TaskStatus;
use apflow_core::transition::{Change, transition};

use crate::database::{Argument, Database, Step, arguments, replayed, sql};
use crate::rows::{Cells as _, at};

pub(crate) async fn open(
    database: &impl Database,
    node: &NodeId,
    until: Timestamp,
    now: Timestamp,
) -> Result<Opened> {
    database.take_name(node, now).await?;
    let (epoch, rescued) =
        take_back(database, Step::OpenSession, arguments![now, node.as_str(), until]).await?;
    Ok(Opened { session: Session { node: node.clone(), epoch }, rescued })
}

pub(crate) async fn renew<D: Database>(database: &D, session: &Session, until: Timestamp) -> Result<()> {
    let arguments = || arguments![session.node.as_str(), session.epoch, until];
    let once = async || {
        let mut renewed = 0;
        let each = |row: &D::Row| at(row, 0).map(|session: i64| renewed = session);
        database.run(Step::RenewSession, arguments(), each).await?;
        Ok(renewed != 0)
    };
    if replayed(once).await? { Ok(()) } else { Err(lease_lost(session)) }
}

/// Of a session that is over nothing is left to give back.
pub(crate) async fn close(database: &impl Database, session: &Session, now: Timestamp) -> Result<()> {
    let arguments = || arguments![now, session.node.as_str(), session.epoch];
    replayed(|| database.run(Step::CloseSession, arguments(), |_| Ok(()))).await
}

pub(crate) async fn rescue(database: &impl Database, now: Timestamp) -> Result<u32> {
    // Asked often and answered with nothing nearly always: then nobody who writes is disturbed.
    let expired = "SELECT EXISTS (SELECT 1 FROM sessions WHERE ended = 0 AND until <= $1)";
    if database.read(sql(expired), arguments![now], |row| at::<bool>(row, 0)).await? != [true] {
        return Ok(0);
    }
    Ok(take_back(database, Step::Rescue, arguments![now]).await?.1)
}

/// Does one of the steps that take runs back; gives the epoch, where one is told, and the number of runs.
async fn take_back<D: Database>(database: &D, step: Step, arguments: Vec<Argument>) -> Result<(i64, u32)> {
    transition(TaskStatus::InProgress, Change::Retry)?;
    let once = async || {
        let (mut epoch, mut rescued) = (0, 0);
        let each = |row: &D::Row| {
            match row.what()? {
                "epoch" => epoch = at(row, 0)?,
                "rescued" => rescued = at(row, 0)?,
                _ => {}
            }
            Ok(())
        };
        database.run(step, arguments.clone(), each).await?;
        Ok((epoch, rescued))
    };
    replayed(once).await
}

/// The session is over.
pub(crate) fn lease_lost(session: &Session) -> Error {
    let Session { node, epoch } = session;
    Error::new(
        ErrorCode::LeaseLost,
        format!(
            "Session {epoch} of node '{node}' is over: its lease has expired, it was closed or a newer session was opened. \
             Stop its runs and open a session"
        ),
    )
    .with("node", node.as_str())
    .with("epoch", *epoch)
}
