//! Limits that reach across trees and hosts: how many tasks of an executor, or with a concurrency key, run at a time, and
//! how fast they start. A *gate* keeps the count of one executor or one key; an operator's *rules* say what it lets
//! through. A task that finds a gate full is parked there, outside the queue, and comes back when there is room.

use serde::Serialize;

use crate::clock::Timestamp;

/// The longest concurrency key, in bytes.
pub const MAX_KEY_BYTES: usize = 200;
/// The most starts that a rate may allow at once.
pub const MAX_BURST: u32 = 1_000_000;

/// What a gate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateScope {
    /// The tasks of an executor.
    Executor,
    /// The tasks with a concurrency key.
    Key,
}

impl GateScope {
    /// The text on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executor => "executor",
            Self::Key => "key",
        }
    }
}

/// How fast tasks start: the generic cell rate algorithm (ITU-T I.371), which needs one number a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds between two starts in the long run, at least 1.
    pub spacing: i64,
    /// Starts that may come at once after a pause, 1 to [`MAX_BURST`].
    pub burst: u32,
}

/// What a gate lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateLimits {
    /// Tasks that run at a time; none for any number, 0 to let nothing start.
    pub max_running: Option<u32>,
    /// How fast they start; none for any speed.
    pub rate: Option<Rate>,
}

impl GateLimits {
    /// What a concurrency key means if no rule speaks of it: one task at a time.
    pub const OF_KEYS: Self = Self { max_running: Some(1), rate: None };
}

/// What an operator says of one executor, or of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateRule {
    /// What it is about.
    pub scope: GateScope,
    /// The id of an executor, or a key. A key that ends in `*` means all that begin so, each for itself.
    pub name: String,
    /// What is let through.
    pub limits: GateLimits,
}

impl GateRule {
    /// The beginning that a name must have, if the rule is about many.
    pub fn prefix(&self) -> Option<&str> {
        self.name.strip_suffix('*').filter(|_| self.scope == GateScope::Key)
    }

    fn matches(&self, scope: GateScope, name: &str) -> bool {
        self.scope == scope && self.prefix().map_or(self.name == name, |prefix| name.starts_with(prefix))
    }
}

/// What the rules say of a name: the rule with just that name, else the one with the longest beginning. Without a rule a
/// key lets one task through, an executor has no gate.
pub fn limits_of(rules: &[GateRule], scope: GateScope, name: &str) -> Option<GateLimits> {
    let closest = |rule: &&GateRule| rule.prefix().map_or(usize::MAX, str::len);
    let rule = rules.iter().filter(|rule| rule.matches(scope, name)).max_by_key(closest);
    match scope {
        GateScope::Executor => rule.map(|rule| rule.limits),
        GateScope::Key => Some(rule.map_or(GateLimits::OF_KEYS, |rule| rule.limits)),
    }
}

/// A gate as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// What it counts.
    pub scope: GateScope,
    /// The executor or the key.
    pub name: String,
    /// What it lets through.
    pub limits: GateLimits,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that are parked at it.
    pub parked: u32,
    /// With a rate: nothing starts before.
    pub opens_at: Timestamp,
}

impl Gate {
    /// One through which nothing has gone yet.
    pub fn new(scope: GateScope, name: impl Into<String>, limits: GateLimits) -> Self {
        Self { scope, name: name.into(), limits, running: 0, parked: 0, opens_at: Timestamp::from_micros(0) }
    }

    /// How many tasks may start now.
    pub fn room(&self, now: Timestamp) -> u32 {
        let places = self.limits.max_running.map_or(u32::MAX, |max| max.saturating_sub(self.running));
        let starts = self.limits.rate.map_or(u32::MAX, |rate| {
            let since = now.as_micros() - self.first_start(rate, now);
            if since < 0 { 0 } else { u32::try_from(since / rate.spacing + 1).unwrap_or(u32::MAX) }
        });
        places.min(starts)
    }

    /// Takes places for tasks that start now.
    pub fn take(&mut self, count: u32, now: Timestamp) {
        self.running += count;
        if let Some(rate) = self.limits.rate
            && count > 0
        {
            let next = self.first_start(rate, now) + i64::from(count) * rate.spacing;
            self.opens_at = Timestamp::from_micros(next);
        }
    }

