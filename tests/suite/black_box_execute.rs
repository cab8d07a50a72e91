//! The black-box cases about executing, streaming and cancelling.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{
    Server, Setup, hostile, info, sequential_server, server, server_on_postgres, shipped, with,
};
use crate::site::serve;

fn task(name: &str, executor: &str, more: Value) -> Value {
    with(json!({"name": name, "id": name, "executor": executor}), more)
}

/// Waits for `ms` milliseconds inside the sandbox.
fn slow(name: &str, ms: u32, more: Value) -> Value {
    with(task(name, "slow", json!({"inputs": {"ms": ms}})), more)
}

fn root(name: &str, dependencies: Value) -> Value {
    task(name, "aggregate_results_executor", json!({ "dependencies": dependencies }))
}

async fn status(server: &Server, id: &str) -> String {
    server.task(id).await["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn case_13_aggregate_of_two() {
    aggregates_two(server().await).await;
}

#[tokio::test]
async fn case_13_on_postgres_aggregate_of_two() {
    aggregates_two(server_on_postgres().await).await;
}

async fn aggregates_two(server: Server) {
    let tree = json!([
        root("root", json!(["a", "b"])),
        with(info("a"), json!({"id": "a", "parent_id": "root"})),
        with(info("b"), json!({"id": "b", "parent_id": "root"})),
    ]);
    let answer = server.run(tree).await;
    assert_eq!((&answer["success"], &answer["status"]), (&json!(true), &json!("completed")), "{answer}");
    let (root, a, b) = (server.task("root").await, server.task("a").await, server.task("b").await);
    assert_eq!(root["result"]["result_count"], 2);
    for child in [&a, &b] {
        assert_eq!(child["status"], "completed");
        let id = child["id"].as_str().unwrap();
        assert_eq!(root["result"]["results"][id], child["result"], "{root}");
        assert!(child["completed_at"].as_str().unwrap() <= root["started_at"].as_str().unwrap());
        assert_eq!(child["progress"], 1.0);
    }
}

#[tokio::test]
async fn case_14_a_result_fills_the_consumers_property() {
    let server = server().await;
    let consumer = task("consumer", "url_consumer", json!({"dependencies": ["producer"]}));
    let producer = task("producer", "url_producer", json!({"parent_id": "consumer"}));
    let answer = server.run(json!([consumer, producer])).await;
    assert_eq!(answer["status"], "completed", "{}", server.task("consumer").await);
    assert_eq!(server.task("consumer").await["inputs"]["url"], "x");
}

#[tokio::test]
async fn explicit_references_win_and_the_definition_is_kept() {
    let server = server().await;
    let reference = json!({"$from": "source", "pointer": "/deep/1"});
    let consumer = task("consumer", "echo", json!({"inputs": {"value": reference}}));
    let source = task("source", "echo", json!({"parent_id": "consumer", "inputs": {"deep": [1, 2]}}));
    server.run(json!([consumer, source])).await;
    let done = server.task("consumer").await;
    assert_eq!(done["inputs"], json!({"value": 2}), "{done}");
    let missing = json!([
        task("bad", "echo", json!({"inputs": {"value": {"$from": "good", "pointer": "/nowhere"}}})),
        task("good", "echo", json!({"parent_id": "bad"})),
    ]);
    assert_eq!(server.run(missing).await["status"], "failed");
    let failed = server.task("bad").await;
    assert_eq!(failed["error_info"]["code"], "missing_reference");
    assert_eq!(failed["error_info"]["pointer"], "/value");
}

#[tokio::test]
async fn case_15_priorities_in_order() {
    let server = sequential_server().await;
    let child = |name: &str, priority: u8| {
        with(info(name), json!({"id": name, "parent_id": "root", "priority": priority}))
    };
    let tree = json!([
        root("root", json!(["p0", "p1", "p2", "p3"])),
        child("p3", 3),
        child("p1", 1),
        child("p2", 2),
        child("p0", 0),
    ]);
    server.run(tree).await;
    let mut started = Vec::new();
    for id in ["p0", "p1", "p2", "p3", "root"] {
        started.push(server.task(id).await["started_at"].as_str().unwrap().to_owned());
    }
    assert!(started.is_sorted(), "{started:?}");
}

#[tokio::test]
async fn case_16_a_parent_does_not_wait_for_its_children() {
    let server = sequential_server().await;
    let child = |name: &str| with(info(name), json!({"id": name, "parent_id": "root"}));
    server.run(json!([with(info("root"), json!({"id": "root"})), child("a"), child("b")])).await;
    // Same priority, no dependencies: the order of the array.
    let log = server.tasks("events.list", json!({"tree": "root", "limit": 100})).await;
    let started: Vec<&str> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "task.started")
        .map(|event| event["task_id"].as_str().unwrap())
        .collect();
    assert_eq!(started, ["root", "a", "b"]);
}

