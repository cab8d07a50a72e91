//! Probes, figures, addresses that do not exist, and the end of the server.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::event::Event;
use apflow_core::plugin::{Catalog, Collector, Executor, FixedPlugins};
use apflow_engine::EngineOptions;
use apflow_server::ServerOptions;
use apflow_testkit::scripted::{Answer, Gate, ScriptedExecutor, catalog_of};
use apflow_testkit::trees::outline;
use http::StatusCode;
use serde_json::json;

use crate::setup::{PATIENCE, Server, start};

#[tokio::test]
async fn probes_and_the_index_answer() {
    let server = start(ScriptedExecutor::new()).await;
    assert_eq!(server.get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(server.get("/readyz").await.json(), json!({"status": "ready"}));
    let index = server.get("/").await.json();
    assert_eq!(index["name"], "apflow");
    for door in index["doors"].as_array().unwrap().iter().filter(|door| door["method"] == "GET") {
        let path = door["path"].as_str().unwrap();
        let response = server.open("GET", path, "", &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn wrong_addresses_and_methods_say_what_there_is() {
    let server = start(ScriptedExecutor::new()).await;
    let answer = server.get("/nowhere").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let data = &answer.json()["error"]["data"];
    assert!(data["detail"].as_str().unwrap().contains("/nowhere") && data["doors"].is_array());
    let answer = server.get("/tasks").await;
    assert_eq!(
        (answer.status, answer.headers["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
}

#[derive(Debug)]
struct Figures(Result<&'static str, ()>);

#[async_trait::async_trait]
impl Collector for Figures {
    fn name(&self) -> &str {
        "figures"
    }

    async fn collect(&self, _: Vec<Event>) -> Result<(), TaskError> {
        Ok(())
    }

    async fn render(&self) -> Result<String, TaskError> {
        self.0.map(str::to_owned).map_err(|()| TaskError::new(FailureKind::Plugin, "trap", "it trapped"))
    }
}

#[tokio::test]
async fn metrics_are_those_of_the_collectors_and_a_broken_one_is_named() {
    let with = async |figures| {
        let catalog = Catalog { collectors: vec![Arc::new(Figures(figures))], ..Catalog::default() };
        Server::new(Arc::new(catalog), ServerOptions::default()).await.get("/metrics").await
    };
    let answer = with(Ok("runs_total 3")).await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.text.starts_with("runs_total 3\n"), "{}", answer.text);
    assert!(answer.text.contains("\napflow_server_open_streams 0\n"), "{}", answer.text);
    let broken = with(Err(())).await;
    assert_eq!(broken.status, StatusCode::BAD_GATEWAY);
    assert!(broken.text.contains("Collector 'figures'"), "{}", broken.text);
}

#[tokio::test]
async fn a_stopping_server_ends_streams_finishes_requests_and_accepts_no_more() {
    let gate = Gate::new();
    let mut server = start(ScriptedExecutor::new().otherwise(Answer::Echo.behind(&gate))).await;
    let mut stream = server.stream(json!({"tasks": outline("streamed")})).await;
    let mut log = server.listen("/events?after=0", &[]).await;
    let request =
        json!({"id": 1, "method": "tasks.execute", "params": {"tasks": outline("awaited")}}).to_string();
    let headers = [("content-type", "application/json")];
    let (answer, ()) = tokio::join!(server.open("POST", "/tasks", request, &headers), async {
        gate.arrivals(2).await;
        gate.open();
    });
    assert_eq!(answer.status(), StatusCode::OK);
    // Both streams are open; the log never ends by itself.
    assert!(stream.next().await.is_some() && log.next().await.is_some());
    server.ask_to_stop();
    let rest = log.rest().await;
    let last = rest.last().unwrap();
    assert_eq!(
        (last.event.as_deref(), &last.data["error"]["data"]["code"]),
        (Some("error"), &json!("shutting_down"))
    );
    stream.rest().await;
    let address = server.address;
    tokio::time::timeout(PATIENCE, async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_waiting_request_hears_that_the_engine_stops() {
    let gate = Gate::new();
    let executor = ScriptedExecutor::new().otherwise(Answer::Echo.behind(&gate));
    let plugins = FixedPlugins(catalog_of([Arc::new(executor) as Arc<dyn Executor>]));
    let options = EngineOptions { stop_grace: Duration::from_millis(1), ..EngineOptions::default() };
    let server = Server::with_plugins(Arc::new(plugins), ServerOptions::default(), options).await;
    let engine = server.engine.clone();
    let (refused, ()) =
        tokio::join!(server.refused("tasks.execute", json!({"tasks": outline("r")})), async {
            gate.arrivals(1).await;
            engine.stop().await;
        });
    assert_eq!((refused.0, refused.1), (503, -32108));
    server.stop().await;
}
