//! Every function that a guest may call, with nothing granted and with each grant alone; and what the granted ones do. The list
//! of functions comes from the WIT files, so that none can be forgotten.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use apflow_core::error::Result;
use apflow_core::json::Json;
use apflow_core::plugin::services::{Expected, PluginState, SecretSource, StateEntry};
use apflow_wasm::{WasmOptions, WasmPlugins};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use wit_parser::{FunctionKind, Resolve};

use crate::harness::{Folder, options, result};

/// Versions of the contract that this host offers.
const VERSIONS: [&str; 1] = ["v0.1"];

/// A call, the grant it needs (none for those that need none) and its further inputs.
type Row = (&'static str, Option<&'static str>, Value);

fn rows() -> Vec<Row> {
    let url = "http://127.0.0.1:9/";
    vec![
        ("log.write", None, json!({"what": "hello"})),
        ("progress.report", None, json!({"what": "half"})),
        ("checkpoint.load", None, json!({})),
        ("checkpoint.save", None, json!({"what": "1"})),
        ("http.send", Some("http"), json!({"what": url})),
        ("http.send-streamed", Some("http"), json!({"what": url})),
        ("net.connect", Some("net"), json!({"what": "127.0.0.1", "port": 9})),
        ("process.run", Some("process"), json!({"what": "echo"})),
        ("process.start", Some("process"), json!({"what": "echo"})),
        ("system.read-cpu", Some("system"), json!({})),
        ("system.read-memory", Some("system"), json!({})),
        ("system.read-disks", Some("system"), json!({})),
        ("secrets.placeholder", Some("secrets"), json!({"what": "token"})),
        ("state.get", Some("state"), json!({"what": "k"})),
        ("state.put", Some("state"), json!({"what": "k", "then": "1"})),
        ("state.compare-and-set", Some("state"), json!({"what": "k", "then": "1"})),
        ("tasks.submit", Some("tasks"), json!({"what": "[]", "then": "k"})),
        ("tasks.await-result", Some("tasks"), json!({"what": "t"})),
    ]
}

/// What an operator writes to grant one thing.
fn grant(key: &str) -> String {
    let value = match key {
        "http" => "[\"http://127.0.0.1\"]",
        "net" => "[\"127.0.0.1:*\"]",
        "process" => "[\"echo\"]",
        "secrets" => "[{ name = \"token\", hosts = [\"http://127.0.0.1\"], from = \"test:token\" }]",
        _ => "true",
    };
    // Addresses are judged apart from everything else.
    format!("[every_call.grants]\nprivate_network = [\"*\"]\n{key} = {value}\n")
}

/// Refusals have the words of `grants`; whatever else goes wrong does not.
fn is_denied(answer: &Value) -> bool {
    answer["error"].as_str().is_some_and(|error| error.contains("Plugin 'every_call' may not"))
}

async fn plugins(policies: &str) -> Arc<WasmPlugins> {
    let services = Arc::new(Services::default());
    let folder = Folder::with(&["every_call"]);
    let options =
        WasmOptions { state: Arc::clone(&services) as _, secrets: services, ..options(&folder, policies) };
    let plugins = WasmPlugins::open(options).await.unwrap();
    assert_eq!(apflow_core::plugin::Plugins::catalog(plugins.as_ref()).plugins[0].problem, None);
    plugins
}

async fn call(plugins: &WasmPlugins, name: &str, mut inputs: Value) -> Value {
    inputs["call"] = name.into();
    result(plugins, "every_call", inputs).await
}

#[tokio::test]
async fn every_call_needs_its_own_grant_and_no_other() {
    let keys: BTreeSet<&str> = rows().iter().filter_map(|row| row.1).collect();
    for version in VERSIONS {
        assert_eq!(
            version, "v0.1",
            "the test's component speaks this version; another one needs a component of its own"
        );
        let bare = plugins("").await;
        for (name, needs, inputs) in rows() {
            let answer = call(&bare, name, inputs).await;
            assert_eq!(
                is_denied(&answer),
                needs.is_some(),
                "{version} {name} with nothing granted: {answer}"
            );
        }
        for key in &keys {
            let granted = plugins(&grant(key)).await;
            for (name, needs, inputs) in rows() {
                let answer = call(&granted, name, inputs).await;
                let expected = needs.is_some_and(|needs| needs != *key);
                assert_eq!(is_denied(&answer), expected, "{version} {name} with {key} granted: {answer}");
            }
        }
    }
}

/// Methods of resources are reached through what gives the resource, which has a row.
#[test]
fn every_function_of_the_contract_has_a_row() {
    let written: BTreeSet<String> = rows().iter().map(|row| row.0.to_owned()).collect();
    for version in VERSIONS {
        let mut resolve = Resolve::default();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(version);
        let (package, _) = resolve.push_dir(&folder).unwrap();
        let world = resolve.select_world(&[package], Some("everything")).unwrap();
        let mut found = BTreeSet::new();
        for item in resolve.worlds[world].imports.values() {
            let wit_parser::WorldItem::Interface { id, .. } = item else { continue };
            let interface = &resolve.interfaces[*id];
            let free =
                interface.functions.values().filter(|one| matches!(one.kind, FunctionKind::Freestanding));
            found.extend(free.map(|one| format!("{}.{}", interface.name.as_deref().unwrap(), one.name)));
        }
        assert_eq!(found, written, "{version}");
    }
}

