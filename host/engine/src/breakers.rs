//! The circuit breakers of this node, one for each executor that has ever failed here. What they know is of the
//! moment, so it is kept in memory and forgotten at a restart.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apflow_core::breaker::{Breaker, BreakerPolicy};
use apflow_core::clock::Timestamp;
use apflow_core::error::FailureKind;

/// All of them.
#[derive(Debug)]
pub(crate) struct Breakers {
    policy: BreakerPolicy,
    table: Mutex<HashMap<String, Breaker>>,
}

impl Breakers {
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this executor may be called now; else the time to come again.
    pub(crate) fn admit(&self, executor: &str, now: Timestamp) -> Result<(), Timestamp> {
        self.table().get_mut(executor).map_or(Ok(()), |breaker| breaker.admit(self.policy, now))
    }

    /// How a call of this executor ended.
    pub(crate) fn ended(&self, executor: &str, failure: Option<FailureKind>, now: Timestamp) {
        let mut table = self.table();
        let Some(breaker) = table.get_mut(executor) else {
            if failure.is_some() {
                let mut breaker = Breaker::default();
                breaker.ended(self.policy, failure, now);
                table.insert(executor.to_owned(), breaker);
            }
            return;
        };
        if let Some(until) = breaker.ended(self.policy, failure, now) {
            let failures = self.policy.failures;
            tracing::warn!(
                executor,
                %until,
                "{failures} calls in a row failed: the executor is left alone for a while (engine.breaker_failures)"
            );
        }
    }

    /// The time before which this executor is not called, if it is left alone.
    pub(crate) fn open_until(&self, executor: &str, now: Timestamp) -> Option<Timestamp> {
        self.table().get(executor)?.open_until(now)
    }
}
