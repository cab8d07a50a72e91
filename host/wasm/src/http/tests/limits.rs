//! Time, sizes and numbers: every limit is met by a real server that breaks it, and ends in its own typed error.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt, channel::mpsc};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::kit::*;
use crate::http::*;
use crate::limits::Limits;

/// Where nothing has to happen before.
const SOON: Duration = Duration::from_millis(20);
/// Where a busy machine must first come to the point that is waited for.
const LATER: Duration = Duration::from_millis(500);

/// A body of these pieces that then never ends.
fn endless(pieces: &'static [&'static str]) -> Answer {
    let pieces =
        futures::stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(*piece))));
    Response::new(StreamBody::new(pieces.chain(futures::stream::pending())).boxed_unsync())
}

/// A body of these pieces and one trailer.
fn chunked(pieces: &'static [&'static str]) -> Answer {
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    let pieces = futures::stream::iter(pieces).map(|piece| Frame::data(Bytes::from(*piece)));
    let frames = pieces.chain(futures::stream::iter([Frame::trailers(trailers)])).map(Ok::<_, Infallible>);
    Response::builder().header("trailer", "x-sum").body(StreamBody::new(frames).boxed_unsync()).unwrap()
}

async fn never() -> Server {
    Server::start(|_| std::future::pending()).await
}

fn assert_timeout<T: std::fmt::Debug>(result: &Result<T, HttpError>, expected: Phase) {
    let Err(HttpError::Timeout { phase, .. }) = result else { panic!("{result:?}") };
    assert_eq!(*phase, expected);
}

fn total(span: Duration) -> Timeouts {
    Timeouts { total: Some(span), ..Timeouts::default() }
}

async fn once(server: &Server, timeouts: Timeouts) -> Result<OutResponse, HttpError> {
    let request = OutRequest { timeouts, ..request("GET", server.url("/")) };
    client().send(&reaching("127.0.0.1"), request, budget()).await
}

#[tokio::test]
async fn a_server_that_never_answers_meets_the_total_time() {
    let server = never().await;
    let request = OutRequest { timeouts: total(LATER), ..request("GET", server.url("/")) };
    let budget = budget();
    let error = client().send(&reaching("127.0.0.1"), request, Arc::clone(&budget)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("http://{}: not finished within 500 ms", server.address));
    assert_eq!(error.code(), "http_timeout");
    assert_eq!(budget.contacted(), [server.address.to_string()]);
}

#[tokio::test]
async fn the_calls_own_deadline_counts_in_any_case() {
    let server = never().await;
    let limits = HttpLimits::from(&Limits::default());
    let budget = Arc::new(Budget::new(limits, Some(Instant::now() + SOON)));
    let request =
        OutRequest { timeouts: total(Duration::from_secs(3600)), ..request("GET", server.url("/")) };
    assert_timeout(&client().send(&reaching("127.0.0.1"), request, Arc::clone(&budget)).await, Phase::Total);
}

#[tokio::test]
async fn the_total_time_covers_the_body() {
    let server = Server::start(|_| async { endless(&["some"]) }).await;
    let request = OutRequest { timeouts: total(LATER), ..request("GET", server.url("/")) };
    let mut response = client().send(&reaching("127.0.0.1"), request, budget()).await.unwrap();
    assert_eq!(response.body.read(100).await.unwrap().unwrap(), "some");
    assert_timeout(&response.body.read(100).await, Phase::Total);
    assert_eq!(response.body.read(100).await, Ok(None), "closed after an error");
}

#[tokio::test]
async fn each_phase_has_its_own_time() {
    let silent = never().await;
    assert_timeout(
        &once(&silent, Timeouts { first_byte: Some(SOON), ..Timeouts::default() }).await,
        Phase::FirstByte,
    );
    let slow = Server::start(|_| async { endless(&["a"]) }).await;
    let timeouts = Timeouts { between_bytes: Some(LATER), ..Timeouts::default() };
    let mut body = once(&slow, timeouts).await.unwrap().body;
    assert!(body.frame().await.unwrap().is_ok());
    assert_timeout(&body.frame().await.unwrap(), Phase::BetweenBytes);
}

