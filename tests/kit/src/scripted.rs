//! An executor that answers as the test says, and remembers how it was called. Tests of the engine use it in place of
//! components: nothing is compiled and nothing takes time, unless a [`Gate`] is closed.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, Executor, ExecutorInfo, Invocation, Outcome, RunContext, RunFailure};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::trees::EXECUTOR;

/// What to do with one call.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Complete with this result.
    Complete(Value),
    /// Complete with the inputs as the result.
    Echo,
    /// Fail; whether that is for good is for the error's kind and the task's policy to say.
    Fail {
        /// Why.
        error: TaskError,
        /// What the other side asked to wait.
        retry_after: Option<Duration>,
    },
    /// Report progress, then go on.
    Report(f64, Box<Self>),
    /// Wait until the gate is open, then go on.
    Wait(Gate, Box<Self>),
}

impl Answer {
    /// A failure for good, with code `scripted`.
    pub fn fail(message: &str) -> Self {
        Self::of(TaskError::new(FailureKind::Permanent, "scripted", message))
    }

    /// A failure that may be tried again, with code `scripted`.
    pub fn retryable(message: &str) -> Self {
        Self::of(TaskError::new(FailureKind::Retryable, "scripted", message))
    }

    /// A failure with this error.
    pub fn of(error: TaskError) -> Self {
        Self::Fail { error, retry_after: None }
    }

    /// First wait for the gate.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Self {
        Self::Wait(gate.clone(), Box::new(self))
    }

    /// First report this fraction.
    #[must_use]
    pub fn reporting(self, fraction: f64) -> Self {
        Self::Report(fraction, Box::new(self))
    }
}

/// A gate in the way of runs: closed until [`Gate::open`], then open for good. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    arrived: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { arrived: Arc::new(watch::Sender::new(0)), open: Arc::new(watch::Sender::new(false)) }
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everyone pass, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns once so many runs have come to the gate since it was made.
    pub async fn arrivals(&self, count: usize) {
        Self::reach(&self.arrived, |arrived| *arrived >= count).await;
    }

    async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        Self::reach(&self.open, |open| *open).await;
    }

    async fn reach<T>(channel: &watch::Sender<T>, condition: impl FnMut(&T) -> bool) {
        // The sender outlives the wait, so the channel cannot close.
        let _ = channel.subscribe().wait_for(condition).await;
    }
}

/// How a call came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// It has not ended.
    Running,
    /// It answered.
    Returned,
    /// Its future was dropped: it was interrupted.
    Dropped,
}

/// One call, as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was passed.
    pub invocation: Invocation,
    /// How it ended.
    pub end: CallEnd,
}

#[derive(Debug, Default)]
struct Record {
    calls: Vec<Call>,
    running: usize,
    peak: usize,
}

/// An executor with a script. A task is named by its id, which the builders in [`crate::trees`] make equal to its name.
#[derive(Debug)]
pub struct ScriptedExecutor {
    info: ExecutorInfo,
    script: HashMap<String, Vec<Answer>>,
    otherwise: Answer,
    record: Mutex<Record>,
}

impl Default for ScriptedExecutor {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptedExecutor {
    /// The executor that the trees of this kit name. It completes everything with `{}`.
    pub fn new() -> Self {
        Self::named(EXECUTOR)
    }

    /// An executor with another id.
    pub fn named(id: &str) -> Self {
        let info = ExecutorInfo {
            id: id.to_owned(),
            name: id.to_owned(),
            description: "Answers as a test says.".to_owned(),
            tags: Vec::new(),
            examples: Vec::new(),
            input_schema: json!({"type": "object"}),
            output_schema: json!({}),
            cancelable: true,
            idempotent: true,
            demo_result: None,
            provided_by: "native".to_owned(),
        };
        let otherwise = Answer::Complete(json!({}));
        Self { info, script: HashMap::new(), otherwise, record: Mutex::default() }
    }

    /// Declares other schemas.
    #[must_use]
    pub fn with_schemas(mut self, input: Value, output: Value) -> Self {
        self.info.input_schema = input;
        self.info.output_schema = output;
        self
    }

    /// Answers for a task: the first for attempt 1 and so on, the last for all that follow.
    #[must_use]
    pub fn on(mut self, task: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.script.insert(task.to_owned(), answers.into_iter().collect());
        self
    }

    /// The answer for all tasks without a script.
    #[must_use]
    pub fn otherwise(mut self, answer: Answer) -> Self {
        self.otherwise = answer;
        self
    }

    /// All calls so far, in the order in which they began.
    pub fn calls(&self) -> Vec<Call> {
        self.record().calls.clone()
    }

    /// The calls of one task.
    pub fn calls_of(&self, task: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.invocation.task_id.as_str() == task).collect()
    }

    /// Ids of the tasks that were called, in the order in which the calls began.
    pub fn order(&self) -> Vec<String> {
        self.record().calls.iter().map(|call| call.invocation.task_id.to_string()).collect()
    }