#[tokio::test]
async fn case_17_a_failed_dependency_blocks_only_what_needs_it() {
    let server = server().await;
    let tree = json!([
        root("root", json!(["bad", "good"])),
        task("bad", "trap", json!({"parent_id": "root"})),
        with(info("good"), json!({"id": "good", "parent_id": "root"})),
    ]);
    let answer = server.run(tree).await;
    assert_eq!((&answer["success"], &answer["status"]), (&json!(false), &json!("failed")));
    assert_eq!(status(&server, "good").await, "completed");
    let root = server.task("root").await;
    assert_eq!((&root["status"], &root["blocked_by"]), (&json!("pending"), &json!("bad")));
}

#[tokio::test]
async fn case_18_an_optional_dependency_is_waited_for() {
    let server = server().await;
    let tree = json!([
        root("root", json!([{"id": "bad", "required": false}])),
        task("bad", "trap", json!({"parent_id": "root"})),
    ]);
    server.run(tree).await;
    let (root, bad) = (server.task("root").await, server.task("bad").await);
    assert_eq!((&root["status"], &bad["status"]), (&json!("completed"), &json!("failed")));
    assert!(bad["completed_at"].as_str().unwrap() <= root["started_at"].as_str().unwrap());
}

#[tokio::test]
async fn case_19_null_is_a_result() {
    let server = server().await;
    let tree = json!([
        root("root", json!(["nothing"])),
        task("nothing", "returns_null", json!({"parent_id": "root"}))
    ]);
    assert_eq!(server.run(tree).await["status"], "completed");
    assert_eq!(server.task("nothing").await["result"], Value::Null);
}

#[tokio::test]
async fn case_20_executing_a_running_tree() {
    let server = server().await;
    server.tasks("tasks.create", slow("a", 60_000, json!({}))).await;
    server.tasks("tasks.execute", json!({"task_id": "a", "wait": false})).await;
    let (http, answer) = server.rpc("/tasks", "tasks.execute", json!({"task_id": "a"})).await;
    assert_eq!(http, 200);
    let result = &answer["result"];
    assert_eq!(
        (&result["success"], &result["status"]),
        (&json!(false), &json!("already_running")),
        "{answer}"
    );
    assert_eq!(result["root_task_id"], "a");
}

#[tokio::test]
async fn case_21_and_22_execute_gives_the_real_root_and_the_final_status() {
    let server = server().await;
    let answer = server.run(json!([{"name": "a", "executor": "slow", "inputs": {"ms": 300}}])).await;
    assert_eq!(answer["status"], "completed");
    let root = server.task(answer["root_task_id"].as_str().unwrap()).await;
    assert_eq!((&root["name"], &root["status"]), (&json!("a"), &json!("completed")));
}

#[tokio::test]
async fn case_23_the_stream_stays_open_until_the_root_is_done() {
    let server = server().await;
    let tree = json!([
        root("root", json!(["fast", "slow"])),
        with(info("fast"), json!({"id": "fast", "parent_id": "root"})),
        slow("slow", 500, json!({"parent_id": "root"})),
    ]);
    let mut stream = server.stream("tasks.execute", json!({"tasks": tree, "use_streaming": true})).await;
    let (_, first) = stream.next().await.unwrap();
    assert_eq!((&first["id"], &first["result"]["streaming"]), (&json!(1), &json!(true)), "{first}");
    let rest: Vec<Value> = stream.rest().await.into_iter().map(|(_, data)| data).collect();
    let kinds: Vec<&str> = rest.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        (kinds[0], kinds[kinds.len() - 2], kinds[kinds.len() - 1]),
        ("progress", "final", "stream_end"),
        "{kinds:?}"
    );
    for id in ["root", "fast", "slow"] {
        for kind in ["task_start", "task_completed"] {
            let count = rest.iter().filter(|event| event["type"] == kind && event["task_id"] == id).count();
            assert_eq!(count, 1, "{kind} of {id} in {kinds:?}");
        }
    }
}

