//! JSON-RPC: requests, batches, notifications, and how errors look.

use std::sync::Arc;

use apflow_core::error::TaskError;
use apflow_core::plugin::{Catalog, Plugins};
use apflow_engine::EngineOptions;
use apflow_server::ServerOptions;
use apflow_testkit::scripted::ScriptedExecutor;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::setup::{Server, start};

#[tokio::test]
async fn a_request_is_answered_with_its_id() {
    let server = start(ScriptedExecutor::new()).await;
    let answer = server.send("/system", r#"{"jsonrpc":"2.0","method":"system.health","id":7}"#).await;
    assert_eq!(
        (answer.status, answer.headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, "application/json")
    );
    let body = answer.json();
    assert_eq!((&body["id"], &body["result"]["status"]), (&json!(7), &json!("healthy")));
    assert!(body["result"]["running_tasks_count"].is_u64());
    assert!(body["result"]["version"].is_string() && body["result"]["timestamp"].is_string());
    // Neither the version of the protocol nor parameters are needed.
    let answer = server.send("/system", r#"{"method":"system.health","id":"x"}"#).await;
    assert_eq!(answer.json()["id"], "x");
}

#[tokio::test]
async fn unknown_methods_are_named() {
    let server = start(ScriptedExecutor::new()).await;
    for (path, method, detail) in [
        ("/tasks", "tasks.fly", "Unknown task method: tasks.fly"),
        ("/system", "system.fly", "Unknown system method: system.fly"),
        ("/tasks", "system.health", "Unknown task method: system.health"),
    ] {
        let answer = server.send(path, json!({"method": method, "id": 1}).to_string()).await;
        let error = &answer.json()["error"];
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!((&error["code"], &error["message"]), (&json!(-32601), &json!("Method not found")));
        assert_eq!(
            (&error["data"]["detail"], &error["data"]["code"]),
            (&json!(detail), &json!("method_not_found"))
        );
    }
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused() {
    let server = start(ScriptedExecutor::new()).await;
    for (body, code) in [
        ("not json", -32700),
        ("", -32700),
        ("{\"method\": \"tasks.count\", \"id\": 1", -32700),
        ("[]", -32600),
        ("17", -32600),
        (r#"{"id": 1}"#, -32600),
        (r#"{"jsonrpc": "1.0", "method": "tasks.count", "id": 1}"#, -32600),
        (r#"{"method": "tasks.count", "params": 5, "id": 1}"#, -32602),
    ] {
        let answer = server.send("/tasks", body).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!(code)),
            "{body}"
        );
    }
    let answer = server.send("/tasks", vec![b'"', 0xff, b'"']).await;
    assert_eq!(answer.json()["error"]["code"], -32700);
}

#[tokio::test]
async fn a_batch_is_answered_in_order_without_its_notifications() {
    let server = start(ScriptedExecutor::new()).await;
    let batch = json!([
        {"jsonrpc": "2.0", "method": "tasks.create", "params": {"id": "a", "name": "a"}, "id": 1},
        {"jsonrpc": "2.0", "method": "tasks.create", "params": {"id": "b", "name": "b"}},
        {"jsonrpc": "2.0", "method": "tasks.count", "id": 2},
        {"jsonrpc": "2.0", "method": "tasks.fly", "id": 3},
        5,
        {"jsonrpc": "2.0", "method": "tasks.execute", "params": {"task_id": "a", "use_streaming": true}, "id": 4},
    ]);
    let answer = server.send("/tasks", batch.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    let ids: Vec<&Value> = body.as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!(2), &json!(3), &Value::Null, &json!(4)]);
    assert_eq!(body[1]["result"]["pending"], 2);
    let codes: Vec<&Value> = body.as_array().unwrap()[2..].iter().map(|one| &one["error"]["code"]).collect();
    assert_eq!(codes, [-32601, -32600, -32602]);
    assert_eq!(body[4]["error"]["data"]["field"], "use_streaming");
    assert_eq!(server.status_of("a").await, "pending");
}

#[tokio::test]
async fn notifications_get_no_body_but_are_done() {
    let server = start(ScriptedExecutor::new()).await;
    let create =
        |id: &str| json!({"jsonrpc": "2.0", "method": "tasks.create", "params": {"id": id, "name": id}});
    let answer = server.send("/tasks", create("a").to_string()).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    let answer = server.send("/tasks", json!([create("b"), create("b")]).to_string()).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(server.result("tasks.count", json!({})).await["total"], 2);
    // Broken requests are answered all the same: whether they were notifications cannot be known.
    assert_eq!(server.send("/tasks", r#"{"jsonrpc": "2.0"}"#).await.json()["error"]["code"], -32600);
}

#[tokio::test]
async fn parameters_are_refused_by_name() {
    let server = start(ScriptedExecutor::new()).await;
    for (method, params, field) in [
        ("tasks.get", json!({}), "task_id"),
        ("tasks.get", json!({"task_id": 5}), "task_id"),
        ("tasks.get", json!({"task_id": "x", "colour": "red"}), "colour"),
        ("tasks.get", json!(["x"]), "params"),
        ("tasks.list", json!({"limit": -1}), "limit"),
        ("tasks.list", json!({"status": "banana"}), "status"),
        ("tasks.tree", json!({"task_id": "x", "format": "round"}), "format"),
        ("tasks.cancel", json!({}), "task_ids"),
        ("tasks.cancel", json!({"task_ids": [1]}), "task_ids"),
        ("tasks.execute", json!({}), "task_id"),
        ("tasks.execute", json!({"task_id": "x", "tasks": []}), "tasks"),
        ("tasks.execute", json!({"task_id": "x", "use_demo": true}), "use_demo"),
        ("tasks.execute", json!({"task_id": "x", "webhook_config": {}}), "webhook_config"),
        ("tasks.execute", json!({"task_id": "x", "wait": "no"}), "wait"),
        ("tasks.create", json!("x"), "params"),
        ("events.list", json!({"after": "yesterday"}), "after"),
        ("system.health", json!({"deep": true}), "deep"),
    ] {
        let (status, code, data) = server.refused(method, params.clone()).await;
        assert_eq!((status, code), (400, -32602), "{method} {params}");
        assert_eq!((&data["field"], &data["code"]), (&json!(field), &json!("invalid_params")), "{data}");
        assert!(data["detail"].as_str().unwrap().contains(field), "{data}");
    }
}

/// Plugins with a defect in them.
#[derive(Debug)]
struct Defective;

#[async_trait::async_trait]
impl Plugins for Defective {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::default()
    }

    async fn reload(&self) -> Result<Map<String, Value>, TaskError> {
        panic!("a defect")
    }
}

#[tokio::test]
async fn a_panic_is_an_error_of_one_call() {
    let server =
        Server::with_plugins(Arc::new(Defective), ServerOptions::default(), EngineOptions::default()).await;
    let (status, code, data) = server.refused("system.plugins.reload", json!({})).await;
    assert_eq!((status, code, &data["code"]), (500, -32603, &json!("internal")));
    assert!(!data.to_string().contains("a defect"), "{data}");
    let batch = json!([{"method": "system.plugins.reload", "id": 1}, {"method": "system.health", "id": 2}]);
    let body = server.send("/system", batch.to_string()).await.json();
    assert_eq!(
        (&body[0]["error"]["code"], &body[1]["result"]["status"]),
        (&json!(-32603), &json!("healthy"))
    );
}