    /// The most calls that were under way at the same time.
    pub fn peak(&self) -> usize {
        self.record().peak
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, call: &Invocation) -> Answer {
        let answers = self.script.get(call.task_id.as_str()).map_or(&[][..], Vec::as_slice);
        let turn = (call.attempt.max(1) - 1) as usize;
        answers.get(turn).or(answers.last()).unwrap_or(&self.otherwise).clone()
    }

    fn begin(&self, call: &Invocation) -> Entry<'_> {
        let mut record = self.record();
        record.calls.push(Call { invocation: call.clone(), end: CallEnd::Running });
        record.running += 1;
        record.peak = record.peak.max(record.running);
        Entry { executor: self, index: record.calls.len() - 1, end: CallEnd::Dropped }
    }
}

/// A call under way; writes its end when it goes.
struct Entry<'a> {
    executor: &'a ScriptedExecutor,
    index: usize,
    end: CallEnd,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut record = self.executor.record();
        record.running -= 1;
        record.calls[self.index].end = self.end;
    }
}

#[async_trait]
impl Executor for ScriptedExecutor {
    fn info(&self) -> &ExecutorInfo {
        &self.info
    }

    async fn execute(&self, call: Invocation, progress: Arc<dyn RunContext>) -> Outcome {
        let mut entry = self.begin(&call);
        let outcome = perform(self.answer(&call), &call.inputs, progress.as_ref()).await;
        entry.end = CallEnd::Returned;
        outcome
    }
}

fn perform<'a>(
    answer: Answer,
    inputs: &'a Json,
    progress: &'a dyn RunContext,
) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
    Box::pin(async move {
        match answer {
            Answer::Complete(result) => Outcome::completed(result.into()),
            Answer::Echo => Outcome::completed(inputs.clone()),
            Answer::Fail { error, retry_after } => {
                Outcome { result: Err(RunFailure { error, retry_after }), receipt: None }
            }
            Answer::Report(fraction, then) => {
                progress.report(fraction, None, None);
                perform(*then, inputs, progress).await
            }
            Answer::Wait(gate, then) => {
                gate.pass().await;
                perform(*then, inputs, progress).await
            }
        }
    })
}

/// A catalog with these executors and nothing else.
pub fn catalog_of(executors: impl IntoIterator<Item = Arc<dyn Executor>>) -> Arc<Catalog> {
    let executors = executors.into_iter().map(|one| (one.info().id.clone(), one)).collect();
    Arc::new(Catalog { executors, ..Catalog::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Reports(Mutex<Vec<f64>>);

    impl RunContext for Reports {
        fn report(&self, fraction: f64, _: Option<String>, _: Option<Json>) {
            self.0.lock().unwrap().push(fraction);
        }
    }

    fn call(task: &str, attempt: u32) -> Invocation {
        Invocation {
            executor: EXECUTOR.into(),
            task_id: task.into(),
            tree_id: "tree".into(),
            attempt,
            idempotency_key: format!("{task}:1"),
            timeout: None,
            inputs: json!({"x": 1}).into(),
            params: Json::object(),
            trace_parent: None,
        }
    }

    fn sink() -> Arc<Reports> {
        Arc::new(Reports(Mutex::default()))
    }

    #[tokio::test]
    async fn answers_follow_the_attempt_and_the_last_one_stays() {
        let executor =
            ScriptedExecutor::new().on("a", [Answer::retryable("not yet"), Answer::Echo.reporting(0.5)]);
        let reports = sink();
        let first = executor.execute(call("a", 1), sink()).await;
        assert_eq!(first.result.unwrap_err().error.kind, FailureKind::Retryable);
        for attempt in [2, 3] {
            let later = executor.execute(call("a", attempt), reports.clone()).await;
            assert_eq!(later.result.unwrap().value(), json!({"x": 1}));
        }
        assert_eq!(*reports.0.lock().unwrap(), [0.5, 0.5]);
        assert!(executor.execute(call("b", 1), sink()).await.result.is_ok());
        assert_eq!(executor.order(), ["a", "a", "a", "b"]);
    }

    #[tokio::test]
    async fn a_gate_holds_runs_until_it_opens_and_a_dropped_call_is_seen() {
        let gate = Gate::new();
        let executor = Arc::new(ScriptedExecutor::new().otherwise(Answer::Echo.behind(&gate)));
        let run = |task: &str| {
            let (executor, call) = (Arc::clone(&executor), call(task, 1));
            tokio::spawn(async move { executor.execute(call, sink()).await })
        };
        let (kept, dropped) = (run("kept"), run("dropped"));
        gate.arrivals(2).await;
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());
        gate.open();
        assert!(kept.await.unwrap().result.is_ok());
        assert_eq!(executor.calls_of("kept")[0].end, CallEnd::Returned);
        assert_eq!(executor.calls_of("dropped")[0].end, CallEnd::Dropped);
        assert_eq!(executor.peak(), 2);
    }

    #[test]
    fn a_catalog_finds_executors_by_id() {
        let catalog = catalog_of([Arc::new(ScriptedExecutor::named("x")) as Arc<dyn Executor>]);
        assert!(catalog.executors.contains_key("x"));
    }
}