#[tokio::test]
async fn case_24_a_second_stream_has_only_its_own_events() {
    let server = server().await;
    server.tasks("tasks.create", with(info("a"), json!({"id": "a"}))).await;
    let params = json!({"task_id": "a", "use_streaming": true, "rerun": true});
    for _ in 0..2 {
        let events = server.stream("tasks.execute", params.clone()).await.rest().await;
        let completed = events.iter().filter(|(_, event)| event["type"] == "task_completed").count();
        assert_eq!(completed, 1, "{events:?}");
    }
}

#[tokio::test]
async fn a_stream_can_be_taken_up_where_it_broke() {
    let server = server().await;
    let children = (0..50).map(|i| with(info(&format!("c{i}")), json!({"parent_id": "root"})));
    let tree: Vec<Value> =
        std::iter::once(with(info("root"), json!({"id": "root"}))).chain(children).collect();
    server.run(json!(tree)).await;
    let mut all = server.events("/events?tree=root&after=0", None).await;
    let mut seen = Vec::new();
    loop {
        let (id, event) = all.next().await.unwrap();
        seen.push((id, event["kind"].as_str().unwrap().to_owned()));
        if event["kind"] == "tree.completed" {
            break;
        }
    }
    let middle = seen.len() / 2;
    let mut resumed = server.events("/events?tree=root", Some(&seen[middle].0)).await;
    for expected in &seen[middle + 1..] {
        let (id, event) = resumed.next().await.unwrap();
        assert_eq!((&id, event["kind"].as_str().unwrap()), (&expected.0, expected.1.as_str()));
    }
}

#[tokio::test]
async fn case_26_a_mended_task_lets_the_tree_go_on() {
    let server = server().await;
    let tree = json!([
        root("root", json!(["ok", "broken"])),
        with(info("ok"), json!({"id": "ok", "parent_id": "root"})),
        task(
            "broken",
            "rest_executor",
            json!({"parent_id": "root", "inputs": {"url": "http://127.0.0.1:1/"}})
        ),
    ]);
    assert_eq!(server.run(tree).await["status"], "failed");
    let ok = server.task("ok").await;
    let mended = json!({"task_id": "broken", "executor": "echo", "params": {}, "inputs": {"mended": true}});
    server.tasks("tasks.update", mended).await;
    let answer = server.tasks("tasks.execute", json!({"task_id": "root"})).await;
    assert_eq!(answer["status"], "completed", "{answer}");
    assert_eq!(
        (status(&server, "broken").await, status(&server, "root").await),
        ("completed".into(), "completed".into())
    );
    assert_eq!(server.task("ok").await["attempt_id"], ok["attempt_id"], "completed tasks do not run again");
}

#[tokio::test]
async fn case_27_a_completed_tree_runs_again_only_when_asked() {
    let server = server().await;
    server.run(json!([with(info("a"), json!({"id": "a"}))])).await;
    let answer = server.tasks("tasks.execute", json!({"task_id": "a"})).await;
    assert_eq!((&answer["success"], &answer["status"]), (&json!(true), &json!("completed")), "{answer}");
    assert_eq!(server.task("a").await["attempt_id"], 1);
    server.tasks("tasks.execute", json!({"task_id": "a", "rerun": true})).await;
    assert_eq!(server.task("a").await["attempt_id"], 2);
}

#[tokio::test]
async fn case_28_a_child_brings_only_what_it_depends_on() {
    let server = server().await;
    let child = |name: &str, needs: Value| {
        with(info(name), json!({"id": name, "parent_id": "root", "dependencies": needs}))
    };
    let tree = json!([
        root("root", json!(["a"])),
        child("a", json!(["b"])),
        child("b", json!([])),
        child("c", json!([]))
    ]);
    server.tasks("tasks.create", tree).await;
    server.tasks("tasks.execute", json!({"task_id": "a"})).await;
    for (id, expected) in [("a", "completed"), ("b", "completed"), ("c", "pending"), ("root", "pending")] {
        assert_eq!(status(&server, id).await, expected, "{id}");
    }
}

