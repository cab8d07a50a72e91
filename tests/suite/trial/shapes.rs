//! Trees of many shapes, drawn from a seed.

use fastrand::Rng;
use serde_json::{Value, json};

/// A tree to submit. Its first task is the root.
#[derive(Debug, Clone)]
pub struct Shape {
    /// As `tasks.create` takes them.
    pub tasks: Value,
    /// How many there are.
    pub size: usize,
    /// Whether its first execution fails and the next one does not.
    pub fails_first: bool,
}

/// A tree whose root has this name, without ids.
pub fn draw(random: &mut Rng, name: &str) -> Shape {
    let (tasks, fails_first) = match random.u8(0..9) {
        0 => (flat(random, name), false),
        1 => (chain(random, name), false),
        2 => (diamond(random, name), false),
        3 => (optional(random, name), true),
        4 => (retried(random, name), false),
        5 => (failing(name), true),
        6 => (web(random, name), false),
        7 => (scheduled(random, name), false),
        _ => (vec![leaf(random, name, None)], false),
    };
    Shape { size: tasks.len(), tasks: tasks.into(), fails_first }
}

/// A task that does little: nothing, an echo, or a short wait.
fn leaf(random: &mut Rng, name: &str, parent: Option<&str>) -> Value {
    let (executor, inputs) = match random.u8(0..4) {
        0 => ("slow", json!({"ms": random.u16(1..20).pow(2)})),
        1 => ("echo", json!({"x": name})),
        2 => ("returns_null", json!({})),
        _ => ("noop_executor", json!({})),
    };
    let mut task = json!({"name": name, "executor": executor, "inputs": inputs, "priority": random.u8(0..4)});
    if let Some(parent) = parent {
        task["parent_id"] = parent.into();
    }
    task
}

fn with(mut task: Value, key: &str, value: Value) -> Value {
    task[key] = value;
    task
}

fn flat(random: &mut Rng, root: &str) -> Vec<Value> {
    let size = random.usize(2..20);
    let children = (1..size).map(|i| leaf(random, &format!("f{i}"), Some(root))).collect::<Vec<_>>();
    [vec![leaf(random, root, None)], children].concat()
}

fn chain(random: &mut Rng, root: &str) -> Vec<Value> {
    let size = random.usize(2..8);
    let mut tasks = vec![with(leaf(random, root, None), "dependencies", json!(["c1"]))];
    for i in 1..size {
        let task = leaf(random, &format!("c{i}"), Some(root));
        let needs = if i + 1 < size { json!([format!("c{}", i + 1)]) } else { json!([]) };
        tasks.push(with(task, "dependencies", needs));
    }
    tasks
}

fn diamond(random: &mut Rng, root: &str) -> Vec<Value> {
    let middle: Vec<String> = (0..random.usize(2..6)).map(|i| format!("m{i}")).collect();
    let mut tasks = vec![with(leaf(random, root, None), "dependencies", json!(middle))];
    tasks.extend(
        middle.iter().map(|name| with(leaf(random, name, Some(root)), "dependencies", json!(["first"]))),
    );
    tasks.push(leaf(random, "first", Some(root)));
    tasks
}

/// A task that fails at first, which the root only waits for and `after` requires.
fn optional(random: &mut Rng, root: &str) -> Vec<Value> {
    let waits = json!([{"id": "shaky", "required": false}, {"id": "solid"}]);
    let shaky =
        json!({"name": "shaky", "parent_id": root, "executor": "fail_retryable", "inputs": {"failures": 1}});
    let after = with(leaf(random, "after", Some(root)), "dependencies", json!(["shaky"]));
    vec![
        with(leaf(random, root, None), "dependencies", waits),
        shaky,
        leaf(random, "solid", Some(root)),
        after,
    ]
}

fn retried(random: &mut Rng, root: &str) -> Vec<Value> {
    let retry = json!({"max_attempts": 5, "backoff": "fixed", "base_ms": random.u16(1..60)});
    let task = json!({"name": "again", "parent_id": root, "executor": "fail_retryable",
                      "inputs": {"failures": random.u8(1..3)}, "retry": retry});
    vec![with(leaf(random, root, None), "dependencies", json!(["again"])), task]
}

fn failing(root: &str) -> Vec<Value> {
    let part =
        json!({"name": "part", "parent_id": root, "executor": "fail_retryable", "inputs": {"failures": 1}});
    vec![json!({"name": root, "executor": "noop_executor", "dependencies": ["part"]}), part]
}

/// Any number of edges between any tasks, from later ones to earlier ones.
fn web(random: &mut Rng, root: &str) -> Vec<Value> {
    let size = random.usize(3..14);
    let name = |i: usize| if i == 0 { root.to_owned() } else { format!("w{i}") };
    (0..size)
        .map(|i| {
            let needs: Vec<Value> = (i + 1..size)
                .filter_map(|j| {
                    let is_needed = random.u8(0..10) < 3;
                    is_needed.then(|| json!({"id": name(j), "required": random.bool()}))
                })
                .collect();
            let task = leaf(random, &name(i), (i > 0).then_some(root));
            with(task, "dependencies", needs.into())
        })
        .collect()
}

/// Runs by itself a few times, once a second.
fn scheduled(random: &mut Rng, root: &str) -> Vec<Value> {
    let mut task = leaf(random, root, None);
    for (key, value) in [
        ("schedule_type", json!("interval")),
        ("schedule_expression", json!("1")),
        ("schedule_enabled", json!(true)),
        ("schedule_missed", json!(if random.bool() { "all" } else { "once" })),
        ("schedule_overlap", json!(if random.bool() { "queue" } else { "skip" })),
        ("max_runs", json!(random.u8(1..4))),
        ("dependencies", json!(["step"])),
    ] {
        task[key] = value;
    }
    vec![task, leaf(random, "step", Some(root))]
}
