//! Webhooks and retention through the real binary: an endpoint of the test's own, that answers as it is told and keeps what
//! it was sent.

use std::collections::{BTreeMap, VecDeque};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use crate::harness::{PATIENCE, Server, Setup, info, root, with};
use apflow_testkit::postgres::Database;

/// What an endpoint was sent.
#[derive(Debug, Clone)]
struct Message {
    method: String,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Message {
    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn seq(&self) -> i64 {
        self.body()["seq"].as_i64().unwrap()
    }
}

/// An endpoint. Statuses are given in turn, then 200 for ever.
struct Sink {
    url: String,
    statuses: Arc<Mutex<VecDeque<u16>>>,
    messages: mpsc::UnboundedReceiver<Message>,
    /// An answer takes one.
    permits: Arc<Semaphore>,
}

impl Sink {
    async fn new(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let statuses = Arc::new(Mutex::new(statuses.iter().copied().collect::<VecDeque<_>>()));
        let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (sender, messages) = mpsc::unbounded_channel();
        let (turn, gate) = (Arc::clone(&statuses), Arc::clone(&permits));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, turn, gate) = (sender.clone(), Arc::clone(&turn), Arc::clone(&gate));
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (sender, turn, gate) = (sender.clone(), Arc::clone(&turn), Arc::clone(&gate));
                    async move {
                        let (head, body) = request.into_parts();
                        let Ok(body) = body.collect().await else { return Err("the sender is gone") };
                        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
                        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                            (name.to_string(), value.to_str().unwrap().to_owned())
                        };
                        let headers = head.headers.iter().map(header).collect();
                        let method = head.method.to_string();
                        let _ = sender.send(Message { method, headers, text });
                        gate.acquire().await.unwrap().forget();
                        let status = turn.lock().unwrap().pop_front().unwrap_or(200);
                        let answer = Response::builder().status(status).header("location", "/elsewhere");
                        Ok::<_, &'static str>(answer.body(Full::new(Bytes::new())).unwrap())
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, statuses, messages, permits }
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.messages.recv()).await.expect("no message in time").unwrap()
    }

    /// Messages until one is of that kind.
    async fn until(&mut self, kind: &str) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            all.push(self.next().await);
            if all.last().unwrap().body()["kind"] == kind {
                return all;
            }
        }
    }
}

/// Lets messages go to this machine.
const OPEN: &str = "[webhooks]\nprivate_network = [\"127.0.0.1\"]\n";

async fn server(config: &str) -> Server {
    Server::start(Setup { config: config.into(), ..Setup::default() }).await
}

async fn hook(server: &Server, sink: &Sink, more: Value) -> Value {
    let params = with(json!({"url": sink.url, "webhook_id": "w", "after": 0}), more);
    server.tasks("webhooks.create", params).await
}

