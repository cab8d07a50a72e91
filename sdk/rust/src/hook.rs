//! Components that decide: the [`Hook`] trait, what it hears ([`Event`]) and says ([`Decision`]), and
//! [`export_hooks!`](crate::export_hooks). Whether a failing hook stops the task is the operator's choice, not the
//! plugin's.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bindings::hooks::exports::apflow::plugin::hooks as wit;
use crate::{Failure, Issue, wire};

/// Hears of points in the life of trees and tasks, and decides.
///
/// ```
/// use apflow_sdk::prelude::*;
///
/// struct NoFridays;
///
/// impl Hook for NoFridays {
///     fn subscriptions() -> Vec<Subscription> {
///         vec![Subscription::to(Point::BeforeRun).only_executors(["deploy_executor"])]
///     }
///
///     fn on_event(event: &Event) -> Result<Decision, Failure> {
///         let subject: Value = event.subject()?;
///         if subject["metadata"]["day"] == "friday" {
///             return Ok(Decision::veto("no_fridays", "deployments rest on Fridays; run it on Monday"));
///         }
///         Ok(Decision::Proceed)
///     }
/// }
///
/// apflow_sdk::export_hooks!(NoFridays);
/// ```
pub trait Hook {
    /// What this component wants to hear of. Asked once, when it is loaded.
    fn subscriptions() -> Vec<Subscription>;

    /// Decides about one event.
    fn on_event(event: &Event) -> Result<Decision, Failure>;
}

/// A point in the life of a tree or task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// A tree is about to be stored; may be refused.
    TreeCreated,
    /// A tree's first task is claimed.
    TreeStarted,
    /// A tree has completed.
    TreeCompleted,
    /// A tree has failed.
    TreeFailed,
    /// A task's dependencies hold; it may be delayed.
    TaskReady,
    /// A task is about to run with these inputs; may be changed, answered, delayed or refused.
    BeforeRun,
    /// A task has run, with this outcome.
    AfterRun,
    /// A webhook came in; may be refused.
    WebhookVerify,
    /// A node is chosen for a task; may be refused.
    Placement,
    /// A point that this version of the SDK does not know.
    Other(String),
}

impl Point {
    /// The name that the host knows the point by.
    pub fn as_str(&self) -> &str {
        match self {
            Self::TreeCreated => "tree.created",
            Self::TreeStarted => "tree.started",
            Self::TreeCompleted => "tree.completed",
            Self::TreeFailed => "tree.failed",
            Self::TaskReady => "task.ready",
            Self::BeforeRun => "task.before-run",
            Self::AfterRun => "task.after-run",
            Self::WebhookVerify => "webhook.verify",
            Self::Placement => "placement",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for Point {
    fn from(name: String) -> Self {
        match name.as_str() {
            "tree.created" => Self::TreeCreated,
            "tree.started" => Self::TreeStarted,
            "tree.completed" => Self::TreeCompleted,
            "tree.failed" => Self::TreeFailed,
            "task.ready" => Self::TaskReady,
            "task.before-run" => Self::BeforeRun,
            "task.after-run" => Self::AfterRun,
            "webhook.verify" => Self::WebhookVerify,
            "placement" => Self::Placement,
            _ => Self::Other(name),
        }
    }
}

/// One point, for all tasks or for those of some executors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    point: Point,
    executors: Vec<String>,
}

impl Subscription {
    /// This point, whatever the executor.
    pub fn to(point: Point) -> Self {
        Self { point, executors: Vec::new() }
    }

    /// Only tasks of these executors.
    #[must_use]
    pub fn only_executors<S: Into<String>>(mut self, executors: impl IntoIterator<Item = S>) -> Self {
        self.executors.extend(executors.into_iter().map(Into::into));
        self
    }
}

/// Something that happened or is about to. Documents are read on demand: a hook stands in the way of every task.
#[derive(Debug, Clone)]
pub struct Event {
    /// Which point.
    pub point: Point,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// The tree.
    pub tree_id: String,
    /// The task; none at points of a tree.
    pub task_id: Option<String>,
    /// The task's executor.
    pub executor: Option<String>,
    /// Attempt number, from 1; 0 where there is no attempt.
    pub attempt: u32,
    inputs: Option<String>,
    outcome: Option<String>,
    subject: String,
    extra: String,
}

impl Event {
    /// The resolved inputs, at [`Point::BeforeRun`] and [`Point::AfterRun`].
    pub fn inputs<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.inputs.as_deref().map(wire::from_json).transpose()
    }

    /// At [`Point::AfterRun`]: an object with `status`, `result` or `error`, and `duration_ms`.
    pub fn outcome<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.outcome.as_deref().map(wire::from_json).transpose()
    }

