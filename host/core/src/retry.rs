//! When a failed attempt is tried again: arithmetic on a policy, an attempt number and a random number that the caller
//! draws.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the wait grows from attempt to attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Always `base_ms`.
    Fixed,
    /// `base_ms`, twice, three times …
    Linear,
    /// `base_ms`, doubled each time.
    #[default]
    Exponential,
}

/// A task's retry policy. Only retryable failures are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in one execution, the first included; 1 to 100.
    pub max_attempts: u32,
    /// How the wait grows.
    pub backoff: Backoff,
    /// The first wait in milliseconds.
    pub base_ms: u32,
    /// The longest wait in milliseconds, before jitter is taken off.
    pub cap_ms: u32,
    /// How much of the wait is random, 0.0 to 1.0: the wait lies between `(1 - jitter) × wait` and `wait`.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 1, backoff: Backoff::Exponential, base_ms: 1_000, cap_ms: 300_000, jitter: 0.25 }
    }
}

impl RetryPolicy {
    /// Says what is wrong with the figures, if anything is.
    ///
    /// # Errors
    /// A sentence that names field, value and range.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=100).contains(&self.max_attempts) {
            return Err(format!("retry.max_attempts is {}, it must be 1 to 100", self.max_attempts));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(format!("retry.jitter is {}, it must be 0.0 to 1.0", self.jitter));
        }
        if self.base_ms > self.cap_ms {
            return Err(format!("retry.base_ms ({}) is above retry.cap_ms ({})", self.base_ms, self.cap_ms));
        }
        Ok(())
    }

    /// The wait before the next attempt after `tries` attempts of this execution have failed, or none if that was the
    /// last. `random` is 0.0 to 1.0; `retry_after` is what the other side asked for and always the least.
    pub fn next_wait(&self, tries: u32, random: f64, retry_after: Option<Duration>) -> Option<Duration> {
        if tries >= self.max_attempts {
            return None;
        }
        let factor = match self.backoff {
            Backoff::Fixed => 1.0,
            Backoff::Linear => f64::from(tries.max(1)),
            Backoff::Exponential => 2f64.powi(tries.saturating_sub(1).min(62) as i32),
        };
        let full = (f64::from(self.base_ms) * factor).min(f64::from(self.cap_ms));
        let wait = Duration::from_secs_f64(full * (1.0 - self.jitter * random.clamp(0.0, 1.0)) / 1000.0);
        Some(wait.max(retry_after.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: Backoff, jitter: f64, random: f64) -> Vec<Option<u128>> {
        let policy = RetryPolicy { max_attempts: 4, backoff, base_ms: 100, cap_ms: 250, jitter };
        (1..=4).map(|tries| policy.next_wait(tries, random, None).map(|wait| wait.as_millis())).collect()
    }

    #[test]
    fn waits_grow_as_the_policy_says_and_end() {
        assert_eq!(waits(Backoff::Fixed, 0.0, 0.5), [Some(100), Some(100), Some(100), None]);
        assert_eq!(waits(Backoff::Linear, 0.0, 0.5), [Some(100), Some(200), Some(250), None]);
        assert_eq!(waits(Backoff::Exponential, 0.0, 0.5), [Some(100), Some(200), Some(250), None]);
        assert_eq!(waits(Backoff::Fixed, 0.5, 1.0), [Some(50), Some(50), Some(50), None]);
    }

    #[test]
    fn the_other_side_may_ask_for_more_but_not_for_less() {
        let policy = RetryPolicy { max_attempts: 2, jitter: 0.0, ..RetryPolicy::default() };
        assert_eq!(policy.next_wait(1, 0.0, Some(Duration::from_secs(9))), Some(Duration::from_secs(9)));
        assert_eq!(policy.next_wait(1, 0.0, Some(Duration::from_millis(1))), Some(Duration::from_secs(1)));
    }

    #[test]
    fn figures_out_of_range_are_named() {
        let policy = RetryPolicy { max_attempts: 0, ..RetryPolicy::default() };
        assert_eq!(policy.check(), Err("retry.max_attempts is 0, it must be 1 to 100".into()));
    }
}
