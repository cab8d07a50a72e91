//! Events, live: of one execution, of a tree, of a task, of everything.

use apflow_testkit::scripted::{Answer, Gate, ScriptedExecutor};
use apflow_testkit::trees::{chain, outline, prefixed};
use http::StatusCode;
use serde_json::{Value, json};

use crate::setup::{Message, Server, start};

fn types(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| {
            let kind = message.data["type"].as_str().unwrap_or("response");
            format!("{kind} {}", message.data["task_id"].as_str().unwrap_or_default()).trim().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_streamed_execution_stays_open_until_its_root_has_ended() {
    let gate = Gate::new();
    let script = ScriptedExecutor::new().on("slow", [Answer::Echo.reporting(0.5).behind(&gate)]);
    let server = start(script).await;
    let mut stream = server.stream(json!({"tasks": outline("r <- fast slow; fast; slow")})).await;
    assert_eq!(stream.status, StatusCode::OK);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let first = stream.next().await.unwrap();
    assert_eq!((&first.data["jsonrpc"], &first.data["id"]), (&json!("2.0"), &json!("s")));
    let result = &first.data["result"];
    assert_eq!(
        (&result["streaming"], &result["root_task_id"], &result["status"]),
        (&json!(true), &json!("r"), &json!("started"))
    );
    // The fast child completes while the slow one waits: the stream stays open.
    let mut before = Vec::new();
    while before.last().is_none_or(|message: &Message| message.data["type"] != "task_completed") {
        before.push(stream.next().await.unwrap());
    }
    assert_eq!(before.last().unwrap().data["task_id"], "fast");
    assert_eq!((&before[0].data["type"], &before[0].data["progress"]), (&json!("progress"), &json!(0.0)));
    assert_eq!(
        (&before[0].data["task_id"], &before[0].data["message"]),
        (&json!("r"), &json!("Task tree execution started"))
    );
    gate.open();
    let after = stream.rest().await;
    let all = [before, after].concat();
    let types = types(&all);
    for once in [
        "task_start fast",
        "task_start slow",
        "task_start r",
        "task_completed fast",
        "task_completed slow",
        "task_completed r",
    ] {
        assert_eq!(types.iter().filter(|one| *one == once).count(), 1, "{once} in {types:?}");
    }
    assert_eq!(types[types.len() - 3..], ["task_completed r", "final r", "stream_end r"]);
    let last = &all[all.len() - 2];
    assert_eq!((&last.data["status"], &last.data["result"]["progress"]), (&json!("completed"), &json!(1.0)));
    let seqs: Vec<i64> = all.iter().filter_map(|message| message.id).collect();
    assert_eq!(seqs.len(), all.len() - 1, "all but the end have ids");
    assert!(seqs.is_sorted_by(|a, b| a < b) && seqs[0] > first.id.unwrap(), "{seqs:?}");
}

#[tokio::test]
async fn a_second_execution_streams_only_its_own_events() {
    let server = start(ScriptedExecutor::new().on("a", [Answer::fail("no"), Answer::Echo])).await;
    let first = server.stream(json!({"tasks": outline("r <- a; a")})).await.rest().await;
    assert_eq!(first[first.len() - 2].data["status"], "failed");
    assert_eq!(first[first.len() - 2].data["error"], "Tree finished with status: failed");
    let failed = first.iter().find(|message| message.data["type"] == "task_failed").unwrap();
    assert_eq!((&failed.data["error"], &failed.data["final"]), (&json!("no"), &json!(true)));
    let second = server.stream(json!({"task_id": "r"})).await.rest().await;
    assert!(second[1].id > first[first.len() - 2].id);
    let types = types(&second);
    assert_eq!(
        types[1..],
        [
            "progress r",
            "task_start a",
            "task_completed a",
            "task_start r",
            "task_completed r",
            "final r",
            "stream_end r"
        ]
    );
}

#[tokio::test]
async fn a_broken_stream_is_resumed_without_gap_or_repetition() {
    let gate = Gate::new();
    let server = start(ScriptedExecutor::new().on("b", [Answer::Echo.behind(&gate)])).await;
    let mut stream = server.stream(json!({"tasks": outline("r <- b; a; b <- a")})).await;
    let mut seen = Vec::new();
    let tree = stream.next().await.unwrap().data["result"]["tree_id"].as_str().unwrap().to_owned();
    while !seen.last().is_some_and(|message: &Message| message.data["type"] == "task_completed") {
        seen.push(stream.next().await.unwrap());
    }
    drop(stream);
    gate.open();
    let last = seen.last().unwrap().id.unwrap().to_string();
    let mut rest = server.listen(&format!("/events?tree={tree}"), &[("last-event-id", &last)]).await;
    let mut seqs: Vec<i64> = seen.iter().filter_map(|message| message.id).collect();
    loop {
        let message = rest.next().await.unwrap();
        seqs.push(message.id.unwrap());
        assert_eq!(message.data["seq"], message.id.unwrap());
        assert_eq!(message.event.as_deref(), message.data["kind"].as_str());
        if message.event.as_deref() == Some("tree.completed") {
            break;
        }
    }
    let log = server.result("events.list", json!({"tree": tree})).await;
    let all: Vec<i64> =
        log["events"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    // The stream begins with the execution, the log of the tree with its creation.
    assert_eq!(seqs, all[1..]);
}

#[tokio::test]
async fn events_of_a_tree_a_task_and_everything() {
    let server = start(ScriptedExecutor::new()).await;
    server.result("tasks.execute", json!({"tasks": outline("r <- a; a")})).await;
    let mut everything = server.listen("/events", &[]).await;
    let mut from_start = server.listen("/events?after=0", &[]).await;
    let mut tree = server.listen("/events?tree=r", &[]).await;
    let mut task = server.listen("/events?task=a", &[]).await;
    server.result("tasks.execute", json!({"tasks": prefixed(chain(1), "2/")})).await;
    assert_eq!(everything.next().await.unwrap().data["tree_id"], "2/step-1");
    assert_eq!(from_start.next().await.unwrap().id, Some(1));
    let mut kinds = Vec::new();
    for _ in 0..7 {
        let message = tree.next().await.unwrap();
        assert_eq!(message.data["tree_id"], "r");
        kinds.push(message.event.unwrap());
    }
    assert_eq!(
        kinds,
        [
            "tree.created",
            "tree.started",
            "task.started",
            "task.completed",
            "task.started",
            "task.completed",
            "tree.completed"
        ]
    );
    assert_eq!(task.next().await.unwrap().data["task_id"], "a");
    assert_eq!(task.next().await.unwrap().event.as_deref(), Some("task.completed"));
    // Later events of the task follow on the same stream.
    server.result("tasks.execute", json!({"task_id": "r", "rerun": true})).await;
    let next = task.next().await.unwrap();
    assert_eq!((next.event.as_deref(), &next.data["attempt"]), (Some("task.started"), &json!(2)));
}

#[tokio::test]
async fn events_are_refused_where_the_question_makes_no_sense() {
    let server = start(ScriptedExecutor::new()).await;
    for (path, status, field) in [
        ("/events?tre=x", 400, "field"),
        ("/events?after=soon", 400, "field"),
        ("/events?task=zz", 404, "task_id"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.json()["error"]["data"][field].is_string(), "{}", answer.text);
    }
}

/// A cancellation of nothing writes nothing, and must not make readers of the log miss what follows.
#[tokio::test]
async fn readers_hear_of_events_after_calls_that_wrote_nothing() {
    let server = start(ScriptedExecutor::new()).await;
    let mut events = server.listen("/events?after=0", &[]).await;
    for _ in 0..20 {
        server.result("tasks.cancel", json!({"task_ids": ["zz"]})).await;
    }
    server.result("tasks.execute", json!({"tasks": outline("r")})).await;
    let mut kinds = Vec::new();
    for _ in 0..5 {
        kinds.push(events.next().await.unwrap().event.unwrap());
    }
    assert_eq!(kinds, ["tree.created", "tree.started", "task.started", "task.completed", "tree.completed"]);
}

/// The number of open streams, as the server counts them.
async fn open_streams(server: &Server) -> u64 {
    let text = server.get("/metrics").await.text;
    let line = text.lines().find(|line| line.starts_with("apflow_server_open_streams ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place_and_its_work_goes_on() {
    let gate = Gate::new();
    let server = start(ScriptedExecutor::new().on("r", [Answer::Echo.behind(&gate)])).await;
    let mut stream = server.stream(json!({"tasks": outline("r")})).await;
    let first = stream.next().await.unwrap();
    assert_eq!(open_streams(&server).await, 1);
    drop(stream);
    while open_streams(&server).await > 0 {
        tokio::task::yield_now().await;
    }
    gate.open();
    let after = first.id.unwrap();
    let mut events = server.listen(&format!("/events?tree=r&after={after}"), &[]).await;
    while events.next().await.unwrap().event.as_deref() != Some("tree.completed") {}
    assert_eq!(server.status_of("r").await, "completed");
}

#[tokio::test]
async fn a_null_result_is_a_completion() {
    let script = ScriptedExecutor::new().on("a", [Answer::Complete(Value::Null)]);
    let server = start(script).await;
    let all = server.stream(json!({"tasks": outline("r <- a; a")})).await.rest().await;
    let done = all.iter().find(|message| message.data["type"] == "task_completed").unwrap();
    assert_eq!(done.data.get("result"), Some(&Value::Null));
    assert_eq!(all[all.len() - 2].data["status"], "completed");
}