#[tokio::test]
async fn case_29_cancel_answers_for_every_id() {
    let server = server().await;
    server.tasks("tasks.create", with(info("open"), json!({"id": "open"}))).await;
    server.run(json!([with(info("done"), json!({"id": "done"}))])).await;
    let answer = server.tasks("tasks.cancel", json!({"task_ids": ["open", "done", "nobody"]})).await;
    let of = |i: usize, field: &str| answer[i][field].as_str().unwrap_or_default().to_owned();
    assert_eq!((of(0, "task_id"), of(0, "status")), ("open".into(), "cancelled".into()), "{answer}");
    assert_eq!((of(1, "status"), of(1, "current_status")), ("failed".into(), "completed".into()), "{answer}");
    assert!(of(1, "message").contains("already completed, cannot cancel"), "{answer}");
    assert_eq!(of(2, "status"), "failed");
    assert!(of(2, "message").contains("not found"), "{answer}");
    assert_eq!(status(&server, "open").await, "cancelled");
}

#[tokio::test]
async fn case_30_a_running_task_is_interrupted_and_stays_cancelled() {
    for executor in ["loop_forever", "slow"] {
        let server = server().await;
        let running = task("running", executor, json!({"parent_id": "root", "inputs": {"ms": 60_000}}));
        let tree = json!([root("root", json!(["running"])), running]);
        server.tasks("tasks.create", tree).await;
        server.tasks("tasks.execute", json!({"task_id": "root", "wait": false})).await;
        server.await_event("tree=root", "task.started", Some("running")).await;
        server.tasks("tasks.cancel", json!({"task_ids": "running"})).await;
        server.await_event("tree=root", "tree.cancelled", None).await;
        assert_eq!(status(&server, "running").await, "cancelled");
        assert_eq!(status(&server, "root").await, "cancelled");
        // The place is free again: another tree runs, and nothing has come back.
        assert_eq!(server.run(json!([info("after")])).await["status"], "completed");
        assert_eq!(status(&server, "running").await, "cancelled");
        let (_, health) = server.rpc("/system", "system.health", json!({})).await;
        assert_eq!(health["result"]["running_tasks_count"], 0, "{executor} still runs");
    }
}

#[tokio::test]
async fn case_43_private_addresses_are_refused_also_behind_redirects() {
    let site = redirecting_site().await;
    // The first hop is allowed, the second is loopback on another port, which is not.
    let port = site.rsplit(':').next().unwrap().to_owned();
    let config = format!(
        "[plugins.rest_executor.grants]\nhttp = [\"http://*\"]\nprivate_network = [\"127.0.0.1:{port}\"]\n"
    );
    let open = Server::start(Setup { config, ..Setup::default() }).await;
    let closed = server().await;
    let spellings = [
        "http://127.0.0.1:9/",
        "http://localhost:9/",
        "http://[::1]:9/",
        "http://2130706433:9/",
        "http://0x7f.1:9/",
    ];
    for (i, url) in spellings.iter().enumerate() {
        let id = format!("direct-{i}");
        closed.run(json!([task(&id, "rest_executor", json!({"inputs": {"url": url}}))])).await;
        let failed = closed.task(&id).await;
        assert_eq!(failed["status"], "failed", "{url}");
        assert!(failed["error"].as_str().unwrap().contains("private/reserved address"), "{url}: {failed}");
    }
    open.run(json!([task(
        "redirected",
        "rest_executor",
        json!({"inputs": {"url": format!("{site}/away")}})
    )]))
    .await;
    let failed = open.task("redirected").await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("private/reserved address"), "{failed}");
    open.run(json!([task("plain", "rest_executor", json!({"inputs": {"url": format!("{site}/")}}))])).await;
    assert_eq!(open.task("plain").await["result"]["status_code"], 200);
}

/// A site on loopback whose `/away` leads to another port of loopback.
async fn redirecting_site() -> String {
    serve(|path| {
        let response = match path {
            "/away" => hyper::Response::builder().status(302).header("location", "http://127.0.0.1:9/"),
            _ => hyper::Response::builder(),
        };
        response.body(http_body_util::Full::new(bytes::Bytes::from("hello"))).unwrap()
    })
    .await
}