/// State and secrets of one test.
#[derive(Debug, Default)]
struct Services(std::sync::Mutex<std::collections::BTreeMap<String, StateEntry>>);

#[async_trait]
impl PluginState for Services {
    async fn get(&self, plugin: &str, key: &str) -> Result<Option<StateEntry>> {
        Ok(self.0.lock().unwrap().get(&format!("{plugin}/{key}")).cloned())
    }

    async fn write(
        &self,
        plugin: &str,
        key: &str,
        expected: Expected,
        value: Option<Json>,
        _: u32,
    ) -> Result<bool> {
        let mut state = self.0.lock().unwrap();
        let key = format!("{plugin}/{key}");
        let version = state.get(&key).map(|entry| entry.version);
        let fits = match expected {
            Expected::Any => true,
            Expected::Absent => version.is_none(),
            Expected::Version(expected) => version == Some(expected),
        };
        if fits {
            match value {
                Some(value) => {
                    state.insert(key, StateEntry { value, version: version.unwrap_or_default() + 1 })
                }
                None => state.remove(&key),
            };
        }
        Ok(fits)
    }
}

const VALUE: &str = "the-value-of-the-token";

#[async_trait]
impl SecretSource for Services {
    async fn secret(&self, reference: &str) -> Result<String> {
        assert_eq!(reference, "test:token");
        Ok(format!("{VALUE}\n"))
    }
}

/// Answers each connection with what it was sent, as the body of an answer with a header of the same, in pieces; keeps what
/// it was sent.
async fn mirror(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &std::sync::Mutex<String>) {
    let mut request = vec![0; 64 * 1024];
    let read = stream.read(&mut request).await.unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    let secret = request.lines().find_map(|line| line.strip_prefix("x-token: ")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 200 OK\r\nx-echo: {secret}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        request.len()
    );
    *seen.lock().unwrap() = request.clone();
    let _ = stream.write_all(head.as_bytes()).await;
    for piece in request.as_bytes().chunks(5) {
        let _ = stream.write_all(piece).await;
        let _ = stream.flush().await;
    }
}

async fn mirror_server() -> (u16, Arc<std::sync::Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen) =
        (listener.local_addr().unwrap().port(), Arc::new(std::sync::Mutex::new(String::new())));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            mirror(stream, &kept).await;
        }
    });
    (port, seen)
}

#[tokio::test]
async fn a_secret_reaches_its_host_and_never_the_guest() {
    let (port, seen) = mirror_server().await;
    let policies = format!(
        "[every_call.grants]\nhttp = [\"http://127.0.0.1\"]\nprivate_network = [\"127.0.0.1\"]\n\
         secrets = [{{ name = \"token\", hosts = [\"http://127.0.0.1:{port}\"], from = \"test:token\" }}]\n"
    );
    let plugins = plugins(&policies).await;
    let placeholder = call(&plugins, "secrets.placeholder", json!({"what": "token"})).await["ok"].clone();
    let placeholder = placeholder.as_str().unwrap();
    assert!(!placeholder.contains(VALUE));
    for name in ["http.send", "http.send-streamed"] {
        let inputs = json!({
            "what": format!("http://127.0.0.1:{port}/"), "then": format!("key={placeholder}"),
            "headers": [["x-token", format!("Bearer {placeholder}")], ["accept-encoding", "gzip"]],
        });
        let answer = call(&plugins, name, inputs).await;
        let sent = seen.lock().unwrap().clone();
        assert!(sent.contains(&format!("x-token: Bearer {VALUE}\r\n")), "{sent}");
        assert!(
            sent.ends_with(&format!("key={VALUE}")) && sent.contains("accept-encoding: identity"),
            "{sent}"
        );
        let heard = answer.to_string();
        assert!(heard.contains(&format!("key={placeholder}")) && !heard.contains(VALUE), "{heard}");
    }
}

#[tokio::test]
async fn a_secret_goes_to_no_other_host_also_not_by_a_redirect() {
    let (other, seen) = mirror_server().await;
    let redirecting = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = redirecting.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = redirecting.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{other}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    let policies = format!(
        "[every_call.grants]\nhttp = [\"http://127.0.0.1\"]\nprivate_network = [\"127.0.0.1\"]\n\
         secrets = [{{ name = \"token\", hosts = [\"http://127.0.0.1:{port}\"], from = \"test:token\" }}]\n"
    );
    let plugins = plugins(&policies).await;
    let placeholder = call(&plugins, "secrets.placeholder", json!({"what": "token"})).await["ok"].clone();
    for target in [other, port] {
        let inputs = json!({
            "what": format!("http://127.0.0.1:{target}/"), "headers": [["x-token", placeholder.clone()]],
        });
        let answer = call(&plugins, "http.send", inputs).await;
        assert!(is_denied(&answer) && answer.to_string().contains("send the secret 'token' to"), "{answer}");
    }
    assert_eq!(*seen.lock().unwrap(), "", "nothing was sent there");
}

