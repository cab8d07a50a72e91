//! When an executor is left alone for a while: the circuit breaker as arithmetic on outcomes and times. Closed, it counts
//! failures in a row; open, it admits nobody until a time; then it admits one trial, whose outcome decides.
//! Source: M. Nygard, "Release It!", 2nd edition, chapter 5.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::FailureKind;

/// How patient a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it; 0 never does.
    pub failures: u32,
    /// How long it stays open before a trial.
    pub cool_down: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 20, cool_down: Duration::from_secs(10) }
    }
}

/// The state of one executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Failures in a row so far.
    Closed(u32),
    /// Nobody before that time.
    Open(Timestamp),
    /// A trial is under way; if nothing is heard of it, there is another one at that time.
    Trial(Timestamp),
}

/// A breaker of one executor on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker(State);

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed(0))
    }
}

impl Breaker {
    /// Whether a call may be made now.
    ///
    /// # Errors
    /// The time to ask again at.
    pub fn admit(&mut self, policy: BreakerPolicy, now: Timestamp) -> Result<(), Timestamp> {
        match self.0 {
            State::Closed(_) => Ok(()),
            State::Open(until) | State::Trial(until) if now < until => Err(until),
            State::Open(_) | State::Trial(_) => {
                self.0 = State::Trial(now.plus(policy.cool_down));
                Ok(())
            }
        }
    }

    /// Takes note of how an admitted call ended. Gives the time until which it is open, if this opened it.
    pub fn ended(
        &mut self,
        policy: BreakerPolicy,
        failure: Option<FailureKind>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if !failure.is_some_and(speaks_against_the_executor) {
            self.0 = State::Closed(0);
            return None;
        }
        let failures = match self.0 {
            State::Closed(before) => before.saturating_add(1),
            State::Trial(_) => policy.failures,
            // A call that was admitted before it opened.
            State::Open(_) => return None,
        };
        if policy.failures == 0 || failures < policy.failures {
            self.0 = State::Closed(failures);
            return None;
        }
        let until = now.plus(policy.cool_down);
        self.0 = State::Open(until);
        Some(until)
    }

    /// The time before which nobody is admitted, if it is not closed.
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.0 {
            State::Open(until) | State::Trial(until) if now < until => Some(until),
            _ => None,
        }
    }
}

/// Whoever says that an input is wrong, or that the answer is no for good, is there and works.
fn speaks_against_the_executor(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Retryable | FailureKind::Plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy { failures: 3, cool_down: Duration::from_secs(10) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn fail(breaker: &mut Breaker, second: i64) -> Option<Timestamp> {
        breaker.ended(POLICY, Some(FailureKind::Retryable), at(second))
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        assert_eq!([fail(&mut breaker, 0), fail(&mut breaker, 1)], [None, None]);
        assert_eq!(fail(&mut breaker, 2), Some(at(12)));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_for_a_while() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(POLICY, at(11)), Err(at(12)));
        assert_eq!(breaker.open_until(at(11)), Some(at(12)));
        assert_eq!(fail(&mut breaker, 5), None, "a call from before does not prolong it");
        assert_eq!(breaker.admit(POLICY, at(12)), Ok(()));
    }

    #[test]
    fn a_success_or_an_answer_starts_the_count_anew() {
        for answer in [None, Some(FailureKind::BadInput), Some(FailureKind::Permanent)] {
            let mut breaker = Breaker::default();
            fail(&mut breaker, 0);
            fail(&mut breaker, 1);
            assert_eq!(breaker.ended(POLICY, answer, at(2)), None);
            assert_eq!(fail(&mut breaker, 3), None);
        }
    }

    #[test]
    fn one_trial_decides() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(POLICY, at(12)), Ok(()));
        assert_eq!(breaker.admit(POLICY, at(13)), Err(at(22)), "only one");
        assert_eq!(fail(&mut breaker, 14), Some(at(24)));
        assert_eq!(breaker.admit(POLICY, at(24)), Ok(()));
        assert_eq!(breaker.ended(POLICY, None, at(25)), None);
        assert_eq!((breaker.admit(POLICY, at(25)), breaker.admit(POLICY, at(25))), (Ok(()), Ok(())));
    }

    #[test]
    fn a_trial_of_which_nothing_is_heard_is_followed_by_another() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(POLICY, at(12)), Ok(()));
        assert_eq!(breaker.admit(POLICY, at(22)), Ok(()));
    }

    #[test]
    fn zero_never_opens() {
        let policy = BreakerPolicy { failures: 0, ..POLICY };
        let mut breaker = Breaker::default();
        for second in 0..100 {
            assert_eq!(breaker.ended(policy, Some(FailureKind::Plugin), at(second)), None);
            assert_eq!(breaker.admit(policy, at(second)), Ok(()));
        }
    }
}