/// Never answers.
#[derive(Debug)]
struct Mute;

#[async_trait]
impl Resolver for Mute {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

/// Knows nothing.
#[derive(Debug)]
struct Ignorant;

#[async_trait]
impl Resolver for Ignorant {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "no such name"))
    }
}

#[tokio::test]
async fn connecting_has_a_time_that_covers_names_and_tls() {
    let grants = reaching("127.0.0.1");
    let options = HttpClientOptions { connect_timeout: SOON, resolver: Arc::new(Mute), ..Default::default() };
    let quick = HttpClient::new(options).unwrap();
    assert_timeout(&get(&quick, &grants, "http://mute.test/").await, Phase::Connect);

    // Accepts, but speaks no TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    assert_timeout(&get(&quick, &grants, &url).await, Phase::Connect);

    let patient = client_with(Arc::new(Mute));
    let timeouts = Timeouts { connect: Some(SOON), ..Timeouts::default() };
    let request = OutRequest { timeouts, ..request("GET", "http://mute.test/") };
    assert_timeout(&patient.send(&grants, request, budget()).await, Phase::Connect);
}

#[tokio::test]
async fn failed_connections_say_why() {
    let grants = reaching("127.0.0.1");
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = get(&client(), &grants, &format!("http://{free}/")).await.unwrap_err();
    assert!(
        matches!(&refused, HttpError::Connect { problem, .. } if problem.contains("refused")),
        "{refused:?}"
    );
    let unknown = get(&client_with(Arc::new(Ignorant)), &grants, "http://gone.test/").await.unwrap_err();
    assert!(
        unknown.to_string().contains("http://gone.test: the name could not be resolved: no such name"),
        "{unknown}"
    );
    let empty = get(&client_with(Scripted::new(&[&[]])), &grants, "http://empty.test/").await.unwrap_err();
    assert!(empty.to_string().contains("no address"), "{empty}");
}

#[tokio::test]
async fn responses_are_capped_whether_or_not_they_say_their_length() {
    let limits = Limits { http_response_bytes: 8, ..Limits::default() };
    let (client, grants) = (client(), reaching("127.0.0.1"));
    let announced = Server::start(|_| async { text(200, "123456789") }).await;
    let error = client.send(&grants, request("GET", announced.url("/")), capped(&limits)).await.unwrap_err();
    assert_eq!(error.code(), "http_too_large");
    assert!(
        error.to_string().contains("response is larger than 8 bytes (limit `http_response_bytes`)"),
        "{error}"
    );
    let head = client.send(&grants, request("HEAD", announced.url("/")), capped(&limits)).await.unwrap();
    assert_eq!(head.headers["content-length"], "9");

    let streamed = Server::start(|_| async { chunked(&["1234", "5678", "9"]) }).await;
    let mut response =
        client.send(&grants, request("GET", streamed.url("/")), capped(&limits)).await.unwrap();
    let error = response.body.read_to_end().await.unwrap_err();
    assert!(
        matches!(error, HttpError::TooLarge { direction: Direction::Response, limit: 8, .. }),
        "{error:?}"
    );

    let enough = Limits { http_response_bytes: 9, ..Limits::default() };
    let mut response =
        client.send(&grants, request("GET", streamed.url("/")), capped(&enough)).await.unwrap();
    assert_eq!(response.body.read_to_end().await.unwrap(), "123456789");
}

