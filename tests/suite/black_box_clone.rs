//! The black-box cases about clones, idempotent creation, and the rules of update and delete.

use serde_json::{Value, json};

use crate::harness::{Server, Setup, info, server, server_on_postgres, with};

/// A task that collects what it depends on.
fn collect(name: &str, dependencies: &[&str]) -> Value {
    json!({"name": name, "id": name, "executor": "aggregate_results_executor", "dependencies": dependencies})
}

fn below(parent: &str, task: Value) -> Value {
    with(task, json!({ "parent_id": parent }))
}

fn measure(id: &str) -> Value {
    with(info(id), json!({ "id": id }))
}

/// Three levels: `r` above `a` and `b`, `a1` below `a`.
fn three_levels() -> Value {
    json!([
        collect("r", &["a", "b"]),
        below("r", collect("a", &["a1"])),
        below("a", measure("a1")),
        below("r", measure("b")),
    ])
}

async fn clone(server: &Server, params: Value) -> Vec<Value> {
    match server.tasks("tasks.clone", params).await {
        Value::Array(tasks) => tasks,
        task => vec![task],
    }
}

async fn flat(server: &Server, id: &str) -> Vec<Value> {
    let tree = server.tasks("tasks.tree", json!({"task_id": id, "format": "flat"})).await;
    tree.as_array().unwrap().clone()
}

fn id(task: &Value) -> &str {
    task["id"].as_str().unwrap()
}

#[tokio::test]
async fn case_37_a_copy_of_a_finished_tree_is_clean_at_every_level() {
    let server = server().await;
    server.run(three_levels()).await;
    let copies = clone(&server, json!({"task_id": "r"})).await;
    assert_eq!(copies.len(), 4);
    let names: Vec<&str> = copies.iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["r", "a", "a1", "b"]);
    for copy in &copies {
        assert_eq!(server.task(id(copy)).await, *copy);
        assert_eq!((&copy["status"], &copy["origin_type"]), (&json!("pending"), &json!("copy")));
        assert_eq!(
            (&copy["result"], &copy["error"], &copy["attempt_id"]),
            (&Value::Null, &Value::Null, &json!(0))
        );
        assert_eq!((&copy["task_tree_id"], &copy["original_task_id"]), (&copies[0]["id"], &copy["name"]));
        assert_eq!(server.task(copy["name"].as_str().unwrap()).await["has_references"], true);
        assert_eq!(server.tasks("tasks.attempts", json!({"task_id": id(copy)})).await, json!([]));
    }
    let targets: Vec<&Value> =
        copies[0]["dependencies"].as_array().unwrap().iter().map(|d| &d["id"]).collect();
    assert_eq!(targets, [&copies[1]["id"], &copies[3]["id"]]);
    assert_eq!(copies[1]["inputs"], json!({}), "the merged inputs of the attempt are not copied");
    let ended = server.tasks("tasks.execute", json!({"task_id": id(&copies[0])})).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let root = server.task(id(&copies[0])).await;
    assert_eq!(root["result"]["result_count"], 2, "{root}");
    assert!(root["result"]["results"].get(id(&copies[1])).is_some(), "{root}");
}

#[tokio::test]
async fn a_copy_can_be_previewed_changed_and_cut() {
    let server = server().await;
    server.tasks("tasks.create", three_levels()).await;
    let before = server.total().await;
    let preview = clone(&server, json!({"task_id": "r", "save": false})).await;
    assert_eq!((preview.len(), server.total().await), (4, before));
    assert_eq!(server.task(id(&preview[0])).await, Value::Null);
    let changes = json!({"name": "new", "priority": 0, "user_id": "bob"});
    let copies = clone(&server, json!({"id": "a", "reset_fields": changes})).await;
    let seen: Vec<_> =
        copies.iter().map(|task| (&task["name"], &task["priority"], &task["user_id"])).collect();
    assert_eq!(seen, [(&json!("new"), &json!(0), &json!("bob")), (&json!("a1"), &json!(0), &json!("bob"))]);
    assert_eq!(copies[0]["parent_id"], Value::Null);
    // The old name of the operation, and one task alone.
    let alone = server.tasks("tasks.copy", json!({"task_id": "r", "recursive": false})).await;
    assert_eq!((&alone["dependencies"], &alone["has_children"]), (&json!([]), &json!(false)));
    let (code, text) =
        server.refused("tasks.clone", json!({"task_id": "r", "reset_fields": {"colour": 1}})).await;
    assert!(code == -32005 && text.contains("colour"), "{code} {text}");
    assert_eq!(server.refused("tasks.clone", json!({"task_id": "ghost"})).await.0, -32001);
}

