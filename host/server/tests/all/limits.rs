//! What is too much, too slow, or from the wrong page.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::plugin::Executor;
use apflow_server::ServerOptions;
use apflow_testkit::scripted::{ScriptedExecutor, catalog_of};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::setup::Server;

async fn limited() -> Server {
    let options = ServerOptions {
        max_body_bytes: 1_000,
        body_timeout: Duration::from_millis(50),
        max_batch: 3,
        max_streams: 1,
        keep_alive: Duration::from_millis(10),
        allowed_origins: vec!["http://localhost:3000".into()],
    };
    Server::new(catalog_of([Arc::new(ScriptedExecutor::new()) as Arc<dyn Executor>]), options).await
}

#[tokio::test]
async fn large_bodies_and_batches_are_refused_with_limit_and_key() {
    let server = limited().await;
    let answer = server.send("/tasks", format!("\"{}\"", "x".repeat(2_000))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let error = &answer.json()["error"];
    assert_eq!((&error["code"], &error["data"]["limit"]), (&json!(-32102), &json!(1_000)));
    assert!(error["data"]["detail"].as_str().unwrap().contains("server.max_body_bytes"));
    let batch = json!([1, 2, 3, 4]);
    let error = server.send("/tasks", batch.to_string()).await.json()["error"].clone();
    assert!(error["data"]["detail"].as_str().unwrap().contains("server.max_batch"), "{error}");
}

/// Sends bytes as they are and gives what comes back.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 64 * 1024];
    let read = tokio::time::timeout(crate::setup::PATIENCE, socket.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn a_body_that_grows_beyond_the_limit_is_refused_too() {
    let server = limited().await;
    let head = "POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let answer = raw(&server, format!("{head}{chunk}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_and_a_head_that_does_not_end_are_refused() {
    let server = limited().await;
    let answer = raw(&server, b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("server.body_timeout"), "{answer}");
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(100_000));
    let answer = raw(&server, huge.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn streams_are_limited_and_kept_alive() {
    let server = limited().await;
    let mut stream = server.listen("/events", &[]).await;
    stream.comment().await;
    let answer = server.get("/events").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("server.max_streams"), "{}", answer.text);
    // A streaming execution that nobody can listen to is not started in secret.
    let mut refused =
        server.stream(json!({"tasks": [{"id": "t", "name": "t", "executor": "scripted"}]})).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.next().await.is_none());
    assert_eq!(server.result("tasks.get", json!({"task_id": "t"})).await, serde_json::Value::Null);
}

#[tokio::test]
async fn pages_of_other_origins_may_not_call() {
    let server = limited().await;
    let request = r#"{"method": "tasks.count", "id": 1}"#;
    let with = async |headers: &[(&str, &str)]| server.send_with("/tasks", request, headers).await;
    let json = ("content-type", "application/json");
    assert_eq!(with(&[json, ("origin", "http://evil.test")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(with(&[json, ("origin", "null")]).await.status, StatusCode::FORBIDDEN);
    let own = format!("http://{}", server.address);
    assert_eq!(with(&[json, ("origin", &own)]).await.status, StatusCode::OK);
    let allowed = with(&[json, ("origin", "http://localhost:3000")]).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(allowed.headers["access-control-allow-origin"], "http://localhost:3000");
    // What a page can send without asking is no request at all.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer = with(&[("content-type", kind)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind}");
        assert!(answer.text.contains("application/json"), "{}", answer.text);
    }
    assert_eq!(with(&[]).await.status, StatusCode::OK);
    assert_eq!(with(&[("content-type", "application/json; charset=utf-8")]).await.status, StatusCode::OK);
}
