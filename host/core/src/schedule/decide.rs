//! What becomes of a due time. Stores ask inside the transaction that writes the answer, so that a due time is handled
//! once, whoever asks and however often.

use std::collections::VecDeque;
use std::time::Duration;

use super::{MissedPolicy, OverlapPolicy, Schedule, Timetable};
use crate::clock::Timestamp;
use crate::error::Result;

/// A due time that is later than this was missed, where the policy is not to make up for missed ones.
pub const GRACE: Duration = Duration::from_secs(60);
/// With [`MissedPolicy::All`], so many due times are made up for at most: the newest.
pub const MAX_MADE_UP: usize = 100;
/// Due times are counted so far at one look.
const MAX_COUNTED: u32 = 10_000;

/// The tree of a schedule at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeFacts {
    /// An execution is under way that began then.
    Running {
        /// When it began.
        since: Timestamp,
    },
    /// None is.
    Free {
        /// When the last one ended.
        since: Option<Timestamp>,
    },
}

/// What to do with the due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave all as it is: the running execution must end first.
    Wait,
    /// Execute the tree.
    Run,
    /// Record that it was skipped because the tree is running.
    Skip,
    /// Record that it was missed.
    Miss,
}

/// What becomes of a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Due times that are handled by it, from the due time on.
    pub due_count: u32,
    /// The next due time; none: the schedule has come to its end.
    pub next: Option<Timestamp>,
}

/// Decides about `due`, the schedule's `next_run_at`, which is not later than `now`.
///
/// # Errors
/// `ScheduleInvalid` for a schedule that cannot be read.
pub fn decide(schedule: &Schedule, due: Timestamp, tree: TreeFacts, now: Timestamp) -> Result<Decision> {
    let wait = Decision { action: Action::Wait, due_count: 0, next: Some(due) };
    let Some(table) = Timetable::of(schedule)? else { return Ok(wait) };
    let (missed, overlap) = (schedule.missed(), schedule.overlap());
    if waits(schedule, due, tree) {
        return Ok(wait);
    }
    let passed = Passed::count(&table, due, now);
    let later = table.following(due, now);
    if matches!(tree, TreeFacts::Running { .. }) {
        return Ok(Decision { action: Action::Skip, due_count: passed.count, next: later });
    }
    let waited_for = match tree {
        TreeFacts::Free { since: Some(since) } if overlap == OverlapPolicy::Queue => since,
        TreeFacts::Free { .. } | TreeFacts::Running { .. } => due,
    };
    match missed {
        MissedPolicy::Skip if now.since(due.max(waited_for)) > GRACE => {
            Ok(Decision { action: Action::Miss, due_count: passed.count, next: later })
        }
        MissedPolicy::All if passed.count as usize > MAX_MADE_UP => {
            let count = passed.count - passed.newest.len() as u32;
            Ok(Decision { action: Action::Miss, due_count: count, next: passed.newest.front().copied() })
        }
        MissedPolicy::All => Ok(run(schedule, 1, table.following(due, due))),
        MissedPolicy::Skip | MissedPolicy::Once => Ok(run(schedule, passed.count, later)),
    }
}

fn run(schedule: &Schedule, due_count: u32, next: Option<Timestamp>) -> Decision {
    Decision { action: Action::Run, due_count, next: next.filter(|_| !schedule.is_used_up(1)) }
}

/// Whether a due time waits for the end of the execution that is under way: because runs queue, or because it is one of
/// those that are made up for, one after another.
pub fn waits(schedule: &Schedule, due: Timestamp, tree: TreeFacts) -> bool {
    let TreeFacts::Running { since } = tree else { return false };
    schedule.overlap() == OverlapPolicy::Queue || (schedule.missed() == MissedPolicy::All && due < since)
}

/// The due times from one up to now.
struct Passed {
    count: u32,
    /// The newest of them.
    newest: VecDeque<Timestamp>,
}

impl Passed {
    fn count(table: &Timetable, due: Timestamp, now: Timestamp) -> Self {
        let mut passed = Self { count: 0, newest: VecDeque::with_capacity(MAX_MADE_UP + 1) };
        let mut next = Some(due);
        while let Some(at) = next.filter(|at| *at <= now && passed.count < MAX_COUNTED) {
            passed.count += 1;
            passed.newest.push_back(at);
            if passed.newest.len() > MAX_MADE_UP {
                passed.newest.pop_front();
            }
            next = table.following(at, at);
        }
        // The due time that is asked about counts, whatever the clock says.
        passed.count = passed.count.max(1);
        passed
    }
}
