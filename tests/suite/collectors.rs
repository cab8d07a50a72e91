//! The shipped collectors against real receivers: a Prometheus server, a receiver on OpenTelemetry's own protocol package,
//! and a socket that reads DogStatsD strictly.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Server, Setup, root, shipped};

/// A process that ends with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(config: String) -> Server {
    let env = vec![("OTLP_TOKEN", "the-secret-itself".to_owned())];
    Server::start(Setup { config, env, ..Setup::default() }).await
}

/// Two tasks that complete and one that fails for good.
async fn work(server: &Server) {
    let noop = |name: &str| json!({"name": name, "id": name, "parent_id": "r", "executor": "noop_executor"});
    let fail = json!({"name": "bad", "id": "bad", "parent_id": "r", "executor": "fail_retryable", "inputs": {"failures": 9}});
    let root = json!({"name": "r", "id": "r", "executor": "noop_executor"});
    server.run(json!([root, noop("a"), noop("b"), fail])).await;
    server.await_event("tree=r", "tree.failed", None).await;
}

/// What a collector says of itself in `system.plugins`.
async fn collector(server: &Server, name: &str) -> Option<Value> {
    let (_, answer) = server.rpc("/system", "system.plugins", json!({})).await;
    let all = answer["result"]["collectors"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["name"] == name)
}

/// Asks until it holds.
async fn until(server: &Server, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let found = collector(server, name).await.unwrap_or_default();
        if holds(&found) {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it did not happen: {found}");
        tokio::task::yield_now().await;
    }
}

fn delivered(found: &Value) -> bool {
    found["lag_ms"] == 0 && found["failures"] == 0 && found["delivered_seq"].as_i64() > Some(4)
}

fn program(name: &str) -> Command {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok_and(|status| status.success()), "{name} is missing: run `cargo xtask test`");
    Command::new(name)
}

#[tokio::test]
async fn prometheus_scrapes_what_promtool_finds_in_order() {
    let server = start(String::new()).await;
    work(&server).await;
    until(&server, "prometheus_collector", delivered).await;
    let (status, text) = server.get("/metrics").await;
    assert_eq!(status, 200, "{text}");

    let mut promtool = program("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stderr.is_empty(),
        "{}\n{text}",
        String::from_utf8_lossy(&said.stderr)
    );

    let folder = tempfile::tempdir().unwrap();
    let target = server.url.trim_start_matches("http://");
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: apflow\n  static_configs: [{{targets: ['{target}']}}]\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    // It cannot be asked which port it has taken, so it is told a free one.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut prometheus = program("prometheus");
    prometheus.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    prometheus.arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()));
    prometheus.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    prometheus.stdout(Stdio::null()).stderr(Stdio::null());
    let _prometheus = Process(prometheus.spawn().unwrap());

    let rows = |series: &'static str| ask(port, series);
    assert_eq!(rows("apflow_tasks_total{executor=\"noop_executor\",status=\"completed\"}").await, 3.0);
    assert_eq!(rows("apflow_tasks_total{executor=\"fail_retryable\",status=\"failed\"}").await, 1.0);
    assert_eq!(rows("apflow_trees_total{status=\"failed\"}").await, 1.0);
    assert_eq!(rows("apflow_task_duration_seconds_count{executor=\"noop_executor\"}").await, 3.0);
    assert!(rows("apflow_tree_duration_seconds_sum{status=\"failed\"}").await > 0.0);
}

/// The value of a series, as soon as Prometheus has it.
async fn ask(port: u16, series: &str) -> f64 {
    use http_body_util::{BodyExt as _, Empty};
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<Empty<bytes::Bytes>>();
    let query: String = series.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let url: hyper::Uri = format!("http://127.0.0.1:{port}/api/v1/query?query={query}").parse().unwrap();
    let began = Instant::now();
    loop {
        if let Ok(answer) = client.get(url.clone()).await {
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            if let Some(value) = answer.pointer("/data/result/0/value/1").and_then(Value::as_str) {
                return value.parse().unwrap();
            }
        }
        assert!(began.elapsed() < PATIENCE, "Prometheus has no {series}");
        tokio::task::yield_now().await;
    }
}

