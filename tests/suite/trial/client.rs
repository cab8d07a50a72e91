//! JSON-RPC and event streams over a connection that may break at any moment.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;

/// No answer takes this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a host answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The result.
    Done(Value),
    /// It refused.
    Refused {
        /// The stable code.
        code: String,
        /// The text for people.
        detail: String,
    },
}

/// A client of any host.
#[derive(Debug, Clone)]
pub struct Client(Http<HttpConnector, Full<Bytes>>);

impl Default for Client {
    fn default() -> Self {
        Self(Http::builder(TokioExecutor::new()).build_http())
    }
}

impl Client {
    /// Calls a `tasks.*` or `events.*` method.
    ///
    /// # Errors
    /// If no whole answer came: then nobody knows whether the host has done it.
    pub async fn call(&self, url: &str, method: &str, params: Value) -> Result<Reply> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = Request::post(format!("{url}/tasks"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let answer = async {
            let response = self.0.request(request).await?;
            anyhow::Ok(response.into_body().collect().await?.to_bytes())
        };
        let bytes = timeout(PATIENCE, answer).await.with_context(|| format!("no answer to {method}"))??;
        let mut answer: Value = serde_json::from_slice(&bytes)?;
        let Some(error) = answer.get("error") else { return Ok(Reply::Done(answer["result"].take())) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Reply::Refused { code: text(&error["data"]["code"]), detail: text(&error["data"]["detail"]) })
    }

    /// Opens the whole log after a position, which is told in the query or in the header of a client that reads on.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn log(&self, url: &str, after: i64, by_header: bool) -> Result<EventStream> {
        let request = match by_header {
            false => Request::get(format!("{url}/events?after={after}")),
            true => Request::get(format!("{url}/events")).header("last-event-id", after.to_string()),
        };
        let request = request.body(Full::new(Bytes::new()))?;
        let response = timeout(PATIENCE, self.0.request(request)).await.context("no stream")??;
        if response.status() != 200 {
            bail!("the stream was refused with {}", response.status());
        }
        Ok(EventStream { body: response.into_body(), bytes: Vec::new() })
    }
}

/// A stream of server-sent events.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    bytes: Vec<u8>,
}

impl EventStream {
    /// The `id` and the data of the next event of the log.
    ///
    /// # Errors
    /// If the stream has ended, or the host says that the log cannot be read.
    pub async fn next(&mut self) -> Result<(i64, Value)> {
        loop {
            while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
                let block = String::from_utf8(block)?;
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                    return Ok((id.parse()?, serde_json::from_str(data)?));
                }
                if let Some(data) = field("data:") {
                    bail!("the stream broke off: {data}");
                }
            }
            let frame = self.body.frame().await.context("the stream has ended")??;
            self.bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
}
