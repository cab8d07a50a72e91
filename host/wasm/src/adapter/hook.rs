//! The hooks of a plugin.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::json::Json;
use apflow_core::plugin::{Decision, FailurePolicy, Hook, HookEvent, Subscription};
use async_trait::async_trait;

use crate::bindings::convert;
use crate::bindings::v0_1::hooks;
use crate::call::{Circumstances, Failed, Reply, Request, unexpected};
use crate::grants::HookPolicy;
use crate::plugin::Plugin;

/// All hooks of a plugin as one.
#[derive(Debug)]
pub(crate) struct PluginHook {
    plugin: Arc<Plugin>,
    subscriptions: Vec<Subscription>,
    policy: HookPolicy,
}

impl PluginHook {
    /// The hooks of `plugin`, which listens to `subscriptions` and stands where `policy` says.
    pub fn new(plugin: Arc<Plugin>, subscriptions: Vec<Subscription>, policy: HookPolicy) -> Self {
        Self { plugin, subscriptions, policy }
    }
}

#[async_trait]
impl Hook for PluginHook {
    fn name(&self) -> &str {
        &self.plugin.identity.name
    }

    fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    fn failure_policy(&self) -> FailurePolicy {
        self.policy.failure
    }

    fn order(&self) -> i32 {
        self.policy.order
    }

    async fn on_event(&self, event: HookEvent) -> Result<Decision, TaskError> {
        let request = Request::OnEvent(convert::hook_event(&event));
        let sizes = [event.inputs.as_ref(), event.outcome.as_ref(), Some(&event.subject)];
        let circumstances = Circumstances {
            task: event.task_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            tree: Some(event.tree_id),
            attempt: event.attempt,
            bytes_in: sizes.into_iter().flatten().map(|json| json.as_str().len() as u64).sum(),
            timeout: Some(Duration::from_millis(self.policy.timeout_ms.get().into())),
            ..Circumstances::default()
        };
        let decided = match self.plugin.call(request, circumstances).await.result {
            Ok(Reply::Decision(decision)) => self.decision(decision).map_err(Failed::Host),
            Ok(_) => Err(Failed::Host(unexpected())),
            // The time that a call is given is a task's elsewhere.
            Err(Failed::Host(error)) if error.code == "timeout" => Err(Failed::Host(self.too_slow())),
            Err(failed) => Err(failed),
        };
        self.plugin.record.count(decided.as_ref().err().and_then(Failed::by_host));
        decided.map_err(TaskError::from)
    }
}

impl PluginHook {
    fn too_slow(&self) -> TaskError {
        let (name, ms) = (&self.plugin.identity.name, self.policy.timeout_ms);
        let key = format!("plugins.{name}.hooks.timeout_ms");
        let message = format!("Hook '{name}' took too long and was interrupted: {key} is {ms}");
        TaskError::new(FailureKind::Plugin, "hook_timeout", message)
            .with("limit", key)
            .with("value", ms.get())
    }

    fn decision(&self, decision: hooks::Decision) -> Result<Decision, TaskError> {
        let name = &self.plugin.identity.name;
        let bad = |problem: String| {
            TaskError::new(
                FailureKind::Plugin,
                "bad_output",
                format!("Hook '{name}' decided nonsense: {problem}"),
            )
        };
        Ok(match decision {
            hooks::Decision::Proceed => Decision::Proceed,
            hooks::Decision::DelayMs(ms) => Decision::Delay(Duration::from_millis(ms.into())),
            hooks::Decision::Veto(issue) => Decision::Veto(convert::issue(FailureKind::Permanent, issue)),
            hooks::Decision::SupplyResult(text) => Decision::SupplyResult(
                Json::parse(text).map_err(|error| bad(format!("supply-result is not JSON: {error}")))?,
            ),
            hooks::Decision::ReplaceInputs(text) => match serde_json::from_str(&text) {
                Ok(serde_json::Value::Object(inputs)) => {
                    Decision::ReplaceInputs(serde_json::Value::Object(inputs).into())
                }
                Ok(_) => return Err(bad("replace-inputs is not an object".into())),
                Err(error) => return Err(bad(format!("replace-inputs is not JSON: {error}"))),
            },
            hooks::Decision::Other(text) => {
                return Err(bad(format!("this host does not know the decision {}", convert::cut(text, 200))));
            }
        })
    }
}
