//! JSON-RPC over HTTP to a server of ours. Transport only: which methods there are and what they mean is the operation
//! table's business.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apflow_engine::operation::Door;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::errors::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer that is no JSON is shown.
const SHOWN_BYTES: usize = 200;

/// A server.
#[derive(Debug)]
pub struct Client {
    /// Without a slash at the end.
    base: String,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    next_id: AtomicU64,
}

impl Client {
    /// A client of the server at `url`; connects when it is first used.
    pub fn new(url: &str) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/').to_owned();
        let well_formed = base
            .parse::<Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !well_formed {
            let message = format!("The server URL '{url}' is not one: write it like http://127.0.0.1:8000");
            return Err(Failure::usage("invalid_params", message));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        let http = HttpClient::builder(TokioExecutor::new()).build(tls.wrap_connector(connector));
        Ok(Self { base, http, next_id: AtomicU64::new(1) })
    }

    /// Calls a method and waits for its result.
    pub async fn call(&self, door: Door, method: &str, params: Value) -> Result<Value, Failure> {
        let response = self.send(door, method, params).await?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        let answer: Value = serde_json::from_slice(&body).map_err(|_| self.not_ours(status, &body))?;
        self.result(status, answer, &body)
    }

    /// Calls a method and gives the bytes of its answer, which is read to its end and not kept.
    pub async fn size_of(&self, door: Door, method: &str, params: Value) -> Result<u64, Failure> {
        let response = self.send(door, method, params).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            let data = frame.into_data().unwrap_or_default();
            if !status.is_success() {
                return Err(self.not_ours(status, &data));
            }
            bytes += data.len() as u64;
        }
        Ok(bytes)
    }

    async fn send(&self, door: Door, method: &str, params: Value) -> Result<Response<Incoming>, Failure> {
        let path = match door {
            Door::Tasks => "/tasks",
            Door::System => "/system",
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| {
                Failure::usage("invalid_params", format!("The server URL '{}': {error}", self.base))
            })?;
        self.http
            .request(request)
            .await
            .map_err(|error| if error.is_connect() { self.unreachable(&error) } else { self.broken(&error) })
    }

    fn result(&self, status: StatusCode, mut answer: Value, body: &Bytes) -> Result<Value, Failure> {
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(remote(error));
        }
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(self.not_ours(status, body)),
        }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Failure {
        let message = format!(
            "No server at {}: {}. Start one with `apflow serve`, name another with --server URL, or work on the local \
             database with --local",
            self.base,
            innermost(error)
        );
        Failure::missing("server_unreachable", message)
    }

    fn broken(&self, error: &dyn std::error::Error) -> Failure {
        let message = format!(
            "The connection to {} broke: {}. Whether the request was carried out is not known; look with `apflow tasks`",
            self.base,
            innermost(error)
        );
        Failure::missing("connection_lost", message)
    }

    fn not_ours(&self, status: StatusCode, body: &Bytes) -> Failure {
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]);
        let message = format!(
            "{} answered {status} and no JSON-RPC, so it is not an apflow server: {}",
            self.base,
            shown.trim()
        );
        Failure::missing("not_an_apflow_server", message)
    }
}

/// The error object of a JSON-RPC answer; the stable code lies in its data.
fn remote(error: &Value) -> Failure {
    let data = error.get("data");
    let text = |name: &str| data.and_then(|data| data.get(name)).and_then(Value::as_str);
    let message =
        text("detail").or_else(|| error.get("message").and_then(Value::as_str)).unwrap_or("no message");
    match text("code") {
        Some(code) => Failure::remote(code, message),
        None => Failure::remote(&error.get("code").map(Value::to_string).unwrap_or_default(), message),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::errors::Exit;
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_sent() {
        assert!(
            Client::new("http://127.0.0.1:8000/").is_ok_and(|client| client.base == "http://127.0.0.1:8000")
        );
        for wrong in ["127.0.0.1:8000", "ftp://a.test", "http://", ""] {
            assert_eq!(Client::new(wrong).err().unwrap().exit(), Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn the_stable_code_and_the_detail_of_an_error_are_taken() {
        let failure = remote(&json!({"code": -32001, "message": "Task not found",
            "data": {"code": "task_not_found", "detail": "Task 'x' not found"}}));
        let text = format!("{failure:?}");
        assert!(text.contains("task_not_found") && text.contains("Task 'x' not found"), "{text}");
        let bare = format!("{:?}", remote(&json!({"code": -32603, "message": "Internal error"})));
        assert!(bare.contains("-32603") && bare.contains("Internal error"), "{bare}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_the_remedy() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let failure =
            Client::new(&url).unwrap().call(Door::Tasks, "tasks.count", json!({})).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Missing);
        let text = format!("{failure:?}");
        assert!(text.contains(&url) && text.contains("apflow serve") && text.contains("--local"), "{text}");
    }
}
