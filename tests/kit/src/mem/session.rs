//! Sessions and the runs they hold: open, renew, close, rescue.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::{NodeId, TaskKey};
use apflow_core::lease::Session;
use apflow_core::store::Opened;
use apflow_core::transition::Change;

use super::log::TaskNote;
use super::rows::{Place, SessionRow, State};
use super::transaction::Transaction;

pub(super) fn open(state: &mut State, node: &NodeId, until: Timestamp, now: Timestamp) -> Result<Opened> {
    let rescued = take_back(state, node, now)?;
    let epoch = state.sessions.get(node).map_or(1, |old| old.epoch + 1);
    let row = SessionRow { epoch, until: Some(until), runs: Default::default() };
    state.sessions.insert(node.clone(), row);
    Ok(Opened { session: Session { node: node.clone(), epoch }, rescued })
}

pub(super) fn renew(state: &mut State, session: &Session, until: Timestamp) -> Result<()> {
    check(state, session)?;
    if let Some(row) = state.sessions.get_mut(&session.node) {
        row.until = Some(until);
    }
    Ok(())
}

pub(super) fn close(state: &mut State, session: &Session, now: Timestamp) -> Result<()> {
    // One that is over has nothing left to give back.
    if check(state, session).is_ok() {
        end(state, &session.node, now)?;
    }
    Ok(())
}

pub(super) fn rescue(state: &mut State, now: Timestamp) -> Result<u32> {
    let expired = |row: &SessionRow| row.until.is_some_and(|until| until <= now);
    let mut nodes: Vec<NodeId> =
        state.sessions.iter().filter(|(_, row)| expired(row)).map(|(node, _)| node.clone()).collect();
    nodes.sort_unstable();
    let mut rescued = 0;
    for node in nodes {
        rescued += end(state, &node, now)?;
    }
    Ok(rescued)
}

/// Refuses a session that is over: not opened here, superseded, closed, or ended by a rescue.
pub(super) fn check(state: &State, session: &Session) -> Result<()> {
    match state.sessions.get(&session.node) {
        Some(row) if row.epoch == session.epoch && row.until.is_some() => Ok(()),
        newest => Err(Error::new(
            ErrorCode::LeaseLost,
            format!(
                "Session {} of node '{}' is over: its lease has expired or a newer session was opened. Stop its runs \
                 and open a session",
                session.epoch, session.node
            ),
        )
        .with("node", session.node.as_str())
        .with("epoch", session.epoch)
        .with("newest_epoch", newest.map(|row| row.epoch))),
    }
}

fn end(state: &mut State, node: &NodeId, now: Timestamp) -> Result<u32> {
    let rescued = take_back(state, node, now)?;
    if let Some(row) = state.sessions.get_mut(node) {
        row.until = None;
    }
    Ok(rescued)
}

/// Makes the runs of a node ready again, where they stood in the queue.
fn take_back(state: &mut State, node: &NodeId, now: Timestamp) -> Result<u32> {
    let runs: Vec<TaskKey> =
        state.sessions.get(node).map(|row| row.runs.iter().copied().collect()).unwrap_or_default();
    let mut work = Transaction::new(state, now);
    for key in &runs {
        let place = Place::Ready(work.armed_at(*key));
        let row = &mut work.state.tasks[*key];
        row.change(Change::Retry)?;
        row.token.0 += 1;
        row.tries -= 1;
        let (attempt, started_at) = (row.attempt, row.hold().map(|hold| hold.started_at));
        work.state.move_to(*key, place);
        work.note_task(*key, TaskNote { kind: EventKind::TaskRescued, attempt, started_at, data: None });
    }
    Ok(runs.len() as u32)
}