    /// Name, owner, params, priority and metadata of the task, or of the root at points of a tree.
    pub fn subject<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        wire::from_json(&self.subject)
    }

    /// What else the point has to tell, an object: at [`Point::Placement`] the `node` that has claimed the task.
    pub fn extra<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        wire::from_json(&self.extra)
    }

    /// An event for unit tests: at `point` about task `test-task` of `executor`, first attempt, with these inputs and
    /// this subject.
    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
    pub fn for_test(point: Point, executor: &str, inputs: Value, subject: Value) -> Self {
        Self {
            point,
            at: "2026-01-01T00:00:00Z".to_owned(),
            tree_id: "test-tree".to_owned(),
            task_id: Some("test-task".to_owned()),
            executor: Some(executor.to_owned()),
            attempt: 1,
            inputs: Some(inputs.to_string()),
            outcome: None,
            subject: subject.to_string(),
            extra: "{}".to_owned(),
        }
    }

    /// The same event with an outcome, for unit tests at [`Point::AfterRun`].
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
    pub fn with_outcome(mut self, outcome: Value) -> Self {
        self.outcome = Some(outcome.to_string());
        self
    }
}

/// What the host shall do. Where a point cannot honour a decision, the decision is a failure of the hook.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// Go on; at every point.
    Proceed,
    /// Run with these inputs instead; at [`Point::BeforeRun`].
    ReplaceInputs(Map<String, Value>),
    /// Do not run; this is the result; at [`Point::BeforeRun`].
    SupplyResult(Value),
    /// Run later, after this time at the earliest; at [`Point::TaskReady`] and [`Point::BeforeRun`].
    Delay(Duration),
    /// Refuse, with a reason; at [`Point::TreeCreated`], [`Point::BeforeRun`], [`Point::WebhookVerify`] and
    /// [`Point::Placement`].
    Veto(Issue),
}

impl Decision {
    /// A refusal with a stable code and one sentence that names the remedy.
    pub fn veto(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Veto(Issue::new(code, message))
    }

    /// A result in place of the run.
    pub fn supply_result<T: Serialize + ?Sized>(result: &T) -> Result<Self, Failure> {
        Ok(Self::SupplyResult(serde_json::to_value(result)?))
    }
}

/// Makes the given [`Hook`] type the hook of this component. Once per plugin crate.
#[macro_export]
macro_rules! export_hooks {
    ($hook:ty) => {
        const _: fn(&$crate::Event) -> ::core::result::Result<$crate::Decision, $crate::Failure> =
            <$hook as $crate::Hook>::on_event;

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::bindings::hooks::exports::apflow::plugin::hooks::Guest for Component {
                fn subscriptions() -> $crate::__private::Subscribed {
                    ::core::result::Result::Ok($crate::hook::subscribed::<$hook>())
                }

                fn on_event(
                    event: $crate::bindings::hooks::exports::apflow::plugin::hooks::HookEvent,
                ) -> $crate::__private::Decided {
                    $crate::hook::decide::<$hook>(event)
                }
            }

    $crate::bindings::hooks::export_hooks_world!(Component with_types_in $crate::bindings::hooks);
        };
    };
}

