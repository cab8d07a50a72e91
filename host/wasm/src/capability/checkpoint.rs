//! `checkpoint`: where a later attempt at the same task goes on. Needs no grant: it is about the task that the call is for, and
//! small.

use apflow_core::json::Json;
use wasmtime::Result;

use crate::bindings::convert::{issue_of, say};
use crate::bindings::v0_1::checkpoint::Host;
use crate::bindings::v0_1::types::Issue;
use crate::state::GuestState;

impl Host for GuestState {
    async fn load(&mut self) -> Result<std::result::Result<Option<String>, Issue>> {
        self.enter()?;
        Ok(self.load_checkpoint().await)
    }

    async fn save(&mut self, data: String) -> Result<std::result::Result<(), Issue>> {
        self.enter()?;
        Ok(self.save_checkpoint(data).await)
    }
}

impl GuestState {
    async fn load_checkpoint(&mut self) -> std::result::Result<Option<String>, Issue> {
        let run = self.call.run.clone().ok_or_else(|| say("no_task", NO_TASK.into()))?;
        let data = run.load_checkpoint().await.map_err(issue_of)?;
        Ok(data.map(|data| data.as_str().to_owned()))
    }

    async fn save_checkpoint(&mut self, data: String) -> std::result::Result<(), Issue> {
        let run = self.call.run.clone().ok_or_else(|| say("no_task", NO_TASK.into()))?;
        let (most, plugin) = (self.identity.limits.checkpoint_bytes, &self.identity.name);
        if data.len() as u64 > most {
            let bytes = data.len();
            let text = format!(
                "The checkpoint has {bytes} bytes: the limit plugins.{plugin}.limits.checkpoint_bytes is {most}"
            );
            return Err(say("checkpoint_limit", text));
        }
        let data = Json::parse(data)
            .map_err(|error| say("bad_value", format!("The checkpoint is not JSON: {error}")))?;
        run.save_checkpoint(Some(data)).await.map_err(issue_of)
    }
}

/// Hooks, collectors and descriptions have no task.
pub(super) const NO_TASK: &str =
    "Only an executor that runs a task can do this; this call is about no task of its own";
