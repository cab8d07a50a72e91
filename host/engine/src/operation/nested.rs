//! The nested form of a tree, `{"task": …, "children": […]}`, written as text in one pass: no recursion here, whatever
//! the depth. Readers of the text do recurse, so the depth is capped.

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::TaskId;
use apflow_core::json::Json;
use apflow_core::task::Task;

/// Levels of a tree that are shown nested; common JSON readers give up at about a thousand, and a level takes two.
pub const MAX_NESTED_LEVELS: usize = 500;

/// Writes tasks in pre-order as a nested document; the first one is the root.
///
/// # Errors
/// `LimitExceeded` if the tree is deeper than [`MAX_NESTED_LEVELS`]; `Internal` if the order is not pre-order.
pub(super) fn nested(tasks: &[Task]) -> Result<Json> {
    let mut text = String::with_capacity(tasks.len() * 1024);
    let mut open: Vec<&TaskId> = Vec::new();
    let mut first_child = true;
    for (i, task) in tasks.iter().enumerate() {
        while i > 0 && open.last().copied() != task.parent_id.as_ref() {
            if open.pop().is_none() {
                return Err(Error::new(
                    ErrorCode::Internal,
                    format!("Task '{}' came before its parent in a tree listing", task.id),
                ));
            }
            text.push_str("]}");
            first_child = false;
        }
        if open.len() == MAX_NESTED_LEVELS {
            return Err(Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "The tree is deeper than {MAX_NESTED_LEVELS} levels, too deep to be shown nested. Ask with \
                     \"format\": \"flat\" for an array in pre-order"
                ),
            )
            .with("field", "format")
            .with("limit", MAX_NESTED_LEVELS)
            .with("task_id", tasks[0].id.as_str()));
        }
        if !first_child {
            text.push(',');
        }
        text.push_str("{\"task\":");
        text.push_str(super::document(task)?.as_str());
        text.push_str(",\"children\":[");
        first_child = true;
        open.push(&task.id);
    }
    for _ in open {
        text.push_str("]}");
    }
    Ok(Json::trusted(text))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::shape::tests::task;
    use super::*;

    fn tree(parents: &[(&str, Option<&str>)]) -> Vec<Task> {
        parents.iter().map(|(id, parent)| Task { parent_id: parent.map(TaskId::from), ..task(id) }).collect()
    }

    fn outline(value: &Value) -> String {
        let children: Vec<String> = value["children"].as_array().unwrap().iter().map(outline).collect();
        format!("{}({})", value["task"]["id"].as_str().unwrap(), children.join(" "))
    }

    #[test]
    fn children_stand_below_their_parents() {
        let tasks =
            tree(&[("r", None), ("a", Some("r")), ("b", Some("a")), ("c", Some("a")), ("d", Some("r"))]);
        assert_eq!(outline(&nested(&tasks).unwrap().value()), "r(a(b() c()) d())");
        // From any node: its own parent is not part of the listing.
        assert_eq!(outline(&nested(&tasks[1..4]).unwrap().value()), "a(b() c())");
        assert_eq!(outline(&nested(&tasks[4..]).unwrap().value()), "d()");
    }

    #[test]
    fn too_deep_is_refused_with_the_way_out_and_nothing_overflows() {
        let ids: Vec<String> = (0..100_000).map(|i| format!("t{i}")).collect();
        let chain = |len: usize| {
            (0..len)
                .map(|i| Task {
                    parent_id: (i > 0).then(|| TaskId::from(ids[i - 1].as_str())),
                    ..task(&ids[i])
                })
                .collect::<Vec<_>>()
        };
        let text = nested(&chain(MAX_NESTED_LEVELS)).unwrap();
        assert_eq!(text.as_str().matches("\"children\":[").count(), MAX_NESTED_LEVELS);
        let error = nested(&chain(MAX_NESTED_LEVELS + 1)).unwrap_err();
        assert_eq!(error.code, ErrorCode::LimitExceeded);
        assert!(error.message.contains("\"format\": \"flat\""), "{error}");
        assert!(nested(&chain(100_000)).is_err());
    }
}
