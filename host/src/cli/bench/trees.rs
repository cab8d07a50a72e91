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