#[tokio::test]
async fn case_44_commands_are_off_and_never_see_a_shell() {
    let command =
        |id: &str, text: &str| json!([task(id, "command_executor", json!({"inputs": {"command": text}}))]);
    let closed = server().await;
    closed.run(command("off", "echo a")).await;
    let off = closed.task("off").await;
    assert_eq!(off["status"], "failed");
    assert!(off["error"].as_str().unwrap().contains("command_executor"), "{off}");
    let env = vec![
        ("APFLOW_STDIO_ALLOW_COMMAND", "1".to_owned()),
        ("APFLOW_STDIO_COMMAND_WHITELIST", "echo".to_owned()),
    ];
    let open = Server::start(Setup { env, ..Setup::default() }).await;
    open.run(command("plain", "echo 'a b'")).await;
    assert_eq!(open.task("plain").await["result"]["stdout"], "a b", "{}", open.task("plain").await);
    for (id, text) in
        [("chain", "echo a; id"), ("pipe", "echo a | id"), ("substitution", "echo $(id)"), ("other", "id")]
    {
        open.run(command(id, text)).await;
        let failed = open.task(id).await;
        assert_eq!(failed["status"], "failed", "{text}: {failed}");
    }
}

#[tokio::test]
async fn case_45_unknown_executor() {
    let server = server().await;
    server.tasks("tasks.create", task("a", "nobody_executor", json!({}))).await;
    let answer = server.tasks("tasks.execute", json!({"task_id": "a"})).await;
    assert_eq!(answer["status"], "failed");
    let failed = server.task("a").await;
    assert!(failed["error"].as_str().unwrap().contains("nobody_executor"), "{failed}");
    assert!(failed["result"]["error"].is_string(), "{failed}");
}

#[tokio::test]
async fn case_55_a_thousand_children() {
    let server = server().await;
    let mut tree = vec![with(info("root"), json!({"id": "root"}))];
    tree.extend((0..1000).map(|i| task(&format!("c{i}"), "noop_executor", json!({"parent_id": "root"}))));
    assert_eq!(server.run(json!(tree)).await["status"], "completed");
    let count = server.tasks("tasks.count", json!({})).await;
    assert_eq!((&count["completed"], &count["total"]), (&json!(1001), &json!(1001)));
    let starts = count_events(&server, "task.started").await;
    assert_eq!((starts.len(), starts.values().max()), (1001, Some(&1)));
}

#[tokio::test]
async fn case_56_a_chain_of_a_thousand() {
    let server = server().await;
    let mut tree = vec![task("c0", "noop_executor", json!({"dependencies": ["c1"]}))];
    for i in 1..1000 {
        let next: Vec<String> = (i < 999).then(|| format!("c{}", i + 1)).into_iter().collect();
        tree.push(task(&format!("c{i}"), "noop_executor", json!({"parent_id": "c0", "dependencies": next})));
    }
    assert_eq!(server.run(json!(tree)).await["status"], "completed");
    assert_eq!(server.tasks("tasks.count", json!({})).await["completed"], 1000);
}

/// How often an event of that kind is in the log, by task.
pub async fn count_events(server: &Server, kind: &str) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    let mut after = 0;
    loop {
        let page = server.tasks("events.list", json!({"after": after, "limit": 1000})).await;
        let events = page["events"].as_array().unwrap();
        let Some(last) = events.last() else { return counts };
        after = last["seq"].as_i64().unwrap();
        for event in events.iter().filter(|event| event["kind"] == kind) {
            *counts.entry(event["task_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
}

#[tokio::test]
async fn retries_follow_the_policy_and_attempts_are_kept() {
    let server = Server::start(Setup { plugins: vec![shipped(), hostile()], ..Setup::default() }).await;
    let retry = json!({"max_attempts": 4, "backoff": "fixed", "base_ms": 10, "jitter": 0});
    let flaky = task("flaky", "fail_retryable", json!({"inputs": {"failures": 2}, "retry": retry}));
    assert_eq!(server.run(json!([flaky])).await["status"], "completed");
    let attempts = server.tasks("tasks.attempts", json!({"task_id": "flaky"})).await;
    let statuses: Vec<&str> =
        attempts.as_array().unwrap().iter().map(|a| a["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["failed", "failed", "completed"], "{attempts}");
    assert_eq!(attempts[2]["receipt"]["plugin"], "hostile", "{attempts}");
    let once = task("once", "fail_retryable", json!({"inputs": {"failures": 1}}));
    assert_eq!(server.run(json!([once])).await["status"], "failed");
}

#[tokio::test]
async fn a_timeout_fails_the_attempt_with_a_clear_text() {
    let server = server().await;
    server.run(json!([slow("a", 60_000, json!({"timeout_ms": 50}))])).await;
    let failed = server.task("a").await;
    assert_eq!((&failed["status"], &failed["error_info"]["code"]), (&json!("failed"), &json!("timeout")));
    assert!(failed["error"].as_str().unwrap().contains("50 ms"), "{failed}");
}
