use std::collections::BTreeMap;

use apflow_core::clock::{ManualClock, Timestamp};
use apflow_core::webhook::verdict::Verdict;
use apflow_core::webhook::{DEFAULT_RETRY, WebhookMethod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn transport(http: &[&str], private: &[&str]) -> HttpWebhooks {
    let http = http.iter().map(|rule| rule.parse().unwrap()).collect();
    let private = private.iter().map(|rule| rule.parse().unwrap()).collect();
    // 1994-11-15T08:12:31Z, the day of the example in RFC 9110.
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(784_887_151_000_000)));
    HttpWebhooks::new(http, private, clock, HttpClientOptions::default()).unwrap()
}

fn definition(url: &str) -> WebhookDefinition {
    WebhookDefinition {
        name: None,
        url: url.into(),
        method: WebhookMethod::Post,
        headers: BTreeMap::from([("x-team".into(), "red".into())]),
        kinds: Vec::new(),
        tree: None,
        user_id: None,
        secret: None,
        timeout_ms: 5_000,
        retry: DEFAULT_RETRY,
        execution: None,
    }
}

/// Answers one request with this text; gives the URL and what was asked.
async fn endpoint(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.unwrap();
            text.extend_from_slice(&piece[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(text).unwrap()
    });
    (url, asked)
}

async fn send(transport: &HttpWebhooks, url: &str) -> Answer {
    let definition = definition(url);
    let headers = vec![("webhook-id", "msg_1".to_owned())];
    transport.send(Outgoing { definition: &definition, headers, body: r#"{"seq":1}"# }).await
}

#[tokio::test]
async fn a_message_is_one_request() {
    let (url, asked) = endpoint("HTTP/1.1 204 No Content\r\n\r\n").await;
    let answer = send(&transport(&["*"], &["127.0.0.1"]), &url).await;
    assert_eq!(answer.verdict(), Verdict::Delivered);
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /hook HTTP/1.1\r\n"), "{asked}");
    for line in ["x-team: red", "webhook-id: msg_1", "content-type: application/json"] {
        assert!(asked.contains(line), "{asked}");
    }
    assert!(asked.ends_with(r#"{"seq":1}"#), "{asked}");
}

#[tokio::test]
async fn redirects_are_answers_and_waits_are_read() {
    let (url, _asked) = endpoint("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n").await;
    let answer = send(&transport(&["*"], &["*"]), &url).await;
    assert_eq!((answer.status(), answer.verdict()), (Some(302), Verdict::Dead));
    for (value, secs) in
        [("120", 120), ("Tue, 15 Nov 1994 08:13:01 GMT", 30), ("Mon, 14 Nov 1994 08:12:31 GMT", 0)]
    {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
        assert_eq!(transport(&["*"], &[]).retry_after(&headers), Some(Duration::from_secs(secs)), "{value}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_before_and_when_connecting() {
    let closed = transport(&["*"], &[]);
    for url in [
        "http://127.0.0.1:1/",
        "http://[::1]/",
        "http://localhost:1/",
        "https://a.localhost/",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "http://2130706433/",
    ] {
        let error = closed.check(&definition(url)).unwrap_err();
        assert_eq!(error.data["field"], "url", "{url}");
        assert!(error.message.contains("webhooks.private_network"), "{error}");
        if url.contains("a.localhost") {
            // Not every resolver knows what the name stands for.
            continue;
        }
        let answer = send(&closed, url).await;
        assert!(
            matches!(&answer, Answer::Refused(text) if text.contains("private_network")),
            "{url}: {answer:?}"
        );
    }
    let open = transport(&["*"], &["127.0.0.1:1"]);
    assert_eq!(open.check(&definition("http://127.0.0.1:1/")), Ok(()));
    assert!(open.check(&definition("http://127.0.0.1:2/")).is_err());
    // Nobody listens there.
    assert!(matches!(send(&open, "http://127.0.0.1:1/").await, Answer::Unreachable(_)));
}

#[test]
fn urls_and_headers_are_checked() {
    let open = transport(&["https://*"], &[]);
    let field = |url: &str, header: (&str, &str)| {
        let one = WebhookDefinition {
            headers: BTreeMap::from([(header.0.to_owned(), header.1.to_owned())]),
            ..definition(url)
        };
        open.check(&one).err().map(|error| error.data["field"].as_str().unwrap().to_owned())
    };
    let (good, plain) = ("https://example.org/a", ("x-a", "b"));
    assert_eq!(field(good, plain), None);
    for url in ["", "example.org", "ftp://example.org/", "http://example.org/", "https://u:p@example.org/"] {
        assert_eq!(field(url, plain).as_deref(), Some("url"), "{url}");
    }
    for header in
        [("host", "a"), ("webhook-id", "a"), ("Webhook-Signature", "a"), ("a b", "c"), ("x-a", "b\r\nc: d")]
    {
        assert_eq!(field(good, header).as_deref(), Some("headers"), "{header:?}");
    }
}