/// A receiver, and the lines that it says.
struct Otlp {
    _process: Process,
    port: u16,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Otlp {
    fn start(refusals: &[&str]) -> Self {
        let base = std::env::var_os("XDG_CACHE_HOME").filter(|base| !base.is_empty()).map(PathBuf::from);
        let base = base.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache"));
        let python = base.join("apflow/otlp-receiver/venv/bin/python");
        assert!(python.exists(), "{} is missing: run `cargo xtask test`", python.display());
        let mut command = Command::new(python);
        command.arg(root().join("tests/suite/receivers/otlp.py")).args(refusals).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let port = lines.recv_timeout(PATIENCE).unwrap().parse().unwrap();
        Self { _process: Process(child), port, lines }
    }

    /// The next requests to `path` that were taken, until `holds` of them.
    fn taken(&self, path: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        while !holds(&all) {
            let line: Value = serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap();
            if line["path"] == path && line["status"] == 200 {
                all.push(line);
            }
        }
        all
    }
}

fn otlp_config(port: u16, more: &str) -> String {
    format!(
        "[plugins.otlp_collector.settings]\nendpoint = \"http://127.0.0.1:{port}\"\n\
         headers = {{ authorization = \"Bearer {{secret:token}}\" }}\nresource = {{ \"deployment.environment.name\" = \"test\" }}\n{more}\
         [plugins.otlp_collector.grants]\nhttp = [\"http://127.0.0.1:{port}\"]\n\
         private_network = [\"127.0.0.1:{port}\"]\n\
         secrets = [{{ name = \"token\", hosts = [\"http://127.0.0.1:{port}\"], from = \"env:OTLP_TOKEN\" }}]\n"
    )
}

/// Attributes as a map.
fn attributes(of: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        let inner = value.as_object().unwrap().values().next().unwrap();
        inner.as_str().map_or_else(|| inner.to_string(), str::to_owned)
    };
    let all = of["attributes"].as_array().unwrap();
    all.iter().map(|one| (one["key"].as_str().unwrap().to_owned(), text(&one["value"]))).collect()
}

