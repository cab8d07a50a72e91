//! `tasks.clone`: copies, links, archives, and mixtures of the first two.

use apflow_core::clone::{CloneMode, CloneRequest};
use apflow_core::error::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::params::{Id, IdList};
use super::shape::CloneChanges;
use super::{Reply, document};
use crate::Engine;

/// What to clone, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloneParams {
    /// The task. `id` is accepted too.
    #[serde(alias = "id")]
    task_id: Id,
    /// `copy` (default), `link`, `archive` or `mixed`. `mode` is accepted too.
    #[serde(alias = "mode", default)]
    #[schemars(with = "String")]
    origin_type: CloneMode,
    /// True (default): the task and everything below it. False: this task alone, without dependencies.
    recursive: Option<bool>,
    /// For `mixed`: which of the tasks become links.
    #[serde(default)]
    link_task_ids: IdList,
    /// What is different in the copies, as in `tasks.update`; `name` only in the root, `user_id` for all.
    #[schemars(with = "Option<CloneChanges>")]
    reset_fields: Option<Map<String, Value>>,
    /// True: tasks outside that it depends on are taken, too, with what connects them. Default false: they are an error.
    auto_include_deps: Option<bool>,
    /// True: tasks outside that depend on it are taken, too. Default false.
    include_dependents: Option<bool>,
    /// Owner of the clone; that of the task if left out. Links and archives cannot change hands.
    user_id: Option<String>,
    /// True (default): store it. False: only say what would be stored; the ids are not those of a later call.
    save: Option<bool>,
}

pub(super) async fn clone(engine: &Engine, params: CloneParams) -> Result<Reply> {
    let mut fields = params.reset_fields.unwrap_or_default();
    let user_id = owner(params.user_id, fields.remove("user_id"))?;
    let task = params.task_id.0;
    let request = CloneRequest {
        changes: engine.read_clone_changes(&task, fields).await?,
        mode: params.origin_type,
        recursive: params.recursive.unwrap_or(true),
        link: params.link_task_ids.0,
        auto_include_deps: params.auto_include_deps.unwrap_or(false),
        include_dependents: params.include_dependents.unwrap_or(false),
        user_id,
        task,
    };
    let tasks = engine.clone_tasks(request, params.save.unwrap_or(true)).await?;
    let result = match &tasks[..] {
        [task] => document(task),
        several => document(several),
    };
    result.map(Reply::Value)
}

/// The owner may be named in either place.
fn owner(beside: Option<String>, in_fields: Option<Value>) -> Result<Option<String>> {
    match (beside, in_fields) {
        (beside, None | Some(Value::Null)) => Ok(beside),
        (None, Some(Value::String(owner))) if !owner.is_empty() => Ok(Some(owner)),
        (Some(beside), Some(Value::String(owner))) if owner == beside => Ok(Some(owner)),
        (_, Some(other)) => {
            let text = format!("{other} is not an owner, or not the one that `user_id` names");
            Err(Error::invalid_params("reset_fields.user_id", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owner_is_named_once_or_alike() {
        assert_eq!(owner(None, None), Ok(None));
        assert_eq!(owner(Some("a".into()), None), Ok(Some("a".into())));
        assert_eq!(owner(None, Some(json!("a"))), Ok(Some("a".into())));
        assert_eq!(owner(Some("a".into()), Some(json!("a"))), Ok(Some("a".into())));
        for wrong in [json!("b"), json!(3)] {
            assert_eq!(
                owner(Some("a".into()), Some(wrong)).unwrap_err().data["field"],
                "reset_fields.user_id"
            );
        }
    }
}
