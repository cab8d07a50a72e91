//! What a run may ask of the engine while its executor is at work: progress, checkpoints, child tasks.

use std::sync::Arc;

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::TaskId;
use apflow_core::json::Json;
use apflow_core::plugin::RunContext;
use apflow_core::plugin::services::{ChildEnd, ChildLimits};
use apflow_core::receipt::child_key;
use apflow_core::store::{ClaimedRun, ProgressReport, RunRef};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::engine::{Engine, Shared};

/// One run.
pub(crate) struct Run {
    shared: Arc<Shared>,
    run: RunRef,
    task: TaskId,
    owner: Option<String>,
}

impl Run {
    pub(crate) fn new(shared: &Arc<Shared>, claimed: &ClaimedRun) -> Self {
        Self {
            shared: Arc::clone(shared),
            run: RunRef { key: claimed.key, token: claimed.token },
            task: claimed.id.clone(),
            owner: claimed.user_id.clone(),
        }
    }
}

#[async_trait]
impl RunContext for Run {
    /// On its way to the next turn.
    fn report(&self, fraction: f64, message: Option<String>, partial: Option<Json>) {
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        let mut data = json!({ "fraction": fraction });
        if let Some(message) = message {
            data["message"] = message.into();
        }
        if let Some(partial) = partial {
            data["partial"] = partial.value();
        }
        let RunRef { key, token } = self.run;
        self.shared.inbox.progress(ProgressReport { key, token, fraction, data: Json::from(data) });
        self.shared.wake.notify_one();
    }

    async fn load_checkpoint(&self) -> Result<Option<Json>> {
        self.shared.store.checkpoint(self.run).await
    }

    async fn save_checkpoint(&self, data: Option<Json>) -> Result<()> {
        self.shared.store.save_checkpoint(self.run, data).await
    }

    /// Three steps, each of which finds what the one before it left if the attempt breaks off in between: the tree, whose
    /// child it is, its execution.
    async fn submit_child(&self, tree: Json, idempotency_key: &str, limits: ChildLimits) -> Result<TaskId> {
        let store = &self.shared.store;
        let facts = store.child_facts(self.run).await?;
        let key = child_key(&self.task, facts.execution, idempotency_key)?;
        let tasks = owned(tree.value(), self.owner.as_deref());
        if store.receipt(self.owner.as_deref(), &key).await?.is_none() {
            limits.check(facts.depth, facts.children)?;
        }
        let engine = Engine(Arc::clone(&self.shared));
        let (receipt, _) = engine.create_once(tasks, &key).await?;
        let state = store.tree_state(&receipt.root).await?;
        let state = state.ok_or_else(|| Error::task_not_found(&receipt.root))?;
        store.adopt(self.run, state.key).await?;
        if state.execution == 0 {
            engine.execute(&receipt.root, false).await?;
        }
        Ok(receipt.root)
    }

    async fn await_child(&self, root: &TaskId) -> Result<ChildEnd> {
        let store = &self.shared.store;
        if !store.is_child(self.run.key, root).await? {
            let text = format!("Task '{}' has no child tree '{root}'; await what `submit` gave", self.task);
            return Err(Error::new(ErrorCode::TaskNotFound, text).with("task_id", root.as_str()));
        }
        let state = store.tree_state(root).await?.ok_or_else(|| Error::task_not_found(root))?;
        if state.ended_at.is_none_or(|ended| state.started_at.is_some_and(|started| started > ended)) {
            let _waiting = self.shared.runs.waiting();
            store.free_places(self.run).await?;
            self.shared.work_appeared();
            Engine(Arc::clone(&self.shared)).wait(state.key, state.execution, root).await?;
        }
        let task = store.get(std::slice::from_ref(root)).await?.pop().flatten();
        let task = task.ok_or_else(|| Error::task_not_found(root))?;
        Ok(ChildEnd { status: task.status, result: task.result, error: task.error })
    }
}

/// Children belong to whom their parent belongs, whatever the plugin says.
fn owned(mut tasks: Value, owner: Option<&str>) -> Value {
    let list = match &mut tasks {
        Value::Array(list) => list.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    for task in list.iter_mut().filter_map(Value::as_object_mut) {
        task.remove("user_id");
        if let Some(owner) = owner {
            task.insert("user_id".into(), owner.into());
        }
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_belong_to_the_owner_of_their_parent() {
        let tasks = json!([{"name": "a", "user_id": "mallory"}, {"name": "b"}, 3]);
        let expected = json!([{"name": "a", "user_id": "alice"}, {"name": "b", "user_id": "alice"}, 3]);
        assert_eq!(owned(tasks.clone(), Some("alice")), expected);
        assert_eq!(owned(tasks, None), json!([{"name": "a"}, {"name": "b"}, 3]));
        assert_eq!(owned(json!({"name": "a"}), Some("x")), json!({"name": "a", "user_id": "x"}));
    }
}
