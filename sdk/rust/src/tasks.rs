//! Child tasks of the running task, feature `tasks`. Needs the `tasks` grant.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::types as wit;
use crate::{Failure, wire};

/// A submitted tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    root_id: String,
}

/// How a child tree ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ended {
    /// The root's status: `completed`, `failed` or `cancelled`.
    pub status: String,
    /// The root's result, where it completed.
    #[serde(default)]
    pub result: Option<Value>,
    /// The root's error, where it failed.
    #[serde(default)]
    pub error: Option<Value>,
}

impl Ended {
    /// The result as `T`; a tree that did not complete is a permanent failure, code `child_failed`, with its error.
    pub fn into_result<T: DeserializeOwned>(self) -> Result<T, Failure> {
        if self.status != "completed" {
            let message = format!("the child tree ended as `{}`", self.status);
            return Err(Failure::permanent("child_failed", message).with_extra("error", self.error));
        }
        wire::from_kept(&self.result.unwrap_or_default().to_string(), "child's result")
    }
}

/// Submits a tree (a list of task objects) as children of the running task. The same `idempotency_key` gives the same
/// tree, so a repeated attempt does not submit twice.
///
/// ```no_run
/// # use apflow_sdk::{prelude::*, tasks};
/// # fn run(ctx: &Context) -> Result<(), Failure> {
/// let tree = json!([{"name": "part", "executor": "noop_executor", "inputs": {"n": 1}}]);
/// let part: Value = tasks::submit(&tree, ctx.idempotency_key())?.wait()?.into_result()?;
/// # Ok(()) }
/// ```
pub fn submit<T: Serialize + ?Sized>(tree: &T, idempotency_key: &str) -> Result<Submitted, Failure> {
    let root_id = border::submit(&wire::to_json(tree, "tree")?, idempotency_key).map_err(failed)?;
    Ok(Submitted { root_id })
}

impl Submitted {
    /// The root's id.
    pub fn root_id(&self) -> &str {
        &self.root_id
    }

    /// Waits until the tree has ended.
    pub fn wait(&self) -> Result<Ended, Failure> {
        let document = border::await_result(&self.root_id).map_err(failed)?;
        wire::from_kept(&document, "end of the child tree")
    }
}

/// What is bad about a child's inputs is no bad input of this task.
fn failed(failure: wit::Failure) -> Failure {
    match failure {
        wit::Failure::Retryable(retry) => {
            let after = retry.after_ms.map(|ms| std::time::Duration::from_millis(ms.into()));
            Failure::Retryable { issue: retry.issue.into(), after }
        }
        wit::Failure::BadInput(issue) | wit::Failure::Permanent(issue) => Failure::Permanent(issue.into()),
        wit::Failure::Cancelled => Failure::Cancelled,
        wit::Failure::Other(text) => wire::other_failure("tasks_error", &text),
    }
}

/// The two imports; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use crate::bindings::tasks::{await_result, submit};
}
#[cfg(not(target_family = "wasm"))]
mod border {
    use crate::bindings::types::Failure;

    pub(super) fn submit(_: &str, _: &str) -> Result<String, Failure> {
        Err(Failure::Permanent(crate::wire::no_host("tasks").into()))
    }

    pub(super) fn await_result(_: &str) -> Result<String, Failure> {
        Err(Failure::Permanent(crate::wire::no_host("tasks").into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_child_that_did_not_complete_is_a_failure_with_its_error() {
        let ended: Ended =
            serde_json::from_value(json!({"status": "failed", "error": {"code": "x"}})).unwrap();
        let failure = ended.into_result::<Value>().unwrap_err();
        assert_eq!(
            (failure.code(), failure.issue().unwrap().extra["error"]["code"].as_str()),
            ("child_failed", Some("x"))
        );
        let ended: Ended = serde_json::from_value(json!({"status": "completed", "result": [1, 2]})).unwrap();
        assert_eq!(ended.into_result::<Vec<u8>>().unwrap(), [1, 2]);
    }

    #[test]
    fn a_child_s_bad_input_is_not_this_task_s() {
        let issue = crate::Issue { pointer: Some("/a".to_owned()), ..crate::Issue::new("x", "y") };
        assert!(matches!(failed(wit::Failure::BadInput(issue.into())), Failure::Permanent(_)));
    }

    #[test]
    fn outside_a_component_there_is_nobody_to_work() {
        assert_eq!(submit(&json!([]), "k").unwrap_err().code(), "no_host");
        assert_eq!(Submitted { root_id: "r".to_owned() }.wait().unwrap_err().code(), "no_host");
    }
}
