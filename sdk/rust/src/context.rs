//! What an executor knows about its call beside the inputs: [`Context`]. Made by the dispatcher from the invocation, or
//! by [`crate::testing`].

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::types::Invocation;
use crate::{Failure, wire};

/// One attempt at one task, without its inputs.
#[derive(Debug, Clone)]
pub struct Context {
    call: Invocation,
}

impl Context {
    pub(crate) fn new(call: Invocation) -> Self {
        Self { call }
    }

    /// The id of the executor that was called.
    pub fn executor(&self) -> &str {
        &self.call.executor
    }

    /// The task.
    pub fn task_id(&self) -> &str {
        &self.call.task_id
    }

    /// The tree that the task belongs to.
    pub fn tree_id(&self) -> &str {
        &self.call.tree_id
    }

    /// Number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.call.attempt
    }

    /// The same for every attempt at this task in one execution. Give it to the outside world (as an `Idempotency-Key`
    /// header, as a primary key), so that a repeated attempt is not a repeated effect.
    pub fn idempotency_key(&self) -> &str {
        &self.call.idempotency_key
    }

    /// How long this call may take before the host interrupts it; none where there is no limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.call.timeout_ms.map(|ms| Duration::from_millis(ms.into()))
    }

    /// W3C Trace Context `traceparent`, to be passed on to services, if the task is traced.
    pub fn trace_parent(&self) -> Option<&str> {
        self.call.trace_parent.as_deref()
    }

    /// The task's params (without `executor_id`) as `T`. What does not fit is bad input, code `invalid_params`, with
    /// the place in the message.
    ///
    /// ```
    /// # use apflow_sdk::{prelude::*, testing};
    /// #[derive(Default, Deserialize)]
    /// #[serde(default)]
    /// struct Params { polite: bool }
    ///
    /// let ctx = testing::context(json!({"polite": true}));
    /// assert!(ctx.params::<Params>()?.polite);
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        wire::from_json(&self.call.params).map_err(|failure| {
            let issue = failure.issue();
            let place = issue.and_then(|issue| issue.pointer.as_deref()).unwrap_or_default();
            let reason = issue.map_or("", |issue| issue.message.as_str());
            Failure::BadInput(crate::Issue::new(
                "invalid_params",
                format!("params{place}: {reason}; correct it in the task's `params`"),
            ))
        })
    }

    /// Reports that `fraction` (0.0 to 1.0) is done, with one short sentence. Readers of the event log see the newest
    /// report; it never decides anything.
    pub fn progress(&self, fraction: f64, message: &str) {
        report(fraction, Some(message), None);
    }

    /// As [`Context::progress`], with output that is already worth reading.
    pub fn progress_with<T: Serialize + ?Sized>(
        &self,
        fraction: f64,
        message: &str,
        partial: &T,
    ) -> Result<(), Failure> {
        let partial = wire::to_json(partial, "partial output")?;
        report(fraction, Some(message), Some(&partial));
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
fn report(fraction: f64, message: Option<&str>, partial: Option<&str>) {
    crate::bindings::progress::report(fraction, message, partial);
}

/// In unit tests there is no host: the report goes to standard error, which the test harness captures.
#[cfg(not(target_family = "wasm"))]
fn report(fraction: f64, message: Option<&str>, partial: Option<&str>) {
    eprintln!("progress {fraction}: {} {}", message.unwrap_or_default(), partial.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use crate::testing;

    #[derive(Debug, Deserialize)]
    struct Params {
        #[expect(dead_code, reason = "only its type matters")]
        depth: u8,
    }

    #[test]
    fn params_that_do_not_fit_name_the_place_and_the_remedy() {
        let failure = testing::context(json!({"depth": 300})).params::<Params>().unwrap_err();
        assert_eq!(failure.code(), "invalid_params");
        assert_eq!(failure.issue().unwrap().pointer, None, "a pointer is for inputs only");
        let text = failure.to_string();
        assert!(text.contains("params/depth") && text.contains("300"), "{text}");
    }

    #[test]
    fn progress_needs_no_host_in_tests() {
        let ctx = testing::context(json!({}));
        ctx.progress(0.5, "half way");
        ctx.progress_with(1.0, "done", &[1, 2]).unwrap();
    }
}
