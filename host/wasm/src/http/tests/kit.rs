//! What the tests of this module share: real servers on loopback, scripted resolvers, grants and budgets.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::super::*;
use crate::grants::{Capabilities, Grants};
use crate::limits::Limits;

pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A server on a free port of 127.0.0.1; ends with the test.
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What a server speaks.
#[derive(Clone)]
pub enum Speaks {
    Http1,
    Http2,
    Tls(TlsAcceptor),
}

impl Server {
    pub async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self::speaking(Speaks::Http1, answer).await
    }

    pub async fn speaking<F, Fut>(speaks: Speaks, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (speaks, answer) = (speaks.clone(), answer.clone());
                tokio::spawn(async move {
                    match speaks {
                        Speaks::Http1 => serve(stream, false, answer).await,
                        Speaks::Http2 => serve(stream, true, answer).await,
                        Speaks::Tls(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            serve(stream, h2, answer).await;
                        }
                    }
                });
            }
        });
        Self { address, accepted, task }
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F, Fut>(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, h2: bool, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // A client that goes away is not the server's failure.
    if h2 {
        let _gone =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// A whole answer.
pub fn text(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).body(Full::new(body.into()).boxed_unsync()).unwrap()
}

/// A redirect.
pub fn redirect(status: u16, location: &str) -> Answer {
    let mut answer = text(status, "elsewhere");
    answer.headers_mut().insert("location", location.parse().unwrap());
    answer
}

/// A server that answers `hello`.
pub async fn hello() -> Server {
    Server::start(|_| async { text(200, "hello") }).await
}

/// Answers in turn, the last one for ever.
#[derive(Debug)]
pub struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Scripted {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(next.unwrap())
    }
}

pub fn client() -> HttpClient {
    HttpClient::new(HttpClientOptions::default()).unwrap()
}

pub fn client_with(resolver: Arc<dyn Resolver>) -> HttpClient {
    HttpClient::new(HttpClientOptions { resolver, ..HttpClientOptions::default() }).unwrap()
}

/// A plugin that asks for everything and is allowed what `toml` says.
pub fn allowed(toml: &str) -> Grants {
    let all: Capabilities = toml::from_str("http = [\"*\"]\nprivate_network = [\"*\"]").unwrap();
    Grants::new("probe", all, toml::from_str(toml).unwrap())
}

/// All of HTTP, and these addresses that are not public.
pub fn reaching(private: &str) -> Grants {
    allowed(&format!("http = [\"*\"]\nprivate_network = [\"{private}\"]"))
}

pub fn budget() -> Arc<Budget> {
    Arc::new(Budget::new(HttpLimits::from(&Limits::default()), None))
}

pub fn capped(limits: &Limits) -> Arc<Budget> {
    Arc::new(Budget::new(HttpLimits::from(limits), None))
}

/// A request whose body somebody is still writing.
pub fn streamed<B>(method: &str, url: impl Into<String>, body: B) -> OutRequest
where
    B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    OutRequest { body: RequestBody::streamed(body), ..request(method, url) }
}

pub fn request(method: &str, url: impl Into<String>) -> OutRequest {
    OutRequest::parse(method, url, []).unwrap()
}

/// Status and body of a GET that follows five redirects.
pub async fn get(client: &HttpClient, grants: &Grants, url: &str) -> Result<(u16, String), HttpError> {
    let request = OutRequest { max_redirects: 5, ..request("GET", url) };
    let mut response = client.send(grants, request, budget()).await?;
    let body = response.body.read_to_end().await?;
    Ok((response.status.as_u16(), String::from_utf8(body.to_vec()).unwrap()))
}

/// A prohibited address, said in the words that operators search for.
#[track_caller]
pub fn assert_prohibited<T: std::fmt::Debug>(result: &Result<T, HttpError>, about: &str) {
    let Err(HttpError::ProhibitedAddress(denied)) = result else { panic!("{about}: {result:?}") };
    assert!(denied.to_string().contains("private/reserved address"), "{about}: {denied}");
}
