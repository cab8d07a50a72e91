//! The client against real servers on loopback: what may be sent where. Limits and TLS have files of their own. No
//! test contacts anything but loopback: other addresses are only ever refused.

mod kit;
mod limits;
mod tls;

use std::sync::{Arc, Mutex};

use http::Request;
use hyper::body::Incoming;

use self::kit::*;
use super::*;
use crate::grants::Grants;

#[tokio::test]
async fn a_private_grant_opens_exactly_its_address() {
    let (server, other) = (hello().await, hello().await);
    let client = client();
    let grants = reaching(&server.address.to_string());
    let budget = budget();
    let mut response =
        client.send(&grants, request("GET", server.url("/a?b")), Arc::clone(&budget)).await.unwrap();
    assert_eq!(response.body.read_to_end().await.unwrap(), "hello");
    assert_eq!((response.status.as_u16(), response.url.path()), (200, "/a"));
    assert_eq!(budget.contacted(), [server.address.to_string()]);
    assert_eq!((budget.requests(), budget.bytes_received()), (1, 5));

    assert_prohibited(
        &client.send(&grants, request("GET", other.url("/")), Arc::clone(&budget)).await,
        "another port",
    );
    assert_eq!((other.accepted(), budget.contacted().len()), (0, 1));
}

#[tokio::test]
async fn loopback_is_refused_in_every_spelling() {
    let server = hello().await;
    let port = server.address.port();
    let client = client();
    let public = allowed("http = [\"*\"]");
    let granted = reaching("127.0.0.0/8");
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7F.0.0.0x1",
        "0177.0.0.1",
        "017700000001",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "ⓛocalhost",
    ] {
        let url = format!("http://{host}:{port}/");
        assert_prohibited(&get(&client, &public, &url).await, host);
        assert_eq!(server.accepted(), 0, "{host}");
    }
    for host in ["[::1]", "[::]", "0.0.0.0", "0", "[::127.0.0.1]", "127.255.255.254", "[64:ff9b::127.0.0.1]"]
    {
        assert_prohibited(&get(&client, &public, &format!("http://{host}:{port}/")).await, host);
    }
    assert_eq!(server.accepted(), 0);
    for host in ["2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"] {
        assert_eq!(get(&client, &granted, &format!("http://{host}:{port}/")).await.unwrap().0, 200, "{host}");
    }
}

#[tokio::test]
async fn names_are_judged_by_every_address_they_lead_to() {
    for address in [
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "::ffff:10.0.0.1",
        "fd00:ec2::254",
        "64:ff9b::a00:1",
    ] {
        let client = client_with(Scripted::new(&[&[address]]));
        assert_prohibited(&get(&client, &allowed("http = [\"*\"]"), "http://innocent.test/").await, address);
    }
    let server = hello().await;
    let client = client_with(Scripted::new(&[&["10.0.0.1", "127.0.0.1"]]));
    let url = format!("http://mixed.test:{}/", server.address.port());
    assert_eq!(get(&client, &reaching("127.0.0.1"), &url).await.unwrap().1, "hello");
}

#[tokio::test]
async fn a_changing_answer_opens_nothing() {
    let server = Server::start(|_| async {
        let mut answer = text(200, "hello");
        answer.headers_mut().insert("connection", "close".parse().unwrap());
        answer
    })
    .await;
    let resolver = Scripted::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let client = client_with(Arc::clone(&resolver) as Arc<dyn Resolver>);
    let url = format!("http://rebind.test:{}/", server.address.port());
    assert_eq!(get(&client, &reaching("127.0.0.1"), &url).await.unwrap().0, 200);
    assert_eq!(resolver.asked(), 1, "the address that was judged is the one connected to");
    assert_prohibited(&get(&client, &reaching("127.0.0.1"), &url).await, "second answer");
    assert_eq!(resolver.asked(), 2);
}