#[tokio::test]
async fn a_part_that_depends_on_others_is_refused_or_brings_them() {
    let server = server().await;
    let tree = json!([
        measure("r"),
        below("r", measure("first")),
        below("r", with(measure("second"), json!({"dependencies": ["first"]}))),
        below("r", measure("third")),
    ]);
    server.tasks("tasks.create", tree).await;
    for mode in ["copy", "mixed"] {
        let mut params = json!({"task_id": "second", "origin_type": mode});
        if mode == "mixed" {
            params["link_task_ids"] = json!(["second"]);
        }
        let (code, text) = server.refused("tasks.clone", params).await;
        match mode {
            "copy" => assert!(
                code == -32110 && text.contains("Cannot copy/archive a subtree with external dependencies."),
                "{code} {text}"
            ),
            _ => assert!(code == -32110 && text.contains("second: pending"), "{code} {text}"),
        }
    }
    let copies = clone(&server, json!({"task_id": "second", "auto_include_deps": true})).await;
    let names: Vec<&Value> = copies.iter().map(|task| &task["name"]).collect();
    assert_eq!(names, ["r", "first", "second"]);
    assert_eq!(copies[2]["dependencies"][0]["id"], copies[1]["id"]);
    let copies = clone(&server, json!({"task_id": "first", "include_dependents": true})).await;
    assert_eq!(copies.len(), 3);
}

#[tokio::test]
async fn case_38_links() {
    let server = server().await;
    server.tasks("tasks.create", json!([measure("pending")])).await;
    let (code, text) =
        server.refused("tasks.clone", json!({"task_id": "pending", "origin_type": "link"})).await;
    assert!(code == -32110 && text.contains("pending: pending"), "{code} {text}");
    server.run(three_levels()).await;
    let links = clone(&server, json!({"task_id": "r", "origin_type": "link"})).await;
    assert_eq!(links.len(), 4);
    for link in &links {
        assert_eq!((&link["origin_type"], &link["status"]), (&json!("link"), &json!("completed")));
        for field in ["inputs", "params", "schemas", "result"] {
            assert_eq!(server.task(id(link)).await[field], Value::Null, "{field}");
        }
    }
    for (read, link) in flat(&server, id(&links[0])).await.iter().zip(&links) {
        let original = server.task(link["name"].as_str().unwrap()).await;
        for field in ["result", "inputs", "params", "executor", "status", "started_at"] {
            assert_eq!(read[field], original[field], "{field}");
        }
        for field in ["id", "parent_id", "task_tree_id", "origin_type", "created_at", "dependencies"] {
            assert_eq!(read[field], link[field], "{field}");
        }
    }
    let ended = server.tasks("tasks.execute", json!({"task_id": id(&links[0]), "rerun": true})).await;
    assert_eq!((&ended["status"], &ended["execution"]), (&json!("completed"), &Value::Null), "{ended}");
    let (code, text) = server.refused("tasks.update", json!({"task_id": id(&links[0]), "priority": 0})).await;
    assert!(code == -32109 && text.contains("is a link"), "{code} {text}");
    let (code, _) = server
        .refused("tasks.clone", json!({"task_id": "r", "origin_type": "link", "user_id": "somebody else"}))
        .await;
    assert_eq!(code, -32110);
    // A link of a link is a link of the original.
    let again = clone(&server, json!({"task_id": id(&links[3]), "origin_type": "link"})).await;
    assert_eq!(again[0]["original_task_id"], "b");
}

#[tokio::test]
async fn case_39_archives_are_immutable() {
    let server = server().await;
    server.run(three_levels()).await;
    let (code, text) = server
        .refused(
            "tasks.clone",
            json!({"task_id": "r", "origin_type": "archive", "reset_fields": {"priority": 0}}),
        )
        .await;
    assert!(code == -32602 && text.contains("reset_fields"), "{code} {text}");
    let archived = clone(&server, json!({"task_id": "r", "origin_type": "archive"})).await;
    let seen: Vec<_> = archived.iter().map(|task| (id(task), &task["origin_type"])).collect();
    let archive = json!("archive");
    assert_eq!(seen, ["r", "a", "a1", "b"].map(|id| (id, &archive)));
    let before = flat(&server, "r").await;
    for (method, params) in [
        ("tasks.update", json!({"task_id": "a", "priority": 0})),
        ("tasks.update", json!({"task_id": "a", "status": "pending"})),
        ("tasks.delete", json!({"task_id": "r"})),
        ("tasks.execute", json!({"task_id": "r", "rerun": true})),
        ("tasks.execute", json!({"task_id": "a1"})),
    ] {
        let (code, text) = server.refused(method, params).await;
        assert!(code == -32109 && text.contains("is archived"), "{method}: {code} {text}");
    }
    let cancelled = server.tasks("tasks.cancel", json!({"task_ids": ["a"]})).await;
    assert_eq!(
        (&cancelled[0]["status"], &cancelled[0]["code"]),
        (&json!("failed"), &json!("task_immutable"))
    );
    assert_eq!(flat(&server, "r").await, before);
    let copies = clone(&server, json!({"task_id": "r"})).await;
    assert_eq!((copies.len(), &copies[0]["origin_type"]), (4, &json!("copy")));
}

