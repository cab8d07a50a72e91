//! Small trees as callers write them: JSON arrays of task objects. Ids are equal to names, so that a test can say
//! `"leaf-3"`; [`prefixed`] makes room for several such trees in one store. [`outline`] draws any shape in one line.
//! All tasks name [`EXECUTOR`].

use serde_json::{Value, json};

/// The executor of all tasks here, and the id of [`crate::scripted::ScriptedExecutor::new`].
pub const EXECUTOR: &str = "scripted";

/// One task object.
fn task(name: &str, parent: Option<&str>, dependencies: &[String]) -> Value {
    json!({
        "id": name,
        "name": name,
        "parent_id": parent,
        "executor": EXECUTOR,
        "dependencies": dependencies,
    })
}

/// `step-1` to `step-n`, each after the one before; the root is the last. `n` is at least 1.
pub fn chain(n: usize) -> Value {
    let name = |i: usize| format!("step-{i}");
    let root = name(n);
    let step = |i: usize| {
        let before: Vec<String> = (i > 1).then(|| name(i - 1)).into_iter().collect();
        task(&name(i), (i < n).then_some(root.as_str()), &before)
    };
    (1..=n).rev().map(step).collect()
}

/// `fork`, then `leaf-1` to `leaf-n` side by side, then the root `join`: `n + 2` tasks.
pub fn fan(n: usize) -> Value {
    let leaf = |i: usize| format!("leaf-{i}");
    let leaves: Vec<String> = (1..=n).map(leaf).collect();
    let mut tasks = vec![task("join", None, &leaves), task("fork", Some("join"), &[])];
    tasks.extend(leaves.iter().map(|name| task(name, Some("join"), &["fork".to_owned()])));
    Value::Array(tasks)
}

/// The root `root` and `leaf-1` to `leaf-n` below it, nobody waiting for anybody: `n + 1` tasks.
pub fn flat(n: usize) -> Value {
    let leaves = (1..=n).map(|i| task(&format!("leaf-{i}"), Some("root"), &[]));
    std::iter::once(task("root", None, &[])).chain(leaves).collect()
}

/// `top`, then `left` and `right`, then the root `bottom`.
pub fn diamond() -> Value {
    let after = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!([
        task("bottom", None, &after(&["left", "right"])),
        task("top", Some("bottom"), &[]),
        task("left", Some("bottom"), &after(&["top"])),
        task("right", Some("bottom"), &after(&["top"])),
    ])
}

/// A tree in one line, for example `"r <- a b?; a:0; b^a <- c; c"`: tasks divided by `;`, the first one is the root. A
/// task is `name`, then `^parent` (else the root), `:priority` (else the default), and after `<-` what it depends on, with
/// `?` where that is not required.
///
/// # Panics
/// If a priority is not a number.
pub fn outline(text: &str) -> Value {
    let mut root = None;
    let mut read = |entry: &str| {
        let (head, after) = entry.split_once("<-").unwrap_or((entry, ""));
        let (head, priority) = match head.trim().split_once(':') {
            Some((head, priority)) => (head, Some(priority.parse::<u8>().expect("a priority is a number"))),
            None => (head.trim(), None),
        };
        let (name, parent) = head
            .split_once('^')
            .map_or((head, root.clone()), |(name, parent)| (name, Some(parent.to_owned())));
        root.get_or_insert_with(|| name.to_owned());
        let mut task = task(name, parent.as_deref(), &[]);
        let dependency =
            |word: &str| json!({"id": word.trim_end_matches('?'), "required": !word.ends_with('?')});
        task["dependencies"] = after.split_whitespace().map(dependency).collect();
        task["priority"] = json!(priority);
        task
    };
    text.split(';').map(|entry| read(entry.trim())).collect()
}

/// The same tree with `prefix` before every id, name and reference of the builders here.
#[must_use]
pub fn prefixed(mut tasks: Value, prefix: &str) -> Value {
    let rename = |value: &mut Value| {
        if let Value::String(text) = value {
            text.insert_str(0, prefix);
        }
    };
    for task in tasks.as_array_mut().into_iter().flatten() {
        for field in ["id", "name", "parent_id"] {
            rename(&mut task[field]);
        }
        task["dependencies"].as_array_mut().into_iter().flatten().for_each(rename);
    }
    tasks
}

#[cfg(test)]
mod tests {
    use apflow_core::clock::Timestamp;
    use apflow_core::draft::{TreeLimits, read_all};
    use apflow_core::tree::{NewTree, assemble};

    use super::*;

    fn assembled(tasks: Value) -> NewTree {
        assemble(read_all(tasks, TreeLimits::default()).unwrap(), Timestamp::default()).unwrap()
    }

    #[test]
    fn every_tree_is_valid_and_as_large_as_it_says() {
        assert_eq!(assembled(chain(1)).tasks.len(), 1);
        assert_eq!(assembled(chain(4)).root().as_str(), "step-4");
        assert_eq!(assembled(flat(3)).tasks.len(), 4);
        assert_eq!(assembled(fan(3)).tasks[0].dependencies.len(), 3);
        let tree = assembled(prefixed(diamond(), "x/"));
        assert_eq!((tree.id.as_str(), tree.tasks[2].dependencies.len()), ("x/bottom", 1));
    }

    #[test]
    fn an_outline_says_parents_priorities_and_dependencies() {
        let tree = assembled(outline("r <- a b?; a:0; b^a <- c; c"));
        let names: Vec<_> = tree.tasks.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["r", "a", "b", "c"]);
        assert_eq!(
            tree.tasks.iter().map(|task| task.parent).collect::<Vec<_>>(),
            [None, Some(0), Some(1), Some(0)]
        );
        assert_eq!(tree.tasks.iter().map(|task| task.priority).collect::<Vec<_>>(), [2, 0, 2, 2]);
        let gates: Vec<_> = tree.tasks[0].dependencies.iter().map(|d| (d.target, d.required)).collect();
        assert_eq!(gates, [(1, true), (2, false)]);
    }
}
