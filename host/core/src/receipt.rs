//! Idempotent creation: a request that carries a key creates its tree once. The receipt is written with the tree, and
//! whoever sends the same key and the same content again gets the same tree; the same key with other content is an error.
//! Keys belong to the owner of the tree, and go with it when it is deleted.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::draft::kind_of;
use crate::error::{Error, ErrorCode, Result};
use crate::id::{MAX_ID_BYTES, TaskId, TreeId, TreeKey};
use crate::store::Inserted;

/// The key of a request, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReceipt {
    /// Chosen by the caller, 1 to [`MAX_ID_BYTES`] bytes.
    pub key: String,
    /// Of the operation and its content; see [`NewReceipt::new`].
    pub digest: String,
}

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The key.
    pub key: String,
    /// The digest.
    pub digest: String,
    /// The tree that was created.
    pub tree: TreeKey,
    /// Its public id.
    pub tree_id: TreeId,
    /// Its root.
    pub root: TaskId,
    /// When.
    pub created_at: Timestamp,
}

/// What [`Store::insert_once`](crate::store::Store::insert_once) did, or had done before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertedOnce {
    /// Which tree it is.
    pub receipt: Receipt,
    /// None if the tree was there already; then nothing was written.
    pub inserted: Option<Inserted>,
}

/// The key under which a task's child tree is created: the same for the same words of the executor in one execution of the
/// task.
///
/// # Errors
/// `InvalidParams` if the executor's key is empty or too long.
pub fn child_key(parent: &TaskId, execution: u32, key: &str) -> Result<String> {
    check_key(key)?;
    Ok(format!("child:{}", hex(Sha256::new_with_prefix(format!("{parent}\0{execution}\0{key}")))))
}

impl NewReceipt {
    /// The receipt of `operation` (its name) with these tasks as the caller wrote them. One task and a list of one are the
    /// same; the order of the keys of objects and of white space says nothing.
    ///
    /// # Errors
    /// `InvalidParams` if the key is empty or too long.
    pub fn new(key: &str, operation: &str, tasks: &Value) -> Result<Self> {
        check_key(key)?;
        let list = match tasks {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut hash = Sha256::new();
        hash.update(operation);
        for task in list {
            hash.update("\n");
            hash.update(canonical(task));
        }
        Ok(Self { key: key.into(), digest: hex(hash) })
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_ID_BYTES {
        let text = format!("it has {} bytes, 1 to {MAX_ID_BYTES} are allowed", key.len());
        return Err(Error::invalid_params("idempotency_key", text));
    }
    Ok(())
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Receipt {
    /// Whether `request` is the one that this receipt was given for.
    ///
    /// # Errors
    /// `IdempotencyConflict`.
    pub fn check(&self, request: &NewReceipt) -> Result<()> {
        if self.digest == request.digest {
            return Ok(());
        }
        let Self { key, tree_id, created_at, .. } = self;
        let text = format!(
            "Idempotency key '{key}' was used at {created_at} for tree '{tree_id}' with other content. Send the same content, or \
             another key"
        );
        Err(Error::new(ErrorCode::IdempotencyConflict, text)
            .with("idempotency_key", key.as_str())
            .with("tree_id", tree_id.as_str()))
    }
}

/// The key of a request: given beside the tasks, or written at the root task, from which it is taken.
///
/// # Errors
/// `InvalidParams` if both are there and differ, or if the root's is no text.
pub fn take_key(tasks: &mut Value, beside: Option<String>) -> Result<Option<String>> {
    let list = match tasks {
        Value::Array(list) => list.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    let is_root = |task: &&mut Value| task.is_object() && task.get("parent_id").is_none_or(Value::is_null);
    let written = list
        .iter_mut()
        .find(is_root)
        .and_then(Value::as_object_mut)
        .and_then(|root| root.remove("idempotency_key"));
    match (written, beside) {
        (None | Some(Value::Null), beside) => Ok(beside),
        (Some(Value::String(key)), None) => Ok(Some(key)),
        (Some(Value::String(key)), Some(beside)) if key == beside => Ok(Some(key)),
        (Some(other), beside) => {
            let text = match beside {
                Some(beside) if other.is_string() => {
                    format!("it is '{beside}' beside the tasks and {other} at the root")
                }
                _ => format!("a string is expected, not {}", kind_of(&other)),
            };
            Err(Error::invalid_params("idempotency_key", text))
        }
    }
}

/// The text of a value with the keys of objects in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            let members: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key])))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receipt(tasks: &Value) -> NewReceipt {
        NewReceipt::new("k", "tasks.create", tasks).unwrap()
    }

    #[test]
    fn the_digest_is_of_the_content_and_not_of_its_form() {
        let one = receipt(&json!({"name": "a", "inputs": {"x": 1, "y": [1, 2]}}));
        let text = r#" [ {"inputs": {"y": [1,2], "x": 1}, "name": "a"} ] "#;
        assert_eq!(one, receipt(&serde_json::from_str(text).unwrap()));
        assert_ne!(one, receipt(&json!({"name": "a", "inputs": {"x": 1, "y": [2, 1]}})));
        assert_ne!(
            one.digest,
            NewReceipt::new("k", "tasks.execute", &json!([{"name": "a"}])).unwrap().digest
        );
        assert_eq!(one.digest.len(), 64);
    }

    #[test]
    fn other_content_is_a_conflict_that_names_the_tree() {
        let request = receipt(&json!({"name": "a"}));
        let known = Receipt {
            key: request.key.clone(),
            digest: request.digest.clone(),
            tree: TreeKey(1),
            tree_id: "t".into(),
            root: "t".into(),
            created_at: Timestamp::from_micros(0),
        };
        assert_eq!(known.check(&request), Ok(()));
        let error = known.check(&receipt(&json!({"name": "b"}))).unwrap_err();
        assert_eq!((error.code, &error.data["tree_id"]), (ErrorCode::IdempotencyConflict, &"t".into()));
    }

    #[test]
    fn a_key_stands_beside_the_tasks_or_at_the_root() {
        let mut tasks = json!([{"name": "a", "parent_id": "r"}, {"name": "r", "idempotency_key": "k"}]);
        assert_eq!(take_key(&mut tasks, None), Ok(Some("k".into())));
        assert_eq!(tasks[1], json!({"name": "r"}));
        assert_eq!(take_key(&mut tasks, Some("b".into())), Ok(Some("b".into())));
        let with = |key: Value| json!({"name": "r", "idempotency_key": key});
        assert_eq!(take_key(&mut with(json!(null)), None), Ok(None));
        assert_eq!(take_key(&mut with(json!("k")), Some("k".into())), Ok(Some("k".into())));
        assert!(
            take_key(&mut with(json!("k")), Some("b".into())).unwrap_err().message.contains("'b' beside")
        );
        assert!(take_key(&mut with(json!(3)), None).unwrap_err().message.contains("not a number"));
    }

    #[test]
    fn a_key_has_a_size() {
        for key in [String::new(), "k".repeat(MAX_ID_BYTES + 1)] {
            let error = NewReceipt::new(&key, "tasks.create", &json!([])).unwrap_err();
            assert_eq!(error.data["field"], "idempotency_key");
        }
    }
}