/// Reads a webhook until it is as expected.
async fn await_hook(server: &Server, is: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let hook = server.tasks("webhooks.get", json!({"webhook_id": "w"})).await;
            if is(&hook) {
                return hook;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the webhook did not come to that")
}

async fn log(server: &Server) -> Vec<Value> {
    let page = server.tasks("events.list", json!({"limit": 10_000})).await;
    page["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn case_25_an_execution_is_told_of_and_retried() {
    let server = server(OPEN).await;
    let mut sink = Sink::new(&[500, 500, 200]).await;
    let config = json!({"url": sink.url, "headers": {"x-team": "red"}, "method": "PUT"});
    let tasks =
        json!([with(info("r"), json!({"id": "r"})), with(info("c"), json!({"id": "c", "parent_id": "r"}))]);
    let answer = server.tasks("tasks.execute", json!({"tasks": tasks, "webhook_config": config})).await;
    assert_eq!((&answer["status"], &answer["streaming"]), (&json!("started"), &json!(true)), "{answer}");
    assert_eq!(answer["webhook_url"], sink.url);
    let mut all = Vec::new();
    while all.last().is_none_or(|one: &Message| one.body()["type"] != "final") {
        all.push(sink.next().await);
    }
    let first = &all[0];
    assert_eq!((first.method.as_str(), first.headers["x-team"].as_str()), ("PUT", "red"));
    assert!(!first.headers.contains_key("webhook-signature"));
    let again = &all[1..3];
    assert!(again.iter().all(|one| one.text == first.text), "{all:?}");
    assert!(again.iter().all(|one| one.headers["webhook-id"] == first.headers["webhook-id"]));
    let sent_at = |i: usize| all[i].headers["webhook-timestamp"].parse::<i64>().unwrap();
    assert!(sent_at(1) - sent_at(0) >= 1 && sent_at(2) - sent_at(1) >= 2, "the waits are 1 and 2 seconds");
    let types: Vec<Value> = all[2..].iter().map(|one| one.body()["type"].clone()).collect();
    let starts = types.iter().filter(|one| **one == "task_start").count();
    let ends = types.iter().filter(|one| **one == "task_completed").count();
    assert_eq!((types[0].as_str(), starts, ends, types.len()), (Some("progress"), 2, 2, 6), "{types:?}");
    for message in &all {
        let body = message.body();
        for name in [
            "protocol",
            "root_task_id",
            "task_id",
            "status",
            "progress",
            "message",
            "type",
            "timestamp",
            "final",
        ] {
            assert!(body.get(name).is_some(), "{name} is missing: {body}");
        }
        assert_eq!((&body["protocol"], &body["root_task_id"]), (&json!("jsonrpc"), &json!("r")));
    }
    let last = all.last().unwrap().body();
    assert_eq!(
        (&last["status"], &last["final"], &last["progress"]),
        (&json!("completed"), &json!(true), &json!(1.0))
    );
    assert_eq!(last["error"], Value::Null);
    let gone = async {
        while server.tasks("webhooks.list", json!({"executions": true})).await != json!([]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the webhook outlives its execution");
}

#[tokio::test]
async fn an_execution_is_told_of_after_a_crash() {
    let mut server = server(OPEN).await;
    let mut sink = Sink::new(&[]).await;
    let task = json!([{"name": "r", "id": "r", "executor": "slow", "inputs": {"ms": 50}}]);
    let config = json!({"url": sink.url});
    server.tasks("tasks.execute", json!({"tasks": task, "webhook_config": config})).await;
    sink.next().await;
    server.crash_and_restart().await;
    loop {
        let body = sink.next().await.body();
        if body["type"] == "final" {
            assert_eq!(body["status"], "completed");
            return;
        }
    }
}

#[tokio::test]
async fn every_event_arrives_in_order_although_the_host_is_killed() {
    arrives_in_order(Setup { config: OPEN.into(), ..Setup::default() }).await;
}

#[tokio::test]
async fn on_postgres_every_event_arrives_in_order_although_the_host_is_killed() {
    arrives_in_order(Setup {
        config: OPEN.into(),
        database: Some(Arc::new(Database::new())),
        ..Setup::default()
    })
    .await;
}

async fn arrives_in_order(setup: Setup) {
    let mut server = Server::start(setup).await;
    let mut sink = Sink::new(&[]).await;
    hook(&server, &sink, json!({})).await;
    let tasks: Vec<Value> = (0..120)
        .map(|i| {
            with(info(&format!("t{i}")), json!({"id": format!("t{i}"), "parent_id": (i > 0).then_some("t0")}))
        })
        .collect();
    server.tasks("tasks.create", json!(tasks)).await;
    server.tasks("tasks.execute", json!({"task_id": "t0", "wait": false})).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        // In the middle of deliveries: the next answer does not come.
        for _ in 0..40 {
            all.push(sink.next().await);
        }
        sink.permits.forget_permits(Semaphore::MAX_PERMITS);
        all.push(sink.next().await);
        server.crash_and_restart().await;
        sink.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }
    all.extend(sink.until("tree.completed").await);
    let expected: Vec<Value> = log(&server).await;
    let mut once: Vec<Value> = Vec::new();
    for message in &all {
        let body = message.body();
        match once.iter().position(|one| one["seq"] == body["seq"]) {
            None => once.push(body),
            // Sent again after the crash, with the same text, and everything after it follows again.
            Some(at) => assert_eq!(once[at], body),
        }
    }
    assert_eq!(once, expected[..once.len()]);
    assert_eq!(once.len(), expected.len());
    assert!(all.len() > once.len(), "no delivery was interrupted");
    let hook = await_hook(&server, |hook| hook["lag"] == 0).await;
    assert_eq!((&hook["dead_letters"], &hook["attempts"]), (&json!(0), &json!(0)), "{hook}");
}

#[tokio::test]
async fn what_is_given_up_is_kept_and_sent_again_when_asked() {
    let server = server(OPEN).await;
    let mut sink = Sink::new(&[503, 503, 404, 200, 200, 503]).await;
    let retry = json!({"max_attempts": 2, "base_ms": 1, "cap_ms": 1});
    hook(&server, &sink, json!({"retry": retry, "kinds": ["task.completed"]})).await;
    server.run(json!([with(info("a"), json!({"id": "a"}))])).await;
    server.run(json!([with(info("b"), json!({"id": "b"}))])).await;
    server.run(json!([with(info("c"), json!({"id": "c"}))])).await;
    let hook = await_hook(&server, |hook| hook["delivered"] == 1).await;
    assert_eq!(
        (&hook["dead_letters"], &hook["attempts"], &hook["enabled"]),
        (&json!(2), &json!(0), &json!(true))
    );
    assert_eq!(hook["last_error"], "The endpoint answered with status 404");
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(sink.next().await);
    }
    let tasks: Vec<Value> = sent.iter().map(|one| one.body()["task_id"].clone()).collect();
    assert_eq!(tasks, ["a", "a", "b", "c"]);
    let letters = server.tasks("webhooks.dead_letters", json!({"webhook_id": "w"})).await;
    let told: Vec<_> =
        letters.as_array().unwrap().iter().map(|one| (&one["attempts"], &one["status"])).collect();
    assert_eq!(told, [(&json!(2), &json!(503)), (&json!(1), &json!(404))]);
    assert_eq!(letters[0]["body"], sent[0].text);
    assert_eq!(letters[0]["message_id"], sent[0].headers["webhook-id"]);
    let deliveries = server.tasks("webhooks.deliveries", json!({"webhook_id": "w"})).await;
    let statuses: Vec<&Value> = deliveries.as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [200, 404, 503, 503]);
    let one = json!({"webhook_id": "w", "seq": sent[2].seq()});
    assert_eq!(server.tasks("webhooks.redeliver", one.clone()).await["queued"], 1);
    let again = sink.next().await;
    assert_eq!(
        (again.text.as_str(), &again.headers["webhook-id"]),
        (sent[2].text.as_str(), &sent[2].headers["webhook-id"])
    );
    await_hook(&server, |hook| hook["dead_letters"] == 1).await;
    let (code, _) = server.refused("webhooks.redeliver", one).await;
    assert_eq!(code, -32118);
    assert_eq!(server.tasks("webhooks.redeliver", json!({"webhook_id": "w"})).await["queued"], 1);
    sink.next().await;
    let hook =
        await_hook(&server, |hook| hook["last_error"] == "The endpoint answered with status 503").await;
    assert_eq!(hook["dead_letters"], 1);
    let letters = server.tasks("webhooks.dead_letters", json!({"webhook_id": "w"})).await;
    assert_eq!((&letters[0]["attempts"], &letters[0]["queued"]), (&json!(3), &json!(false)));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_left_alone_and_a_redirect_is_not_followed() {
    let server = server(OPEN).await;
    let mut sink = Sink::new(&[302, 410]).await;
    hook(&server, &sink, json!({"kinds": ["tree.completed"]})).await;
    server.run(json!([info("a")])).await;
    server.run(json!([info("b")])).await;
    let hook = await_hook(&server, |hook| hook["enabled"] == false).await;
    assert!(hook["disabled_reason"].as_str().unwrap().contains("410"), "{hook}");
    assert_eq!(hook["dead_letters"], 2);
    server.run(json!([info("c")])).await;
    let enabled = server.tasks("webhooks.update", json!({"webhook_id": "w", "enabled": true})).await;
    assert_eq!(enabled["disabled_reason"], Value::Null);
    await_hook(&server, |hook| hook["delivered"] == 1).await;
    let names = async |sink: &mut Sink| sink.next().await.body()["kind"].clone();
    assert_eq!(
        [names(&mut sink).await, names(&mut sink).await, names(&mut sink).await],
        ["tree.completed"; 3]
    );
    assert!(sink.messages.try_recv().is_err(), "a redirect was followed");
}

#[tokio::test]
async fn a_dead_endpoint_holds_up_nobody() {
    let server = server(&format!("{OPEN}max_concurrent = 2\n")).await;
    let mut sink = Sink::new(&[]).await;
    let mute = Sink::new(&[]).await;
    mute.permits.forget_permits(Semaphore::MAX_PERMITS);
    for i in 0..3 {
        let params =
            json!({"url": mute.url, "webhook_id": format!("mute-{i}"), "after": 0, "timeout_ms": 200});
        server.tasks("webhooks.create", params).await;
    }
    hook(&server, &sink, json!({})).await;
    server.run(json!([info("a")])).await;
    let all = sink.until("tree.completed").await;
    assert_eq!(all.iter().map(Message::body).collect::<Vec<_>>(), log(&server).await);
}

#[tokio::test]
async fn only_what_was_asked_for_is_sent() {
    let server = server(OPEN).await;
    let mut sink = Sink::new(&[]).await;
    hook(&server, &sink, json!({"user_id": "ann", "kinds": ["tree.created", "tree.completed"]})).await;
    for (name, owner) in [("a", "bob"), ("b", "ann")] {
        server.run(json!([with(info(name), json!({"id": name, "user_id": owner}))])).await;
    }
    let told = async |sink: &mut Sink| {
        let body = sink.next().await.body();
        format!("{} {}", body["kind"].as_str().unwrap(), body["tree_id"].as_str().unwrap())
    };
    assert_eq!(told(&mut sink).await, "tree.created b");
    assert_eq!(told(&mut sink).await, "tree.completed b");
    server.tasks("webhooks.update", json!({"webhook_id": "w", "tree": "a", "user_id": "", "after": 0})).await;
    assert_eq!(told(&mut sink).await, "tree.created a");
    assert_eq!(server.tasks("webhooks.delete", json!({"webhook_id": "w"})).await["deleted"], true);
    assert_eq!(server.refused("webhooks.get", json!({"webhook_id": "w"})).await.0, -32117);
}

#[tokio::test]
async fn private_addresses_and_foreign_secrets_are_refused() {
    let server = server("").await;
    for url in [
        "http://127.0.0.1:9/",
        "http://localhost:9/",
        "http://[::1]:9/",
        "http://10.1.2.3/",
        "http://169.254.169.254/",
    ] {
        let (code, text) = server.refused("webhooks.create", json!({ "url": url })).await;
        assert_eq!(code, -32118, "{url}");
        assert!(text.contains("webhooks.private_network"), "{text}");
        let config = json!({"tasks": [info("a")], "webhook_config": {"url": url}});
        assert_eq!(server.refused("tasks.execute", config).await.0, -32118, "{url}");
    }
    assert_eq!(server.total().await, 0, "a refused request has created something");
    for secret in ["env:PATH", "file:../../etc/passwd", "file:x", "sesame"] {
        let params = json!({"url": "https://example.org/", "secret": secret});
        let (code, text) = server.refused("webhooks.create", params).await;
        assert!(code == -32118 && !text.contains("sesame"), "{text}");
    }
}

#[tokio::test]
async fn secrets_are_shown_once_and_signatures_can_be_verified() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let env = vec![("APFLOW_WEBHOOK_ORDERS", secret.to_owned())];
    let server = Server::start(Setup { config: OPEN.into(), env, ..Setup::default() }).await;
    let mut sink = Sink::new(&[]).await;
    let headers = json!({"authorization": "Bearer sesame"});
    let made = hook(&server, &sink, json!({"headers": headers, "kinds": ["tree.completed"]})).await;
    let made_secret = made["secret"].as_str().unwrap().to_owned();
    assert!(made_secret.starts_with("whsec_") && made_secret.len() > 40, "{made_secret}");
    let shown = server.tasks("webhooks.get", json!({"webhook_id": "w"})).await;
    assert_eq!((&shown["secret"], &shown["headers"]), (&json!("whsec_…"), &json!(["authorization"])));
    let lists = server.tasks("webhooks.list", json!({})).await.to_string();
    assert!(!lists.contains(&made_secret) && !lists.contains("sesame"), "{lists}");
    server.run(json!([info("a")])).await;
    let message = sink.next().await;
    assert_eq!(message.headers["authorization"], "Bearer sesame");
    verify(&made_secret, &message);
    let change = json!({"webhook_id": "w", "secret": "env:APFLOW_WEBHOOK_ORDERS"});
    assert_eq!(server.tasks("webhooks.update", change).await["secret"], "env:APFLOW_WEBHOOK_ORDERS");
    server.run(json!([info("b")])).await;
    verify(secret, &sink.next().await);
    let log = std::fs::read_to_string(server.path("server.log")).unwrap();
    assert!(!log.contains(&made_secret) && !log.contains("sesame"), "{log}");
}

/// Runs the examples of docs/webhooks.md, where there is an interpreter: they accept the message, and nothing else.
fn verify(secret: &str, message: &Message) {
    let text = std::fs::read_to_string(root().join("docs/webhooks.md")).unwrap();
    let python = "\nimport json, sys\nfor one in json.load(sys.stdin): print(str(verify(one['secret'], one['headers'], one['body'].encode())).lower())\n";
    let script = "\nfor (const one of JSON.parse(require('fs').readFileSync(0, 'utf8'))) console.log(verify(one.secret, one.headers, Buffer.from(one.body)))\n";
    let good = json!({"secret": secret, "headers": message.headers, "body": message.text});
    let other = with(good.clone(), json!({"secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}));
    let changed = with(good.clone(), json!({"body": format!("{} ", message.text)}));
    let mut old = good.clone();
    old["headers"]["webhook-timestamp"] = "1614265330".into();
    let input = json!([good, other, changed, old]).to_string();
    let mut ran = 0;
    for (program, language, tail) in [("python3", "python", python), ("node", "js", script)] {
        let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let flag = if program == "node" { "-e" } else { "-c" };
        let mut command = Command::new(program);
        command.args([flag, &format!("{example}{tail}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else { continue };
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "true\nfalse\nfalse\nfalse\n", "{program}");
        ran += 1;
    }
    assert!(ran > 0, "neither python3 nor node is here to verify signatures independently");
}

#[tokio::test]
async fn what_retention_removed_is_an_error_on_every_way() {
    let config = format!("{OPEN}[events]\nretain_max = 4\n");
    let mut server = server(&config).await;
    let mut sink = Sink::new(&[]).await;
    // A disabled webhook holds nothing; one that is enabled too late is told so.
    hook(&server, &sink, json!({"enabled": false})).await;
    for name in ["a", "b", "c"] {
        server.run(json!([with(info(name), json!({"id": name, "idempotency_key": name}))])).await;
    }
    server.crash_and_restart().await;
    let gone = async {
        loop {
            let (_, answer) = server.rpc("/tasks", "events.list", json!({"after": 0})).await;
            if answer["error"]["code"] == -32116 {
                return answer["error"]["data"].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let data = tokio::time::timeout(PATIENCE, gone).await.expect("nothing was removed");
    assert_eq!(data["code"], "events_expired");
    let start = data["resume_after"].as_i64().unwrap();
    assert_eq!(data["oldest_seq"], start + 1);
    let left = log(&server).await;
    assert_eq!((left[0]["seq"].as_i64().unwrap(), left.len()), (start + 1, 4));
    for path in ["/events?after=0", "/events?tree=a&after=0", "/events?task=a&after=1"] {
        let (status, text) = server.get(path).await;
        assert_eq!(status, 410, "{path}: {text}");
        assert!(
            text.contains("events_expired") && text.contains(&format!("\"resume_after\":{start}")),
            "{text}"
        );
    }
    let mut stream = server.events("/events", Some(&start.to_string())).await;
    assert_eq!(stream.next().await.unwrap().1["seq"], start + 1);
    let mut stream = server.events("/events?tree=c", None).await;
    assert_eq!(stream.next().await.unwrap().1["seq"], start + 1);
    // A request that is repeated is answered about its execution, whose events are gone.
    let again = json!({"tasks": [with(info("a"), json!({"id": "a"}))], "idempotency_key": "a", "use_streaming": true});
    let messages = server.stream("tasks.execute", again).await.rest().await;
    let told = &messages.last().unwrap().1;
    assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!("events_expired")), "{messages:?}");
    // Tasks and attempts are as before.
    assert_eq!(server.task("a").await["status"], "completed");
    assert_eq!(server.tasks("tasks.attempts", json!({"task_id": "a"})).await.as_array().unwrap().len(), 1);
    server.tasks("webhooks.update", json!({"webhook_id": "w", "enabled": true})).await;
    let told = await_hook(&server, |hook| hook["enabled"] == false).await;
    assert!(told["disabled_reason"].as_str().unwrap().contains(&format!("`after` {start}")), "{told}");
    let (code, _) = server.refused("webhooks.update", json!({"webhook_id": "w", "after": start - 1})).await;
    assert_eq!(code, -32116);
    server.tasks("webhooks.update", json!({"webhook_id": "w", "enabled": true, "after": start})).await;
    assert_eq!(sink.next().await.seq(), start + 1);
    assert!(sink.statuses.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_command_line_makes_and_shows_webhooks() {
    let server = server(OPEN).await;
    let mut sink = Sink::new(&[404]).await;
    let run = |args: &[&str]| {
        let output = Command::new(crate::harness::binary())
            .args(["webhooks", "--server", &server.url])
            .args(args)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) =
        run(&["create", &sink.url, "--id", "w", "--kinds", "tree.completed", "--header", "x-a: b"]);
    assert!(code == Some(0) && text.starts_with("w\nSecret, shown this once: whsec_"), "{text}");
    server.run(json!([with(info("a"), json!({"id": "a"}))])).await;
    assert_eq!(sink.next().await.headers["x-a"], "b");
    await_hook(&server, |hook| hook["dead_letters"] == 1).await;
    assert!(run(&["list"]).1.contains(&sink.url));
    assert!(run(&["deliveries", "w"]).1.contains("404"));
    assert!(run(&["dead-letters", "w"]).1.contains("tree.completed"));
    assert_eq!(run(&["redeliver", "w"]).1, "1 dead letters are sent once more\n");
    await_hook(&server, |hook| hook["dead_letters"] == 0).await;
    assert!(run(&["get", "w"]).1.contains("delivered: 1"));
    assert!(run(&["update", "w", "--disable"]).1.contains("enabled: false"));
    assert_eq!(run(&["delete", "w"]), (Some(0), "Deleted w\n".into()));
    assert_eq!(run(&["get", "w"]).0, Some(1));
}