#[tokio::test]
async fn case_40_mixed_clones_run_on_the_results_of_links() {
    mixes(server().await).await;
}

#[tokio::test]
async fn case_40_on_postgres_mixed_clones_run_on_the_results_of_links() {
    mixes(server_on_postgres().await).await;
}

async fn mixes(server: Server) {
    server.run(three_levels()).await;
    let (code, text) = server.refused("tasks.clone", json!({"task_id": "r", "origin_type": "mixed"})).await;
    assert!(code == -32602 && text.contains("link_task_ids"), "{code} {text}");
    let mixed = json!({"task_id": "r", "origin_type": "mixed", "link_task_ids": ["a"]});
    let clones = clone(&server, mixed).await;
    let kinds: Vec<_> = clones.iter().map(|task| task["origin_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["copy", "link", "copy", "copy"]);
    let root = id(&clones[0]);
    let progress = server.tasks("tasks.progress", json!({"task_id": root})).await;
    assert_eq!(
        (&progress["completed"], &progress["pending"], &progress["progress"]),
        (&json!(1), &json!(3), &json!(0.25))
    );
    let ended = server.tasks("tasks.execute", json!({"task_id": root})).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let result = &server.task(root).await["result"]["results"];
    assert_eq!(result[id(&clones[1])], server.task("a").await["result"], "{result}");
    let progress = server.tasks("tasks.progress", json!({"task_id": root})).await;
    assert_eq!((&progress["total"], &progress["progress"]), (&json!(4), &json!(1.0)));
}

#[tokio::test]
async fn case_36_delete_lists_every_reason() {
    let server = server().await;
    // Nobody has the executor of the root, which so fails behind its child.
    let tree = json!([with(measure("r"), json!({"executor": "nobody"})), below("r", measure("child"))]);
    server.run(tree).await;
    let links = clone(&server, json!({"task_id": "child", "origin_type": "link"})).await;
    let (code, text) = server.refused("tasks.delete", json!({"task_id": "r"})).await;
    assert_eq!(code, -32009, "{text}");
    for part in [
        "Cannot delete task: task has 1 non-pending children: [child: completed]".to_owned(),
        "task status is 'failed' (must be 'pending')".to_owned(),
        format!("task has 1 links to it: [{}]", id(&links[0])),
    ] {
        assert!(text.contains(&part), "{part} is missing in {text}");
    }
    // Links have nothing to lose.
    let deleted = server.tasks("tasks.delete", json!({"task_id": id(&links[0])})).await;
    assert_eq!(deleted["deleted_count"], 1);
    assert!(!server.refused("tasks.delete", json!({"task_id": "r"})).await.1.contains("links"));
}

#[tokio::test]
async fn case_32_and_33_updates_that_are_refused() {
    let server = server().await;
    server.run(json!([measure("done")])).await;
    let tree = json!([
        measure("r"),
        below("r", measure("x")),
        below("r", with(measure("y"), json!({"dependencies": ["x"]})))
    ]);
    server.tasks("tasks.create", tree).await;
    let before = server.task("x").await;
    let fixed = json!({"task_id": "x", "parent_id": "y", "user_id": "z"});
    let (_, text) = server.refused("tasks.update", fixed).await;
    assert!(
        text.starts_with("Update failed:\n- ") && text.contains("parent_id") && text.contains("user_id"),
        "{text}"
    );
    let mut texts = Vec::new();
    for (task, dependencies, code) in
        [("done", json!([]), -32011), ("x", json!(["ghost"]), -32011), ("x", json!(["y"]), -32002)]
    {
        let params = json!({"task_id": task, "dependencies": dependencies});
        let (found, text) = server.refused("tasks.update", params).await;
        assert_eq!(found, code, "{text}");
        texts.push(text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 3, "{texts:?}");
    let long = "x".repeat(200);
    let (_, text) =
        server.refused("tasks.update", json!({"task_id": "x", "executor": long, "name": long})).await;
    assert!(text.contains("'executor' is") && text.contains("'name' is"), "{text}");
    assert_eq!(server.task("x").await, before);
}

#[tokio::test]
async fn a_key_creates_one_tree() {
    let server = server().await;
    let tasks = json!([info("r"), below("r", info("a"))]);
    let request = json!({"tasks": tasks, "idempotency_key": "k1"});
    let (one, two) = tokio::join!(
        server.tasks("tasks.create", request.clone()),
        server.tasks("tasks.create", request.clone())
    );
    let created = |answer: &Value| answer["receipt"]["created"].as_bool().unwrap();
    assert!(created(&one) != created(&two), "{one} {two}");
    assert_eq!(one["tasks"], two["tasks"]);
    assert_eq!(one["receipt"]["tree_id"], one["tasks"][0]["task_tree_id"]);
    assert_eq!((&one["receipt"]["idempotency_key"], server.total().await), (&json!("k1"), 2));
    assert_eq!(one["tasks"][0]["idempotency_key"], "k1");
    // At the root it is the same request.
    let at_root = json!([with(info("r"), json!({"idempotency_key": "k1"})), below("r", info("a"))]);
    assert_eq!(server.tasks("tasks.create", at_root).await["receipt"]["created"], false);
    let (code, text) =
        server.refused("tasks.create", json!({"tasks": info("b"), "idempotency_key": "k1"})).await;
    assert!(code == -32101 && text.contains("k1"), "{code} {text}");
    // Execution with the same key is another request.
    assert_eq!(server.refused("tasks.execute", request).await.0, -32101);
    assert_eq!(server.total().await, 2);
    server.tasks("tasks.delete", json!({"task_id": one["receipt"]["root_task_id"]})).await;
    assert_eq!(server.total().await, 0);
}

#[tokio::test]
async fn a_key_executes_one_tree() {
    let mut server = server().await;
    let request = json!({"tasks": [info("r")], "idempotency_key": "k"});
    let first = server.tasks("tasks.execute", request.clone()).await;
    assert_eq!(
        (&first["status"], &first["receipt"]["created"]),
        (&json!("completed"), &json!(true)),
        "{first}"
    );
    server.crash_and_restart().await;
    let second = server.tasks("tasks.execute", request.clone()).await;
    assert_eq!(
        (&second["status"], &second["receipt"]["created"]),
        (&json!("completed"), &json!(false)),
        "{second}"
    );
    assert_eq!(second["root_task_id"], first["root_task_id"]);
    let root = first["root_task_id"].as_str().unwrap();
    let attempts = server.tasks("tasks.attempts", json!({"task_id": root})).await;
    assert_eq!(attempts.as_array().unwrap().len(), 1, "{attempts}");
    for field in ["node", "started_at", "completed_at", "status", "inputs", "receipt", "result", "error"] {
        assert!(attempts[0].get(field).is_some(), "{field} is missing in {attempts}");
    }
    // A stream of it tells the execution that there was.
    let mut events = server.stream("tasks.execute", with(request, json!({"use_streaming": true}))).await;
    let events = events.rest().await;
    assert_eq!(events[0].1["result"]["receipt"]["created"], false, "{events:?}");
    assert!(events.iter().any(|(_, event)| event["type"] == "task_completed"), "{events:?}");
    let (code, text) =
        server.refused("tasks.execute", json!({"task_id": root, "idempotency_key": "k"})).await;
    assert!(code == -32602 && text.contains("goes with `tasks`"), "{code} {text}");
}

#[tokio::test]
async fn size_and_depth_of_trees_are_limited() {
    let config = "[limits]\nmax_tasks = 3\nmax_depth = 2\nmax_field_bytes = 100\n".into();
    let server = Server::start(Setup { config, ..Setup::default() }).await;
    let deep = json!([measure("a"), below("a", measure("b")), below("b", measure("c"))]);
    let (code, text) = server.refused("tasks.create", deep).await;
    assert!(code == -32102 && text.contains("limits.max_depth"), "{code} {text}");
    let large: Vec<Value> =
        (0..4).map(|i| if i == 0 { measure("0") } else { below("0", measure(&i.to_string())) }).collect();
    let (code, text) = server.refused("tasks.create", json!(large)).await;
    assert!(code == -32102 && text.contains("limits.max_tasks"), "{code} {text}");
    server.tasks("tasks.create", json!([measure("a")])).await;
    let long = "x".repeat(200);
    for field in ["description", "metadata", "inputs"] {
        let value = if field == "description" { json!(long) } else { json!({ "long": long }) };
        let (_, text) = server.refused("tasks.update", json!({"task_id": "a", field: value})).await;
        assert!(text.contains(field) && text.contains("limits.max_field_bytes"), "{text}");
    }
}
