//! The trees that are measured.

use serde_json::{Value, json};

use super::EXECUTOR;

fn task(name: &str, parent: Option<&str>, dependencies: &[String]) -> Value {
    json!({ "name": name, "parent_id": parent, "executor": EXECUTOR, "dependencies": dependencies })
}

/// `tasks` tasks, nobody waiting for anybody.
pub fn flat(tasks: u32) -> Value {
    let children = (1..tasks).map(|i| task(&format!("t{i}"), Some("root"), &[]));
    std::iter::once(task("root", None, &[])).chain(children).collect()
}

/// `tasks` tasks, each after the one before; the root is the last.
pub fn chain(tasks: u32) -> Value {
    let name = |i: u32| if i == 0 { "root".to_owned() } else { format!("t{i}") };
    let step = |i: u32| {
        let before: Vec<String> = (i + 1 < tasks).then(|| name(i + 1)).into_iter().collect();
        task(&name(i), (i > 0).then_some("root"), &before)
    };
    (0..tasks).map(step).collect()
}

/// One task, then `tasks` side by side, then the root.
pub fn fan(tasks: u32) -> Value {
    let names: Vec<String> = (0..tasks).map(|i| format!("t{i}")).collect();
    let middle = names.iter().map(|name| task(name, Some("root"), &["first".to_owned()]));
    [task("root", None, &names), task("first", Some("root"), &[])].into_iter().chain(middle).collect()
}

/// A root, and diamonds of ten tasks each, as many as `tasks` allows: one, eight that wait for it, one that waits for these.
pub fn diamonds(tasks: u32) -> Value {
    let diamond = |i: u32| {
        let first = format!("d{i}-first");
        let middle: Vec<String> = (0..8).map(|j| format!("d{i}-{j}")).collect();
        let last = task(&format!("d{i}-last"), Some("root"), &middle);
        let between: Vec<Value> =
            middle.iter().map(|name| task(name, Some("root"), std::slice::from_ref(&first))).collect();
        std::iter::once(task(&first, Some("root"), &[])).chain(between).chain([last])
    };
    std::iter::once(task("root", None, &[])).chain((0..tasks / 10).flat_map(diamond)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diamond_has_ten_tasks_and_sixteen_edges() {
        let tree = diamonds(25);
        let tasks = tree.as_array().unwrap();
        let edges: usize = tasks.iter().map(|task| task["dependencies"].as_array().unwrap().len()).sum();
        assert_eq!((tasks.len(), edges), (21, 32));
    }
}