    /// When the first of the starts that are allowed now was allowed: what was not used counts up to the burst.
    fn first_start(&self, rate: Rate, now: Timestamp) -> i64 {
        let pause = i64::from(rate.burst - 1) * rate.spacing;
        self.opens_at.as_micros().max(now.as_micros() - pause)
    }

    /// When parked tasks can go on although nothing ends: only time stands in their way.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        let has_places = self.limits.max_running.is_none_or(|max| self.running < max);
        (self.parked > 0 && has_places).then_some(self.opens_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + ms * 1_000)
    }

    fn gate(max_running: Option<u32>, rate: Option<Rate>) -> Gate {
        Gate::new(GateScope::Key, "k", GateLimits { max_running, rate })
    }

    #[test]
    fn places_are_counted() {
        let mut gate = gate(Some(2), None);
        assert_eq!(gate.room(at(0)), 2);
        gate.take(2, at(0));
        assert_eq!(gate.room(at(0)), 0);
        gate.limits.max_running = Some(1);
        assert_eq!(gate.room(at(0)), 0, "more run than a new rule allows");
        gate.limits.max_running = Some(0);
        gate.running = 0;
        assert_eq!(gate.room(at(0)), 0);
    }

    #[test]
    fn a_rate_spaces_starts_and_saves_up_to_its_burst() {
        let mut gate = gate(None, Some(Rate { spacing: 100_000, burst: 3 }));
        assert_eq!(gate.room(at(0)), 3);
        gate.take(3, at(0));
        assert_eq!((gate.room(at(0)), gate.opens_at), (0, at(100)));
        assert_eq!(gate.room(at(99)), 0);
        assert_eq!(gate.room(at(100)), 1);
        assert_eq!(gate.room(at(299)), 2);
        assert_eq!(gate.room(at(10_000)), 3, "a long pause saves no more than the burst");
        gate.take(1, at(10_000));
        assert_eq!(gate.room(at(10_000)), 2);
    }

    #[test]
    fn in_the_long_run_a_rate_is_kept() {
        let mut gate = gate(None, Some(Rate { spacing: 100_000, burst: 1 }));
        let started: u32 = (0..10_000)
            .map(|ms| {
                let room = gate.room(at(ms));
                gate.take(room, at(ms));
                room
            })
            .sum();
        assert_eq!(started, 100);
    }

    #[test]
    fn a_gate_wakes_by_time_only_if_time_is_all_that_is_missing() {
        let mut gate = gate(Some(1), Some(Rate { spacing: 1_000, burst: 1 }));
        gate.take(1, at(0));
        assert_eq!(gate.wakes_at(), None, "nobody is parked");
        gate.parked = 1;
        assert_eq!(gate.wakes_at(), None, "somebody runs");
        gate.running = 0;
        assert_eq!(gate.wakes_at(), Some(at(1)));
    }

    #[test]
    fn the_closest_rule_counts() {
        let rule = |scope, name: &str, max| GateRule {
            scope,
            name: name.into(),
            limits: GateLimits { max_running: Some(max), rate: None },
        };
        let rules = [
            rule(GateScope::Key, "*", 2),
            rule(GateScope::Key, "github/*", 3),
            rule(GateScope::Key, "github/me", 4),
            rule(GateScope::Executor, "e", 5),
            rule(GateScope::Executor, "*", 6),
        ];
        let max = |rules, scope, name| limits_of(rules, scope, name).map(|limits| limits.max_running);
        assert_eq!(max(&rules, GateScope::Key, "github/me"), Some(Some(4)));
        assert_eq!(max(&rules, GateScope::Key, "github/you"), Some(Some(3)));
        assert_eq!(max(&rules, GateScope::Key, "gitlab"), Some(Some(2)));
        assert_eq!(max(&rules, GateScope::Executor, "e"), Some(Some(5)));
        assert_eq!(max(&rules, GateScope::Executor, "f"), None, "a rule is about one executor");
        assert_eq!(max(&[], GateScope::Key, "x"), Some(Some(1)));
    }
}
