//! How the calls of one version of a plugin ended, and the trial of a version that has replaced another: if too many of its
//! first calls are failed by the plugin itself, whoever listens is told.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use apflow_core::error::{FailureKind, TaskError};
use tokio::sync::mpsc::UnboundedSender;

use crate::history::Key;

/// Counters of one version.
#[derive(Debug, Default)]
pub(crate) struct Record {
    calls: AtomicU64,
    failures: AtomicU64,
    trial: OnceLock<Trial>,
}

/// The first calls of a version that has replaced another.
#[derive(Debug)]
pub(crate) struct Trial {
    /// How many calls it lasts.
    pub calls: u64,
    /// How many of them may fail.
    pub allowed: u64,
    /// Who is told.
    pub report: UnboundedSender<Failing>,
    /// What to say.
    pub plugin: String,
    /// Which version.
    pub key: Key,
}

/// A version that did not stand its trial.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    /// The plugin.
    pub plugin: String,
    /// The version.
    pub key: Key,
    /// Calls so far.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
}

impl Record {
    /// Begins the trial; only one is possible.
    pub fn begin_trial(&self, trial: Trial) {
        // A version that is published again has stood its trial, or has been chosen by a person.
        let _ = self.trial.set(trial);
    }

    /// A call has ended, with this failure of the plugin if there was one.
    pub fn count(&self, error: Option<&TaskError>) {
        let calls = self.calls.fetch_add(1, Relaxed) + 1;
        if !error.is_some_and(is_the_plugins_own) {
            return;
        }
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if let Some(trial) = self.trial.get()
            && calls <= trial.calls
            && failures > trial.allowed
        {
            let failing = Failing { plugin: trial.plugin.clone(), key: trial.key.clone(), calls, failures };
            // The set of plugins may be gone already.
            let _ = trial.report.send(failing);
        }
    }

    /// Calls, and failures among them.
    pub fn counts(&self) -> (u64, u64) {
        (self.calls.load(Relaxed), self.failures.load(Relaxed))
    }
}

/// Crashes, broken limits and answers against the contract; not what the caller, a peer or the task's own timeout did.
fn is_the_plugins_own(error: &TaskError) -> bool {
    error.kind == FailureKind::Plugin && !matches!(error.code.as_str(), "input_limit" | "internal")
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn error(kind: FailureKind, code: &str) -> TaskError {
        TaskError::new(kind, code, "x")
    }

    #[test]
    fn a_version_fails_its_trial_as_soon_as_that_is_certain() {
        let (report, mut failing) = unbounded_channel();
        let record = Record::default();
        let key = Key { digest: "d".into(), manifest: String::new() };
        record.begin_trial(Trial { calls: 4, allowed: 2, report, plugin: "p".into(), key });
        let trap = error(FailureKind::Plugin, "trap");
        for other in [
            error(FailureKind::Permanent, "own"),
            error(FailureKind::Retryable, "timeout"),
            error(FailureKind::Plugin, "input_limit"),
        ] {
            assert!(!is_the_plugins_own(&other));
        }
        record.count(Some(&trap));
        record.count(Some(&trap));
        assert!(failing.try_recv().is_err(), "two of four may fail");
        record.count(Some(&trap));
        let failing = failing.try_recv().unwrap();
        assert_eq!((failing.calls, failing.failures), (3, 3));
    }

    #[test]
    fn failures_after_the_trial_are_counted_and_nothing_else() {
        let (report, mut failing) = unbounded_channel();
        let record = Record::default();
        let key = Key { digest: "d".into(), manifest: String::new() };
        record.begin_trial(Trial { calls: 2, allowed: 0, report, plugin: "p".into(), key });
        record.count(None);
        record.count(None);
        record.count(Some(&error(FailureKind::Plugin, "trap")));
        assert!(failing.try_recv().is_err());
        assert_eq!(record.counts(), (3, 1));
    }
}
