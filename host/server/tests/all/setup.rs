//! A server on a loopback port, and a client that speaks to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::SystemClock;
use apflow_core::plugin::{Catalog, Executor, FixedPlugins, Plugins};
use apflow_engine::{Engine, EngineOptions};
use apflow_server::{ServerOptions, router, serve};
use apflow_testkit::mem::MemStore;
use apflow_testkit::scripted::{ScriptedExecutor, catalog_of};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    pub engine: Engine,
    pub address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// A server with these executors.
pub async fn start(executor: ScriptedExecutor) -> Server {
    Server::new(catalog_of([Arc::new(executor) as Arc<dyn Executor>]), ServerOptions::default()).await
}

impl Server {
    pub async fn new(catalog: Arc<Catalog>, options: ServerOptions) -> Self {
        Self::with_plugins(Arc::new(FixedPlugins(catalog)), options, EngineOptions::default()).await
    }

    pub async fn with_plugins(
        plugins: Arc<dyn Plugins>,
        options: ServerOptions,
        engine: EngineOptions,
    ) -> Self {
        let store = Arc::new(MemStore::new());
        let engine = Engine::start(store, plugins, Arc::new(SystemClock), engine).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let doors = router(engine.clone(), options);
        let shutdown = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(listener, doors, shutdown));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { engine, address, client, stop: Some(stop), serving }
    }

    /// Sends a body as it is.
    pub async fn send(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send_with(path, body, &[("content-type", "application/json")]).await
    }

    pub async fn send_with(&self, path: &str, body: impl Into<Bytes>, headers: &[(&str, &str)]) -> Answer {
        Answer::read(self.open("POST", path, body, headers).await).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::read(self.open("GET", path, "", &[]).await).await
    }

    /// The response with its body still to come.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        tokio::time::timeout(PATIENCE, self.client.request(request)).await.expect("no answer").unwrap()
    }

    /// Calls an operation; the door follows from its name.
    pub async fn call(&self, method: &str, params: Value) -> Answer {
        let path = if method.starts_with("system.") { "/system" } else { "/tasks" };
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.send(path, request.to_string()).await
    }

    /// The result of an operation that succeeds.
    pub async fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params).await;
        assert_eq!(answer.status, StatusCode::OK, "{method}: {}", answer.text);
        let mut body = answer.json();
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!(1)));
        assert!(body.get("error").is_none(), "{body}");
        body["result"].take()
    }

    /// Status and error of an operation that is refused.
    pub async fn refused(&self, method: &str, params: Value) -> (u16, i64, Value) {
        let answer = self.call(method, params).await;
        let mut body = answer.json();
        assert!(body.get("result").is_none(), "{method} was not refused: {body}");
        let error = body["error"].take();
        (answer.status.as_u16(), error["code"].as_i64().unwrap(), error["data"].clone())
    }

    /// Opens a stream of events.
    pub async fn listen(&self, path: &str, headers: &[(&str, &str)]) -> Events {
        Events::new(self.open("GET", path, "", headers).await)
    }

    /// Executes with `use_streaming`.
    pub async fn stream(&self, mut params: Value) -> Events {
        params["use_streaming"] = json!(true);
        let request = json!({"jsonrpc": "2.0", "id": "s", "method": "tasks.execute", "params": params});
        let headers = [("content-type", "application/json")];
        Events::new(self.open("POST", "/tasks", request.to_string(), &headers).await)
    }

    pub async fn status_of(&self, id: &str) -> String {
        self.result("tasks.get", json!({"task_id": id})).await["status"].as_str().unwrap().to_owned()
    }

    /// Asks the server to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.ask_to_stop();
        tokio::time::timeout(PATIENCE, &mut self.serving).await.expect("it does not stop").unwrap().unwrap();
    }

    pub fn ask_to_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body =
            tokio::time::timeout(PATIENCE, body.collect()).await.expect("the body does not end").unwrap();
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        Self { status: head.status, headers: head.headers, text }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: Option<i64>,
    pub event: Option<String>,
    pub data: Value,
}

/// A stream of server-sent events.
pub struct Events {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    buffer: String,
    /// Comments that came so far.
    pub comments: usize,
}

impl Events {
    fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body, buffer: String::new(), comments: 0 }
    }

    /// The next event; none at the end.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(message) = self.read(&block) {
                    return Some(message);
                }
            }
            self.fill().await?;
        }
    }

    /// Waits for the next comment, over events if need be.
    pub async fn comment(&mut self) {
        while self.comments == 0 {
            self.fill().await.expect("the stream has ended");
            self.comments +=
                self.buffer.matches(":keepalive").count() + self.buffer.matches(": keepalive").count();
        }
    }

    /// All events to the end.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push(message);
        }
        all
    }

    async fn fill(&mut self) -> Option<()> {
        let frame =
            tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("nothing comes any more")?.ok()?;
        if let Ok(data) = frame.into_data() {
            self.buffer.push_str(std::str::from_utf8(&data).unwrap());
        }
        Some(())
    }

    fn read(&mut self, block: &str) -> Option<Message> {
        let mut message = Message { id: None, event: None, data: Value::Null };
        let mut data = Vec::new();
        for line in block.lines() {
            match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
                Some(("id", id)) => message.id = Some(id.parse().unwrap()),
                Some(("event", name)) => message.event = Some(name.to_owned()),
                Some(("data", text)) => data.push(text.to_owned()),
                Some(("", _)) => self.comments += 1,
                other => panic!("not an event: {other:?}"),
            }
        }
        if data.is_empty() {
            return None;
        }
        message.data = serde_json::from_str(&data.join("\n")).unwrap();
        Some(message)
    }
}
