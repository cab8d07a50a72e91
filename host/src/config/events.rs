//! `[events]`: how much of the event log is kept.

use std::time::Duration;

use apflow_core::error::Result;
use apflow_core::retention::{DAY, RetentionPolicy};
use serde::{Deserialize, Serialize};

use super::wrong;

/// `[events]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Days after which events may be removed; 0 for never.
    pub retain_days: u32,
    /// Newest positions of the log that are kept at most; 0 for any number.
    pub retain_max: u64,
    /// Days for which collectors and webhooks may hold events that could be removed.
    pub hold_days: u32,
}

impl Default for EventsConfig {
    fn default() -> Self {
        let policy = RetentionPolicy::default();
        Self {
            retain_days: policy.retain_for.map_or(0, days),
            retain_max: policy.retain_max.unwrap_or(0),
            hold_days: days(policy.hold),
        }
    }
}

impl EventsConfig {
    pub(super) fn check(&self) -> Result<()> {
        for (key, value) in [("events.retain_days", self.retain_days), ("events.hold_days", self.hold_days)] {
            if value > 36_500 {
                return Err(wrong(key, value, "it must be 0 to 36500 (a hundred years)"));
            }
        }
        Ok(())
    }

    /// What the engine keeps.
    pub(crate) fn policy(&self) -> RetentionPolicy {
        RetentionPolicy {
            retain_for: (self.retain_days > 0).then(|| DAY * self.retain_days),
            retain_max: (self.retain_max > 0).then_some(self.retain_max),
            hold: DAY * self.hold_days,
        }
    }
}

fn days(span: Duration) -> u32 {
    (span.as_secs() / DAY.as_secs()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_for_ever() {
        assert_eq!(EventsConfig::default().policy(), RetentionPolicy::default());
        let config = EventsConfig { retain_days: 0, retain_max: 0, hold_days: 1 };
        assert_eq!(config.policy(), RetentionPolicy { retain_for: None, retain_max: None, hold: DAY });
        assert!(EventsConfig { retain_days: 40_000, ..config }.check().is_err());
    }
}