#[tokio::test]
async fn request_bodies_are_capped() {
    let server = Server::start(|request: Request<Incoming>| async move {
        let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        text(200, length.to_string())
    })
    .await;
    let limits = Limits { http_request_bytes: 4, ..Limits::default() };
    let (client, grants) = (client(), reaching("127.0.0.1"));
    let post = |body: &'static str| OutRequest { body: body.into(), ..request("POST", server.url("/")) };
    let budget = capped(&limits);
    assert_eq!(client.send(&grants, post("1234"), Arc::clone(&budget)).await.unwrap().status, 200);
    assert_eq!(budget.bytes_sent(), 4);
    let error = client.send(&grants, post("12345"), Arc::clone(&budget)).await.unwrap_err();
    assert!(
        matches!(error, HttpError::TooLarge { direction: Direction::Request, limit: 4, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_call_has_a_number_of_requests_and_redirects_count() {
    let server = Server::start(|request: Request<Incoming>| async move {
        if request.uri().path() == "/0" { redirect(302, "/1") } else { text(200, "there") }
    })
    .await;
    let budget = capped(&Limits { http_requests: 2, ..Limits::default() });
    let (client, grants) = (client(), reaching("127.0.0.1"));
    let follow = || OutRequest { max_redirects: 3, ..request("GET", server.url("/0")) };
    assert_eq!(client.send(&grants, follow(), Arc::clone(&budget)).await.unwrap().status, 200);
    let error = client.send(&grants, follow(), Arc::clone(&budget)).await.unwrap_err();
    assert_eq!((error.code(), budget.requests()), ("http_requests_limit", 2));
}

#[tokio::test]
async fn bodies_are_read_piece_by_piece_with_trailers_at_the_end() {
    let server = Server::start(|_| async { chunked(&["hello", " ", "world"]) }).await;
    let request = OutRequest::parse("GET", server.url("/"), [("te", "trailers")]).unwrap();
    let mut response = client().send(&reaching("127.0.0.1"), request, budget()).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = response.body.read(4).await.unwrap() {
        assert!((1..=4).contains(&piece.len()));
        pieces.extend_from_slice(&piece);
    }
    assert_eq!(pieces, b"hello world");
    assert_eq!(response.body.trailers()["x-sum"], "7");
}

#[tokio::test]
async fn a_streamed_request_is_sent_as_it_is_written() {
    let server = Server::start(|request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        text(201, format!("{} {}", parts.method, String::from_utf8_lossy(&body)))
    })
    .await;
    let (mut writer, reader) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(0);
    let request =
        OutRequest { max_redirects: 3, ..streamed("POST", server.url("/"), StreamBody::new(reader)) };
    let writing = tokio::spawn(async move {
        for piece in ["a", "b", "c"] {
            writer.send(Ok(Frame::data(Bytes::from(piece)))).await.unwrap();
        }
    });
    let (client, grants, budget) = (client(), reaching("127.0.0.1"), budget());
    let response = client.send(&grants, request, Arc::clone(&budget)).await.unwrap();
    assert_eq!(response.status, 201);
    assert_eq!(response.body.collect().await.unwrap().to_bytes(), "POST abc");
    assert_eq!(budget.bytes_sent(), 3);
    writing.await.unwrap();
}

#[tokio::test]
async fn the_writer_of_a_refused_request_may_finish() {
    for (grants, url) in [
        (allowed(""), "http://a.test/"),
        (allowed("http = [\"*\"]"), "http://127.0.0.1:9/"),
        (allowed("http = [\"*\"]"), "http://u:p@a.test/"),
    ] {
        let (mut writer, reader) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(0);
        let request = streamed("POST", url, StreamBody::new(reader));
        let result = client().send(&grants, request, budget()).await;
        assert!(result.is_err());
        for _ in 0..10 {
            writer.send(Ok(Frame::data(Bytes::from_static(b"more")))).await.unwrap();
        }
    }
}

#[tokio::test]
async fn dropping_a_request_ends_it_at_the_server() {
    let (started, has_started) = oneshot::channel::<()>();
    let (alive, ended) = oneshot::channel::<()>();
    let once = Arc::new(std::sync::Mutex::new(Some((started, alive))));
    let server = Server::start(move |_| {
        let (started, alive) = once.lock().unwrap().take().unwrap();
        async move {
            started.send(()).unwrap();
            let _alive = alive;
            std::future::pending().await
        }
    })
    .await;
    let (client, grants, budget) = (client(), reaching("127.0.0.1"), budget());
    tokio::select! {
        response = client.send(&grants, request("GET", server.url("/")), Arc::clone(&budget)) => panic!("{response:?}"),
        started = has_started => started.unwrap(),
    }
    // The sender is dropped with the server's side of the exchange.
    assert!(ended.await.is_err());
}
