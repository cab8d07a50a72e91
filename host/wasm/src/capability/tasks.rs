//! `tasks`: child trees of the running task. Waiting for one gives up everything that somebody else could need meanwhile: the
//! host's slot for the run, the plugin's for the call; only the instance stays, and no more than half of all instances may wait.

use std::sync::Arc;
use std::time::Instant;

use apflow_core::id::TaskId;
use apflow_core::json::Json;
use apflow_core::plugin::services::{ChildEnd, ChildLimits};
use serde_json::json;
use wasmtime::Result;

use super::checkpoint::NO_TASK;
use crate::bindings::convert::{failure_of, say};
use crate::bindings::v0_1::tasks::Host;
use crate::bindings::v0_1::types::{Failure, Retry};
use crate::state::GuestState;

impl Host for GuestState {
    async fn submit(
        &mut self,
        tree: String,
        idempotency_key: String,
    ) -> Result<std::result::Result<String, Failure>> {
        self.enter()?;
        Ok(self.submit_child(tree, &idempotency_key).await)
    }

    async fn await_result(&mut self, root_id: String) -> Result<std::result::Result<String, Failure>> {
        self.enter()?;
        Ok(self.await_child(&TaskId::from(root_id)).await)
    }
}

impl GuestState {
    async fn submit_child(&mut self, tree: String, key: &str) -> std::result::Result<String, Failure> {
        self.check_tasks()?;
        let run = self.call.run.clone().ok_or_else(no_task)?;
        let tree = Json::parse(tree)
            .map_err(|error| Failure::BadInput(say("bad_tree", format!("The tree is not JSON: {error}"))))?;
        let limits = &self.identity.limits;
        let limits = ChildLimits { count: limits.child_trees, depth: limits.child_depth };
        run.submit_child(tree, key, limits).await.map(|root| root.to_string()).map_err(failure_of)
    }

    async fn await_child(&mut self, root: &TaskId) -> std::result::Result<String, Failure> {
        self.check_tasks()?;
        let run = self.call.run.clone().ok_or_else(no_task)?;
        let Some(_waiting) = Arc::clone(&self.identity.waiting).try_acquire_owned().ok() else {
            let text =
                "Half of all instances (sandbox.max_instances) wait for child tasks already; try again later";
            return Err(Failure::Retryable(Retry {
                issue: say("too_many_waiting", text.into()),
                after_ms: Some(1000),
            }));
        };
        self.call.admission.give_up();
        let (since, usage) = (Instant::now(), self.call.usage.clone());
        let end = {
            let _pause = usage.pause();
            run.await_child(root).await
        };
        // What somebody else takes is not this call's time.
        self.call.deadline += since.elapsed();
        let ChildEnd { status, result, error } = end.map_err(failure_of)?;
        Ok(json!({"status": status.as_str(), "result": result.map(|one| one.value()), "error": error})
            .to_string())
    }

    fn check_tasks(&self) -> std::result::Result<(), Failure> {
        let granted = self.identity.grants.get().tasks();
        granted.map_err(|denied| Failure::Permanent(say(denied.code(), denied.to_string())))
    }
}

fn no_task() -> Failure {
    Failure::Permanent(say("no_task", NO_TASK.into()))
}