fn spans(requests: &[Value]) -> Vec<Value> {
    let of = |one: &Value| {
        one["body"]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default()
    };
    requests.iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_gets_a_trace_for_a_tree_although_it_refused_it_first() {
    let receiver = Otlp::start(&["503"]);
    let server = start(otlp_config(receiver.port, "metrics = false\n")).await;
    work(&server).await;
    let requests = receiver.taken("/v1/traces", |all| spans(all).len() >= 5);
    assert_eq!(requests[0]["headers"]["authorization"], "Bearer the-secret-itself");
    let resource = attributes(&requests[0]["body"]["resourceSpans"][0]["resource"]);
    assert_eq!(resource["service.name"], "apflow");
    assert_eq!(resource["deployment.environment.name"], "test");

    let spans = spans(&requests);
    let root = spans.iter().find(|span| span["name"] == "tree").unwrap();
    assert!(root.get("parentSpanId").is_none(), "{root}");
    let attempts: Vec<&Value> = spans.iter().filter(|span| span["name"] != "tree").collect();
    assert_eq!(attempts.len(), 4);
    for span in &attempts {
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&root["traceId"], &root["spanId"]));
        let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
        assert_eq!(attributes(span)["apflow.tree.id"], "r");
    }
    let bad = attempts.iter().find(|span| span["name"] == "fail_retryable").unwrap();
    assert_eq!(bad["status"]["code"], "STATUS_CODE_ERROR");
    assert_eq!(attributes(bad)["apflow.status"], "failed");
    until(&server, "otlp_collector", delivered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_gets_figures_that_go_on_after_a_crash() {
    let receiver = Otlp::start(&[]);
    let mut server = start(otlp_config(receiver.port, "traces = false\n")).await;
    work(&server).await;
    let count = |request: &Value, name: &str| {
        let all = request["body"]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().cloned();
        let metric = all.unwrap_or_default().into_iter().find(|one| one["name"] == name)?;
        let points = metric["sum"]["dataPoints"].as_array()?.clone();
        Some(points.iter().map(|point| point["asInt"].as_str().unwrap().parse::<u64>().unwrap()).sum::<u64>())
    };
    let is =
        |all: &[Value], name: &str, wanted| all.last().is_some_and(|one| count(one, name) == Some(wanted));
    let requests =
        receiver.taken("/v1/metrics", |all| is(all, "apflow.tasks", 4) && is(all, "apflow.trees", 1));
    let metrics =
        requests.last().unwrap()["body"]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone();
    let durations =
        metrics.as_array().unwrap().iter().find(|one| one["name"] == "apflow.task.duration").unwrap();
    assert_eq!(durations["histogram"]["aggregationTemporality"], "AGGREGATION_TEMPORALITY_CUMULATIVE");

    until(&server, "otlp_collector", delivered).await;
    server.crash_and_restart().await;
    server.run(json!([{"name": "again", "executor": "noop_executor"}])).await;
    // What was delivered does not come again: the new instance begins with the new tree.
    receiver.taken("/v1/metrics", |all| is(all, "apflow.tasks", 1) && is(all, "apflow.trees", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_before_a_crash_is_delivered_after_it() {
    let receiver = Otlp::start(&["503"; 3]);
    let mut server = start(otlp_config(receiver.port, "metrics = false\n")).await;
    work(&server).await;
    until(&server, "otlp_collector", |found| found["failures"].as_u64() > Some(0)).await;
    server.crash_and_restart().await;
    let requests = receiver.taken("/v1/traces", |all| spans(all).len() >= 5);
    assert_eq!(spans(&requests).len(), 5, "all of it, in one piece");
    until(&server, "otlp_collector", delivered).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_and_shown() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = start(otlp_config(port, "")).await;
    work(&server).await;
    let failing = until(&server, "otlp_collector", |found| found["failures"].as_u64() > Some(1)).await;
    assert!(failing["error"].as_str().unwrap().starts_with("http_connect: "), "{failing}");
    assert!(failing["retry_at"].is_string() && failing["lag_ms"].as_u64() > Some(0), "{failing}");
    until(&server, "prometheus_collector", delivered).await;
    assert_eq!(server.get("/metrics").await.0, 200, "the others go on");
}

#[tokio::test]
async fn without_its_settings_a_collector_is_not_used_and_a_wrong_one_is_named() {
    let server = start("[plugins.dogstatsd_collector.settings]\nadress = \"h:1\"\n".into()).await;
    assert_eq!(collector(&server, "otlp_collector").await, None);
    let (_, answer) = server.rpc("/system", "system.plugins", json!({})).await;
    let plugins = answer["result"]["plugins"].as_array().unwrap();
    let of = |name: &str| plugins.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("otlp_collector")["unset"], json!(["endpoint"]));
    let problem = of("dogstatsd_collector")["problem"].as_str().unwrap();
    let expected = "plugins.dogstatsd_collector.settings.adress is no setting of this plugin; it has: \
                    address, datagram_bytes, prefix, tags (unknown_setting)";
    assert!(problem.ends_with(expected), "{problem}");
    assert!(shipped().join("otlp_collector").is_dir());
}

/// A message, read by the rules of the protocol.
#[derive(Debug)]
struct Message {
    name: String,
    values: Vec<f64>,
    kind: String,
    tags: Vec<String>,
}

fn message(line: &str) -> Message {
    let mut parts = line.split('|');
    let mut head = parts.next().unwrap().split(':');
    let name = head.next().unwrap().to_owned();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(fits), "{line}");
    let values: Vec<f64> = head.map(|value| value.parse().unwrap()).collect();
    assert!(!values.is_empty(), "{line}");
    let kind = parts.next().unwrap().to_owned();
    assert!(["c", "g", "ms", "h", "s", "d"].contains(&kind.as_str()), "{line}");
    assert!(kind != "c" || values.len() == 1, "{line}");
    let tags = parts.next().unwrap().strip_prefix('#').unwrap().split(',').map(str::to_owned).collect();
    assert_eq!(parts.next(), None, "{line}");
    Message { name, values, kind, tags }
}

#[tokio::test]
async fn dogstatsd_gets_counts_and_durations_in_small_datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let server = start(format!(
        "[plugins.dogstatsd_collector.settings]\naddress = \"127.0.0.1:{port}\"\ntags = [\"env:test\"]\n\
         [plugins.dogstatsd_collector.grants]\nnet = [\"udp://127.0.0.1:{port}\"]\n\
         private_network = [\"127.0.0.1:{port}\"]\n"
    ))
    .await;
    work(&server).await;
    let mut all: Vec<Message> = Vec::new();
    let sum = |all: &[Message], name: &str, tag: &str| {
        let of = |one: &&Message| one.name == name && one.tags.iter().any(|own| own == tag);
        all.iter().filter(of).flat_map(|one| one.values.clone()).sum::<f64>()
    };
    let mut buffer = [0; 65_536];
    while sum(&all, "apflow.trees", "status:failed") < 1.0 {
        let length = socket.recv(&mut buffer).unwrap();
        assert!(length <= 1432);
        all.extend(std::str::from_utf8(&buffer[..length]).unwrap().split('\n').map(message));
    }
    assert_eq!(sum(&all, "apflow.tasks", "executor:noop_executor"), 3.0, "{all:?}");
    assert_eq!(sum(&all, "apflow.tasks", "status:failed"), 1.0);
    assert!(all.iter().all(|one| one.tags.contains(&"env:test".to_owned())));
    let durations = all.iter().filter(|one| one.name == "apflow.task.duration" && one.kind == "ms");
    assert_eq!(durations.map(|one| one.values.len()).sum::<usize>(), 4, "{all:?}");
    until(&server, "dogstatsd_collector", delivered).await;
}
