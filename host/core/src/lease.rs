//! Leases: a node's session holds one lease for all its runs, `(node, epoch, until)`; a run carries the node, the
//! epoch and its own fencing token. This file is the arithmetic; the store keeps the rows and the engine keeps time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::NodeId;

/// The right of one start of one node to hold runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The node.
    pub node: NodeId,
    /// Grows with every start of that node; an older epoch is dead by definition.
    pub epoch: i64,
}

/// How long a session's lease lasts and when it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasePolicy {
    /// From one renewal to the end.
    pub duration: Duration,
}

impl Default for LeasePolicy {
    fn default() -> Self {
        Self { duration: Duration::from_secs(4) }
    }
}

impl LeasePolicy {
    /// The end of a lease that is taken or renewed now.
    pub fn until(self, now: Timestamp) -> Timestamp {
        now.plus(self.duration)
    }

    /// How long to wait between renewals: a third, so that two may fail.
    pub fn renew_every(self) -> Duration {
        self.duration / 3
    }

    /// When a node whose last renewal was sent at `renewed` must stop its own runs: before others may take them over.
    pub fn stop_at(self, renewed: Timestamp) -> Timestamp {
        renewed.plus(self.duration * 9 / 10)
    }

    /// Whether that moment has come.
    pub fn must_stop(self, renewed: Timestamp, now: Timestamp) -> bool {
        now >= self.stop_at(renewed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stops_itself_before_its_lease_has_expired_elsewhere() {
        let policy = LeasePolicy { duration: Duration::from_secs(10) };
        let renewed = Timestamp::from_micros(0);
        let late = renewed.plus(Duration::from_millis(9_000));
        assert!(policy.must_stop(renewed, late));
        assert!(late < policy.until(renewed));
        assert_eq!(late, policy.stop_at(renewed));
        assert!(!policy.must_stop(renewed, renewed.plus(policy.renew_every() * 2)));
    }
}