#[tokio::test]
async fn redirects_are_judged_like_first_requests() {
    let inner = hello().await;
    let locations = [
        inner.url("/secret"),
        "http://10.0.0.1/".into(),
        "http://169.254.169.254/latest/meta-data".into(),
        "http://[::1]/".into(),
        format!("//localhost:{}/", inner.address.port()),
    ];
    for location in locations {
        let to = location.clone();
        let outer = Server::start(move |_| std::future::ready(redirect(302, &to))).await;
        let result = get(&client(), &reaching(&outer.address.to_string()), &outer.url("/")).await;
        let text = format!("{}", result.as_ref().unwrap_err());
        assert!(text.contains(&format!("redirected from http://{}", outer.address)), "{text}");
        assert_prohibited(&result, &location);
    }
    assert_eq!(inner.accepted(), 0);

    let outer = Server::start(|_| async { redirect(307, "http://other.test/") }).await;
    let host = outer.address;
    let only = allowed(&format!("http = [\"http://{host}\"]\nprivate_network = [\"{host}\"]"));
    let error = get(&client(), &only, &outer.url("/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Denied(_)), "{error:?}");
    assert!(error.to_string().contains("send GET http://other.test (redirected from"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_up_to_their_number() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = Server::start(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        log.lock().unwrap().push(format!("{} {path}", request.method()));
        async move {
            match path.as_str() {
                "/0" => redirect(302, "/1"),
                "/1" => redirect(307, "2"),
                _ => text(200, "there"),
            }
        }
    })
    .await;
    let (client, grants) = (client(), reaching("127.0.0.1"));
    let post =
        |max_redirects| OutRequest { body: "x".into(), max_redirects, ..request("POST", server.url("/0")) };

    let response = client.send(&grants, post(2), budget()).await.unwrap();
    assert_eq!((response.status.as_u16(), response.url.path()), (200, "/2"));
    assert_eq!(*seen.lock().unwrap(), ["POST /0", "GET /1", "GET /2"]);

    let error = client.send(&grants, post(1), budget()).await.unwrap_err();
    assert_eq!(error.code(), "http_redirects_limit");
    let response = client.send(&grants, post(0), budget()).await.unwrap();
    assert_eq!(
        (response.status.as_u16(), &response.headers["location"]),
        (302, &"/1".parse::<http::HeaderValue>().unwrap())
    );
    // With its body read, a redirect leaves the connection to the next request.
    assert!(server.accepted() <= 2, "{}", server.accepted());
}

#[tokio::test]
async fn connections_are_kept_and_shared_only_under_an_equal_policy() {
    let server = hello().await;
    let url = server.url("/");
    let client = client();
    let address = server.address.to_string();
    let first = reaching(&address);
    for _ in 0..5 {
        assert_eq!(get(&client, &first, &url).await.unwrap().0, 200);
    }
    assert_eq!(server.accepted(), 1);

    let same = Grants::new("another", first.requested().clone(), first.allowed().clone());
    assert_eq!(get(&client, &same, &url).await.unwrap().0, 200);
    assert_eq!(server.accepted(), 1);

    assert_prohibited(
        &get(&client, &allowed("http = [\"*\"]"), &url).await,
        "no grant, but an open connection",
    );
    assert_eq!(get(&client, &reaching("127.0.0.0/8"), &url).await.unwrap().0, 200);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn methods_ports_and_hosts_without_grant_are_refused_before_anything_is_sent() {
    let server = hello().await;
    let port = server.address.port();
    let client = client_with(Scripted::new(&[&["127.0.0.1"]]));
    let rule = format!(
        "http = [{{ pattern = \"http://*.a.test:{port}\", methods = [\"GET\"] }}]\nprivate_network = [\"*\"]"
    );
    let grants = allowed(&rule);
    let table = [
        ("GET", format!("http://b.a.test:{port}/"), true),
        ("POST", format!("http://b.a.test:{port}/"), false),
        ("GET", "http://b.a.test/".into(), false),
        ("GET", format!("https://b.a.test:{port}/"), false),
        ("GET", format!("http://a.test:{port}/"), false),
    ];
    for (method, url, expected) in table {
        let result = client.send(&grants, request(method, url.clone()), budget()).await;
        match (expected, result) {
            (true, Ok(_)) => {}
            (false, Err(error @ HttpError::Denied(_))) => {
                assert!(error.to_string().contains(method) && error.code() == "http_denied", "{error}");
            }
            (_, other) => panic!("{method} {url}: {other:?}"),
        }
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn malformed_requests_are_refused_by_name() {
    let (client, grants) = (client(), allowed("http = [\"*\"]"));
    for (method, url, part) in [
        ("CONNECT", "http://a.test:443/", "CONNECT"),
        ("GET", "a.test/x", "URL"),
        ("GET", "gopher://a.test/", "`gopher`"),
        ("GET", "http://user:pass@a.test/", "`authorization`"),
    ] {
        let error = client.send(&grants, request(method, url), budget()).await.unwrap_err();
        assert!(matches!(&error, HttpError::BadRequest(text) if text.contains(part)), "{error:?}");
        assert!(!error.to_string().contains("pass@"), "{error}");
    }
    assert!(OutRequest::parse("G T", "http://a.test/", []).is_err());
    assert!(
        OutRequest::parse("GET", "http://a.test/", [("Host", "b")])
            .unwrap_err()
            .to_string()
            .contains("`host`")
    );
}

#[tokio::test]
async fn servers_see_the_request_as_it_was_given() {
    let server = Server::start(|request: Request<Incoming>| async move {
        let headers = text_pairs(request.headers());
        text(200, format!("{} {} {headers:?}", request.method(), request.uri()))
    })
    .await;
    let mut request = OutRequest::parse("PURGE", server.url("/a%20b?c=d#e"), [("X-One", "1")]).unwrap();
    request.body = "body".into();
    let mut response = client().send(&reaching("127.0.0.1"), request, budget()).await.unwrap();
    let body = String::from_utf8(response.body.read_to_end().await.unwrap().to_vec()).unwrap();
    assert!(body.starts_with("PURGE /a%20b?c=d "), "{body}");
    for pair in [("x-one", "1"), ("content-length", "4"), ("host", &server.address.to_string())] {
        assert!(body.contains(&format!("{pair:?}")), "{pair:?} in {body}");
    }
    assert!(body.contains("(\"user-agent\", \"apflow/"), "{body}");
}