#[tokio::test]
async fn state_is_compared_and_set() {
    let plugins =
        plugins("[every_call.grants]\nstate = true\n[every_call.limits]\nstate_value_bytes = 10\n").await;
    let ask = async |name: &str, inputs: Value| call(&plugins, name, inputs).await;
    assert_eq!(ask("state.get", json!({"what": "k"})).await["ok"], Value::Null);
    assert_eq!(ask("state.put", json!({"what": "k", "then": "[1]"})).await["ok"], Value::Null);
    let found = ask("state.get", json!({"what": "k"})).await["ok"].clone();
    assert_eq!(found[0], "[1]");
    let swapped = json!({"what": "k", "then": "2", "last": found[1]});
    assert_eq!(ask("state.compare-and-set", swapped.clone()).await["ok"], true);
    assert_eq!(ask("state.compare-and-set", swapped).await["ok"], false, "the version is another one now");
    assert_eq!(ask("state.compare-and-set", json!({"what": "k", "then": "3"})).await["ok"], false);
    assert_eq!(ask("state.compare-and-set", json!({"what": "k", "last": "nonsense"})).await["ok"], false);
    for (inputs, part) in [
        (json!({"what": "k", "then": "\"0123456789\""}), "limits.state_value_bytes is 10"),
        (json!({"what": "k", "then": "{"}), "is not JSON"),
        (json!({"what": "", "then": "1"}), "A key has 1 to 255 bytes"),
    ] {
        let answer = ask("state.put", inputs).await;
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    assert_eq!(ask("state.put", json!({"what": "k"})).await["ok"], Value::Null);
    assert_eq!(ask("state.get", json!({"what": "k"})).await["ok"], Value::Null);
}

#[tokio::test]
async fn streams_and_datagrams_go_where_both_grants_allow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).await;
            let _ = stream.write_all(format!("echo {text}").as_bytes()).await;
        }
    });
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let udp = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut bytes = [0; 1000];
        while let Ok((read, from)) = socket.recv_from(&mut bytes).await {
            let _ = socket.send_to(&bytes[..read], from).await;
        }
    });
    let policies = format!(
        "[every_call.grants]\nnet = [\"127.0.0.1:{tcp}\", \"udp://127.0.0.1:{udp}\", \"localhost:{tcp}\"]\nprivate_network = [\"127.0.0.1:{tcp}\", \"127.0.0.1:{udp}\"]\n\
         [every_call.limits]\nnet_bytes = 30\n"
    );
    let granted = plugins(&policies).await;
    let over_tcp = json!({"what": "127.0.0.1", "port": tcp, "then": "hello"});
    assert_eq!(call(&granted, "net.echo", over_tcp.clone()).await["ok"], "echo hello");
    let over_udp =
        json!({"what": "127.0.0.1", "port": udp, "then": "gauge:1|g", "last": "{\"transport\":\"udp\"}"});
    assert_eq!(call(&granted, "net.echo", over_udp).await["ok"], "gauge:1|g");
    let as_tcp = json!({"what": "127.0.0.1", "port": udp, "then": "x"});
    assert!(is_denied(&call(&granted, "net.echo", as_tcp).await), "the grant is for datagrams");
    let long = json!({"what": "127.0.0.1", "port": tcp, "then": "x".repeat(31)});
    let answer = call(&granted, "net.echo", long).await;
    assert!(answer.to_string().contains("limits.net_bytes is 30"), "{answer}");
    let port = json!({"what": "127.0.0.1", "port": 70_000});
    assert!(call(&granted, "net.connect", port).await.to_string().contains("a port is 1 to 65535"));

    let without = plugins(&format!("[every_call.grants]\nnet = [\"*:{tcp}\"]\n")).await;
    for host in ["127.0.0.1", "localhost", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
        let answer = call(&without, "net.connect", json!({"what": host, "port": tcp})).await;
        assert!(answer.to_string().contains("private/reserved address"), "{host}: {answer}");
    }
}

#[tokio::test]
async fn an_upstream_on_a_socket_is_reached_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("upstream.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let seen = Arc::new(std::sync::Mutex::new(String::new()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            mirror(stream, &kept).await;
        }
    });
    let policies = format!(
        "[every_call.grants]\nunix = [{{ name = \"upstream\", socket = \"{}\" }}]\n",
        socket.display()
    );
    let granted = plugins(&policies).await;
    let inputs = json!({"what": "unix://upstream/v1/info?all=1", "then": "body"});
    let answer = call(&granted, "http.send", inputs.clone()).await;
    assert_eq!(answer["ok"]["status"], 200, "{answer}");
    let sent = seen.lock().unwrap().clone();
    assert!(sent.starts_with("POST /v1/info?all=1 HTTP/1.1\r\n") && sent.ends_with("body"), "{sent}");
    assert!(is_denied(&call(&granted, "http.send", json!({"what": "unix://other/"})).await));
    let bare = plugins("").await;
    let answer = call(&bare, "http.send", inputs).await;
    assert!(is_denied(&answer) && answer.to_string().contains("send to unix://upstream"), "{answer}");
}
