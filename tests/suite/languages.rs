//! The SDKs have one surface: an executor in each language uses every part of it in a real host, and all give the same
//! answers. The plugins are `tests/plugins/surface_*`.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{Server, Setup, hostile};

const LANGUAGES: [&str; 5] = ["rust", "javascript", "typescript", "python", "c"];

/// Gives back what it was sent, as JSON.
async fn mirror() -> String {
    async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (color, authorization) = (header("x-color"), header("authorization"));
        let method = request.method().to_string();
        let body = request.into_body().collect().await?.to_bytes();
        let sent = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let told = json!({"method": method, "color": color, "authorization": authorization, "sent": sent});
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(Full::new(told.to_string().into())).unwrap())
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    url
}

/// Reads to the end and writes it back in capitals; gives the port.
async fn shouter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            stream.write_all(&heard.to_ascii_uppercase()).await.unwrap();
        }
    });
    port
}

/// A host that allows all languages' plugins what they ask for, but no requests to `forbidden`.
async fn host(url: &str) -> Server {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let mut config = String::new();
    for language in LANGUAGES {
        let folder = hostile().join(format!("surface_{language}"));
        assert!(folder.is_dir(), "surface_{language} is not built; run `cargo xtask plugins`");
        config += &format!(
            r#"
[plugins.surface_{language}.grants]
http = ["http://127.0.0.1"]
private_network = ["127.0.0.1"]
process = ["cat", "false"]
net = ["127.0.0.1:*"]
system = true
secrets = [{{ name = "token", hosts = ["http://{authority}"], from = "env:SURFACE_TOKEN" }}]
state = true
tasks = true
"#
        );
    }
    let env = vec![("SURFACE_TOKEN", "open sesame".to_owned())];
    Server::start(Setup { config, env, ..Setup::default() }).await
}

/// Runs one task in every language; gives language and task.
async fn everywhere(server: &Server, action: &str, more: Value) -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for language in LANGUAGES {
        let id = format!("{action}-{language}");
        let mut inputs = more.clone();
        inputs["do"] = json!(action);
        let executor = format!("surface_{language}");
        let params = json!({"executor_id": executor, "depth": 2});
        let task = json!({"name": action, "id": id, "params": params, "inputs": inputs, "retry": {"max_attempts": 3, "base_ms": 1}});
        server.run(json!([task])).await;
        all.push((language, server.task(&id).await));
    }
    all
}

#[tokio::test]
async fn every_language_gets_the_same_from_every_capability() {
    let (url, port) = (mirror().await, shouter().await);
    let server = host(&url).await;
    let empty = json!({"method": "GET", "color": null, "authorization": null, "sent": null});
    let sent = json!({"method": "POST", "color": "blue", "authorization": null, "sent": {"n": 1}});
    let with_secret =
        json!({"method": "GET", "color": null, "authorization": "Bearer PLACEHOLDER", "sent": null});
    for (action, inputs, expected) in [
        (
            "http",
            json!({ "url": url }),
            json!({"status": 200, "ok": true, "kind": "application/json", "body": sent}),
        ),
        ("stream", json!({ "url": url }), json!({"status": 200, "body": empty.to_string(), "trailers": 0})),
        (
            "process",
            json!({}),
            json!({"output": "äb", "taken": 4, "said": "talk", "code": 0, "failed": 1, "ok": [true, false]}),
        ),
        ("net", json!({"host": "127.0.0.1", "port": port}), json!({"said": "PING"})),
        ("system", json!({}), json!({"threads": true, "memory": true, "disks": true})),
        ("secret", json!({ "url": url }), json!({"hidden": true, "answer": with_secret})),
        (
            "state",
            json!({}),
            json!({
                "first": {"n": 1}, "wrong": false, "right": true, "value": {"n": 3}, "gone": true, "created": true,
            }),
        ),
        ("tasks", json!({}), json!({"status": "completed", "result": {"n": 7}, "again": true})),
        ("checkpoint", json!({}), json!({"attempt": 2, "seen": {"page": 3}})),
    ] {
        for (language, task) in everywhere(&server, action, inputs).await {
            let mut result = task["result"].clone();
            // The server says back what it was sent, and the plugin hears the placeholder.
            if let Some(echo) = result.pointer_mut("/answer/authorization")
                && echo.as_str().is_some_and(|text| text.starts_with("Bearer apflow-secret-token-"))
            {
                *echo = json!("Bearer PLACEHOLDER");
            }
            assert_eq!(result, expected, "{action} in {language}: {task}");
        }
    }
    for (language, task) in everywhere(&server, "context", json!({})).await {
        let expected = json!({"executor": format!("surface_{language}"), "attempt": 1, "params": {"depth": 2}, "named": true});
        assert_eq!(task["result"], expected, "{language}: {task}");
    }
    assert_log_lines(&server.path("server.log"));
}

/// Every language has written its line.
fn assert_log_lines(log: &Path) {
    let log = std::fs::read_to_string(log).unwrap();
    for language in LANGUAGES {
        let said = log.lines().filter(|line| line.contains("surface speaks"));
        assert!(
            said.clone().any(|line| line.contains(&format!("surface_{language}"))),
            "{language} logged nothing:\n{log}"
        );
    }
}

#[tokio::test]
async fn every_language_fails_in_the_same_way() {
    let url = mirror().await;
    let server = host(&url).await;
    let denied = json!({"url": "http://denied.invalid/"});
    for (action, inputs, code, kind) in [
        ("bad_input", json!({}), "negative", "bad_input"),
        ("permanent", json!({}), "over_limit", "permanent"),
        ("denied", denied, "http_denied", "permanent"),
    ] {
        for (language, task) in everywhere(&server, action, inputs).await {
            let info = &task["error_info"];
            assert_eq!((&info["code"], &info["kind"]), (&json!(code), &json!(kind)), "{language}: {task}");
            if action == "bad_input" {
                assert!(task["error"].as_str().unwrap().contains("give 0 or more"), "{language}: {task}");
                assert_eq!(info["pointer"], "/amount", "{language}: {task}");
            }
        }
    }
    for (language, task) in everywhere(&server, "cancelled", json!({})).await {
        // Nobody has asked it to, so the task has failed, and says how.
        let info = &task["error_info"];
        assert_eq!(
            (&info["code"], &info["kind"]),
            (&json!("cancelled"), &json!("cancelled")),
            "{language}: {task}"
        );
    }
    for (language, task) in everywhere(&server, "mistake", json!({})).await {
        // Rust has no such mistake: its one is a panic, and that is a trap.
        let code = if language == "rust" { "invalid_input" } else { "plugin_error" };
        assert_eq!(task["error_info"]["code"], code, "{language}: {task}");
    }
}