/// The subscriptions of `H` as the host reads them.
#[doc(hidden)]
pub fn subscribed<H: Hook>() -> Vec<wit::Subscription> {
    let to_wit = |subscription: Subscription| wit::Subscription {
        point: subscription.point.as_str().to_owned(),
        executors: subscription.executors,
        extra: "{}".to_owned(),
    };
    H::subscriptions().into_iter().map(to_wit).collect()
}

/// Lets `H` decide about an event as the host sends it.
#[doc(hidden)]
pub fn decide<H: Hook>(event: wit::HookEvent) -> crate::__private::Decided {
    let event = Event {
        point: event.point.into(),
        at: event.at,
        tree_id: event.tree_id,
        task_id: event.task_id,
        executor: event.executor,
        attempt: event.attempt,
        inputs: event.inputs,
        outcome: event.outcome,
        subject: event.subject,
        extra: event.extra,
    };
    Ok(match H::on_event(&event)? {
        Decision::Proceed => wit::Decision::Proceed,
        Decision::ReplaceInputs(inputs) => wit::Decision::ReplaceInputs(Value::Object(inputs).to_string()),
        Decision::SupplyResult(result) => wit::Decision::SupplyResult(result.to_string()),
        Decision::Delay(time) => wit::Decision::DelayMs(wire::millis(time)),
        Decision::Veto(issue) => wit::Decision::Veto(issue.into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Doubler;

    impl Hook for Doubler {
        fn subscriptions() -> Vec<Subscription> {
            vec![
                Subscription::to(Point::BeforeRun).only_executors(["a", "b"]),
                Subscription::to(Point::TreeCreated),
            ]
        }

        fn on_event(event: &Event) -> Result<Decision, Failure> {
            let Some(mut inputs) = event.inputs::<Map<String, Value>>()? else {
                return Ok(Decision::veto("no_inputs", "nothing to double"));
            };
            let doubled = inputs.get("n").and_then(Value::as_u64).unwrap_or(0) * 2;
            inputs.insert("n".to_owned(), doubled.into());
            Ok(Decision::ReplaceInputs(inputs))
        }
    }

    fn event(inputs: Option<&str>) -> wit::HookEvent {
        wit::HookEvent {
            point: "task.before-run".to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            tree_id: "t".to_owned(),
            task_id: Some("n".to_owned()),
            executor: Some("a".to_owned()),
            attempt: 1,
            inputs: inputs.map(str::to_owned),
            outcome: None,
            subject: "{}".to_owned(),
            extra: "{}".to_owned(),
        }
    }

    #[test]
    fn subscriptions_carry_the_host_s_names() {
        let all = subscribed::<Doubler>();
        assert_eq!((all[0].point.as_str(), all[0].executors.len()), ("task.before-run", 2));
        assert_eq!((all[1].point.as_str(), all[1].executors.len()), ("tree.created", 0));
    }

    #[test]
    fn decisions_cross_the_border() {
        let Ok(wit::Decision::ReplaceInputs(inputs)) = decide::<Doubler>(event(Some(r#"{"n":21}"#))) else {
            panic!("not replaced")
        };
        assert_eq!(inputs, r#"{"n":42}"#);
        let Ok(wit::Decision::Veto(issue)) = decide::<Doubler>(event(None)) else { panic!("not refused") };
        assert_eq!(issue.code, "no_inputs");
    }

    #[test]
    fn broken_documents_are_failures_and_not_panics() {
        assert!(decide::<Doubler>(event(Some("{"))).is_err());
    }

    #[test]
    fn every_point_has_one_name() {
        for name in ["tree.created", "task.ready", "task.after-run", "placement", "task.dreamt"] {
            assert_eq!(Point::from(name.to_owned()).as_str(), name);
        }
        let event = Event::for_test(Point::AfterRun, "a", json!({}), json!({"name": "x"}));
        let outcome: Value = event.with_outcome(json!({"status": "failed"})).outcome().unwrap().unwrap();
        assert_eq!(outcome["status"], "failed");
    }
}
