//! How much of the log is kept. Events leave it from the oldest on, never out of the middle, so that one position says what
//! is there. This file decides how far; the store gives the facts and removes.
//!
//! An event may go when it is older than the operator keeps events, or further back than so many positions. It stays all
//! the same while
//!
//! - it is of an execution that has not ended, or younger than the beginning of one,
//! - it is the newest: positions must go on from there,
//! - a consumer that is alive has not taken it; but nobody holds an event for longer than `hold` past the time at which it
//!   could have gone. A consumer whose cursor has not been written for as long as that is not alive.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::Seq;

/// What an operator keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Events of this age may go; none for no age.
    pub retain_for: Option<Duration>,
    /// Events further back than so many positions may go; none for no number.
    pub retain_max: Option<u64>,
    /// How long a consumer may hold what could go.
    pub hold: Duration,
}

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { retain_for: Some(DAY.saturating_mul(30)), retain_max: None, hold: DAY.saturating_mul(7) }
    }
}

impl RetentionPolicy {
    /// What to ask the store for; none if everything is kept.
    pub fn request(&self, now: Timestamp, limit: u32) -> Option<TrimRequest> {
        (self.retain_for.is_some() || self.retain_max.is_some()).then_some(TrimRequest {
            policy: *self,
            now,
            limit,
        })
    }
}

/// Asks for the removal of the oldest events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimRequest {
    /// What is kept.
    pub policy: RetentionPolicy,
    /// The time.
    pub now: Timestamp,
    /// At most so many events.
    pub limit: u32,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// So many events.
    pub removed: u32,
    /// The position up to which the log is removed now.
    pub start: Seq,
}

/// A reader of the log that must not miss anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumer {
    /// What it has taken.
    pub cursor: Seq,
    /// When it last said so.
    pub seen_at: Timestamp,
}

/// What the store knows when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFacts {
    /// The newest position that nothing can come before any more.
    pub newest: Seq,
    /// The position before the earliest event of all executions that have not ended; none if there is none.
    pub open_execution: Option<Seq>,
    /// Whoever reads.
    pub consumers: Vec<Consumer>,
}

/// The oldest events that go: their number and the position of the last. `oldest` are the oldest ones there are, in their
/// order: position and time.
pub fn cut(oldest: &[(Seq, Timestamp)], request: &TrimRequest, facts: &LogFacts) -> Option<(usize, Seq)> {
    let TrimRequest { policy, now, .. } = request;
    let old_before = policy.retain_for.map(|span| now.minus(span));
    let far_up_to =
        policy.retain_max.map(|most| facts.newest.0.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX)));
    let alive_since = now.minus(policy.hold);
    let held_before = old_before.unwrap_or(*now).minus(policy.hold);
    let held_after = facts
        .consumers
        .iter()
        .filter(|one| one.seen_at >= alive_since)
        .map(|one| one.cursor)
        .min()
        .unwrap_or(Seq(i64::MAX));
    let goes = |(seq, at): &(Seq, Timestamp)| {
        let may_go =
            old_before.is_some_and(|limit| *at < limit) || far_up_to.is_some_and(|limit| seq.0 <= limit);
        may_go
            && *seq < facts.newest
            && facts.open_execution.is_none_or(|open| *seq <= open)
            && (*seq <= held_after || *at < held_before)
    };
    let count = oldest.iter().take_while(|event| goes(event)).count();
    Some((count, oldest[..count].last()?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    /// Ten events, the oldest nine days old, one a day.
    fn log() -> Vec<(Seq, Timestamp)> {
        (1..=10).map(|i| (Seq(i), NOW.minus(DAY * (10 - i as u32)))).collect()
    }

    fn facts() -> LogFacts {
        LogFacts { newest: Seq(10), open_execution: None, consumers: Vec::new() }
    }

    fn gone(days: Option<u32>, max: Option<u64>, facts: &LogFacts) -> Option<i64> {
        let policy = RetentionPolicy { retain_for: days.map(|n| DAY * n), retain_max: max, hold: DAY * 3 };
        let request = TrimRequest { policy, now: NOW, limit: 100 };
        cut(&log(), &request, facts).map(|(count, seq)| {
            assert_eq!(count as i64, seq.0);
            seq.0
        })
    }

    #[test]
    fn age_and_number_each_let_events_go() {
        assert_eq!(gone(Some(4), None, &facts()), Some(5));
        assert_eq!(gone(None, Some(3), &facts()), Some(7));
        assert_eq!(gone(Some(4), Some(3), &facts()), Some(7));
        assert_eq!(gone(Some(30), None, &facts()), None);
        assert_eq!(RetentionPolicy { retain_for: None, ..RetentionPolicy::default() }.request(NOW, 1), None);
    }

    #[test]
    fn the_newest_and_open_executions_stay() {
        assert_eq!(gone(Some(0), Some(0), &facts()), Some(9));
        assert_eq!(gone(Some(0), None, &LogFacts { open_execution: Some(Seq(2)), ..facts() }), Some(2));
        assert_eq!(gone(Some(0), None, &LogFacts { open_execution: Some(Seq(0)), ..facts() }), None);
    }

    #[test]
    fn consumers_hold_for_a_while_as_long_as_they_live() {
        let reads = |cursor, days| LogFacts {
            consumers: vec![Consumer { cursor: Seq(cursor), seen_at: NOW.minus(DAY * days) }],
            ..facts()
        };
        // Up to position 5 events are older than four days, and the first two of them than seven.
        assert_eq!(gone(Some(4), None, &reads(4, 0)), Some(4));
        assert_eq!(gone(Some(4), None, &reads(0, 0)), Some(2));
        assert_eq!(gone(Some(4), None, &reads(0, 3)), Some(2));
        assert_eq!(gone(Some(4), None, &reads(0, 4)), Some(5));
        assert_eq!(gone(None, Some(1), &reads(0, 0)), Some(6));
    }
}
