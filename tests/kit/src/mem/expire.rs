//! `expire`: ends executions that have run out of time.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{TaskKey, TreeKey};
use apflow_core::store::{Expiration, out_of_time};
use apflow_core::task::TreeStatus;

use super::rows::State;
use super::transaction::{Settled, Transaction};

/// Executions that one look ends at most.
const BATCH: usize = 100;

pub(super) fn expire(state: &mut State, now: Timestamp) -> Result<Expiration> {
    let mut late: Vec<(Timestamp, TreeKey)> =
        deadlines(state).filter(|(deadline, _)| *deadline <= now).collect();
    late.sort_unstable();
    let mut expiration = Expiration::default();
    for (_, tree) in late.into_iter().take(BATCH) {
        let error = out_of_time(state.trees[tree].deadline_ms.unwrap_or_default());
        let is_open = |key: &TaskKey| state.tasks[*key].place.is_armed();
        let open: Vec<TaskKey> = state.keys_of(tree).into_iter().filter(is_open).collect();
        let mut work = Transaction::new(state, now);
        for key in open {
            let token = work.withdraw(key, Settled::Failed, &error)?;
            expiration.interrupted.extend(token.map(|token| (key, token)));
        }
        work.follow();
        expiration.ended.extend(work.ended);
    }
    expiration.next = deadlines(state).map(|(deadline, _)| deadline).min();
    Ok(expiration)
}

fn deadlines(state: &State) -> impl Iterator<Item = (Timestamp, TreeKey)> {
    state.trees.iter().filter(|(_, tree)| tree.status == TreeStatus::InProgress).filter_map(|(key, tree)| {
        let ms = i64::from(tree.deadline_ms?);
        Some((Timestamp::from_micros(tree.started_at?.as_micros() + ms * 1_000), TreeKey(key)))
    })
}
