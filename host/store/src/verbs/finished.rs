//! What goes into a turn: finished runs and progress reports, in the form in which both databases take them.

use std::collections::HashMap;

use apflow_core::error::Result;
use apflow_core::id::{TaskKey, Token};
use apflow_core::json::Json;
use apflow_core::store::{FinishedRun, ProgressReport, RunOutcome};
use apflow_core::task::TaskStatus;
use apflow_core::transition::{Change, transition};

use super::events;
use crate::rows::{status_number, to_json};

/// [`Finished::kind`] of a task that completed; this and the next two are the numbers of the statuses.
pub(crate) const COMPLETED: i64 = status_number(TaskStatus::Completed);
/// Of one that failed for good.
pub(crate) const FAILED: i64 = status_number(TaskStatus::Failed);
/// Of one that was cancelled.
pub(crate) const CANCELLED: i64 = status_number(TaskStatus::Cancelled);
/// Of a failed attempt that another will follow.
pub(crate) const RETRY: i64 = 5;
/// Of a run that was put off.
pub(crate) const DELAY: i64 = 6;

/// A finished run as a database takes it. Documents are JSON text.
pub(crate) struct Finished<'t> {
    pub key: TaskKey,
    pub token: Token,
    pub kind: i64,
    /// When it is due again.
    pub until: Option<i64>,
    /// The event's own data.
    pub data: Option<String>,
    pub result: Option<&'t str>,
    pub error: Option<String>,
    pub inputs: Option<&'t str>,
    pub receipt: Option<&'t str>,
}

impl<'t> Finished<'t> {
    /// Asks the state machine for the change and packs the run.
    pub fn pack(run: &'t FinishedRun) -> Result<Self> {
        let error_text = |error| to_json("task error", error).map(Some);
        let (change, again, result, error) = match &run.outcome {
            RunOutcome::Completed { result } => (Change::Complete, None, Some(result), None),
            RunOutcome::Failed { error, result } => (Change::Fail, None, result.as_ref(), error_text(error)?),
            RunOutcome::Retry { error, due } => {
                (Change::Retry, Some((RETRY, *due)), None, error_text(error)?)
            }
            RunOutcome::Delay { due } => (Change::Retry, Some((DELAY, *due)), None, None),
        };
        let status = transition(TaskStatus::InProgress, change)?;
        let receipt = run.receipt.as_ref().map(Json::as_str);
        let (kind, until, data) = match again {
            None => (status_number(status), None, None),
            Some((DELAY, due)) => (DELAY, Some(due.as_micros()), Some(events::delayed(due, receipt))),
            Some((kind, due)) => (kind, Some(due.as_micros()), Some(events::due(due))),
        };
        let inputs = run.inputs.as_ref().map(Json::as_str);
        let (key, token, result) = (run.key, run.token, result.map(Json::as_str));
        Ok(Self { key, token, kind, until, data, result, error, inputs, receipt })
    }
}

/// A report: task, token, fraction, data, whether it is the last one of its run.
pub(crate) type Report<'t> = (TaskKey, Token, f64, &'t str, bool);

pub(crate) fn reports(progress: &[ProgressReport]) -> Vec<Report<'_>> {
    let run = |report: &ProgressReport| (report.key, report.token);
    let last: HashMap<_, usize> = progress.iter().enumerate().map(|(i, report)| (run(report), i)).collect();
    let mut packed = Vec::with_capacity(progress.len());
    for (i, report) in progress.iter().enumerate() {
        let is_last = last.get(&run(report)) == Some(&i);
        packed.push((report.key, report.token, report.fraction, report.data.as_str(), is_last));
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_kind_orders_what_is_terminal_before_what_is_not() {
        let terminal = [COMPLETED, FAILED, CANCELLED];
        assert!(terminal.iter().all(|kind| *kind <= CANCELLED));
        assert!([RETRY, DELAY].iter().all(|kind| *kind > CANCELLED));
    }
}
