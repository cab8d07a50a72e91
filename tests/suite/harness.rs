//! A server process of the test's own, a JSON-RPC client for it, and waiting without sleeping.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use apflow_testkit::postgres::Database;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing here takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The `apflow` binary that belongs to this build.
pub fn binary() -> PathBuf {
    let name = format!("apflow{}", std::env::consts::EXE_SUFFIX);
    let built = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name);
    assert!(built.exists(), "{} is missing: run `cargo build --bin apflow`", built.display());
    built
}

/// The folder of shipped components.
pub fn shipped() -> PathBuf {
    folder("plugins/dist")
}

/// The folder of the tests' own components.
pub fn hostile() -> PathBuf {
    folder("plugins/dist-test")
}

fn folder(path: &str) -> PathBuf {
    let folder = root().join(path);
    assert!(folder.is_dir(), "{} is missing: run `cargo xtask plugins`", folder.display());
    folder
}

/// How to start a server.
pub struct Setup {
    /// Folders with plugins.
    pub plugins: Vec<PathBuf>,
    /// Text of `apflow.toml`.
    pub config: String,
    /// Environment variables.
    pub env: Vec<(&'static str, String)>,
    /// A database on PostgreSQL; without one it is a file in the server's folder.
    pub database: Option<Arc<Database>>,
    /// Gives the database file a disk of its own of so many KiB, which only the server sees.
    pub disk_kib: Option<u32>,
}

/// Whether the cases of this run are about PostgreSQL, see on_postgres.rs.
fn on_postgres() -> bool {
    std::env::var("APFLOW_TEST_DATABASE").is_ok_and(|database| database == "postgres")
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            plugins: vec![shipped(), hostile()],
            config: String::new(),
            env: Vec::new(),
            database: on_postgres().then(|| Arc::new(Database::new())),
            disk_kib: None,
        }
    }
}

/// A running `apflow serve` with a folder of its own; killed when dropped.
pub struct Server {
    child: Child,
    /// Its folder: `apflow.toml`, `apflow.db`.
    pub folder: TempDir,
    /// `http://127.0.0.1:port`.
    pub url: String,
    setup: Setup,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A server with all plugins and no configuration.
pub async fn server() -> Server {
    Server::start(Setup::default()).await
}

/// The same on PostgreSQL.
pub async fn server_on_postgres() -> Server {
    Server::start(Setup { database: Some(Arc::new(Database::new())), ..Setup::default() }).await
}

/// A server that runs one task at a time.
pub async fn sequential_server() -> Server {
    Server::start(Setup { config: "[engine]\nmax_concurrent_runs = 1\n".into(), ..Setup::default() }).await
}

impl Server {
    pub async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("apflow.toml"), &setup.config).unwrap();
        let (child, url) = spawn(&setup, folder.path()).await;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { child, folder, url, setup, client }
    }

    /// kill -9, and a new process on the same folder.
    pub async fn crash_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (child, url) = spawn(&self.setup, self.folder.path()).await;
        (self.child, self.url) = (child, url);
    }

    /// A graceful stop; gives the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }

    /// The URL of its database on PostgreSQL.
    pub fn database_url(&self) -> String {
        self.setup.database.as_ref().unwrap().url.clone()
    }

    /// Changes the size of the disk that `Setup::disk_kib` gave it.
    pub fn resize_disk(&self, kib: u32) {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--mount", "--target", &self.child.id().to_string(), "mount", "-o"]);
        nsenter.arg(format!("remount,size={kib}k")).arg(self.path("disk"));
        assert!(nsenter.status().unwrap().success(), "the disk cannot be resized");
    }

    /// Waits until the server has logged that.
    pub async fn await_log(&self, text: &str) {
        let begun = tokio::time::Instant::now();
        while !std::fs::read_to_string(self.path("server.log")).unwrap().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "the server does not log '{text}'");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A file of the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        let request = hyper::Request::post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        let response = tokio::time::timeout(PATIENCE, self.client.request(request)).await.unwrap().unwrap();
        read(response).await
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let request =
            hyper::Request::get(format!("{}{path}", self.url)).body(Full::new(Bytes::new())).unwrap();
        read(tokio::time::timeout(PATIENCE, self.client.request(request)).await.unwrap().unwrap()).await
    }

    /// A call whose answer is a stream of server-sent events.
    pub async fn stream(&self, method: &str, params: Value) -> EventStream {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = hyper::Request::post(format!("{}/tasks", self.url))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        self.open(request).await
    }

    /// `GET` of an event stream, after `last_id` where given.
    pub async fn events(&self, path: &str, last_id: Option<&str>) -> EventStream {
        let mut request = hyper::Request::get(format!("{}{path}", self.url));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        self.open(request.body(Full::new(Bytes::new())).unwrap()).await
    }

    async fn open(&self, request: hyper::Request<Full<Bytes>>) -> EventStream {
        let response = tokio::time::timeout(PATIENCE, self.client.request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        EventStream { body: response.into_body(), text: String::new() }
    }

    /// The whole JSON-RPC answer and the HTTP status.
    pub async fn rpc(&self, path: &str, method: &str, params: Value) -> (u16, Value) {
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
        let (status, text) = self.post(path, body).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
        assert_eq!(answer["id"], 7, "{answer}");
        (status, answer)
    }

    /// The result of a `tasks.*` method; anything else ends the test.
    pub async fn tasks(&self, method: &str, params: Value) -> Value {
        let (status, mut answer) = self.rpc("/tasks", method, params).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// The error of a `tasks.*` method: JSON-RPC code and human text.
    pub async fn refused(&self, method: &str, params: Value) -> (i64, String) {
        let (_, answer) = self.rpc("/tasks", method, params).await;
        let error = answer.get("error").unwrap_or_else(|| panic!("not refused: {answer}"));
        (error["code"].as_i64().unwrap(), error["data"]["detail"].as_str().unwrap().to_owned())
    }

    pub async fn task(&self, id: &str) -> Value {
        self.tasks("tasks.get", json!({ "task_id": id })).await
    }

    /// Creates and executes; gives the answer of the execution.
    pub async fn run(&self, tasks: Value) -> Value {
        self.tasks("tasks.execute", json!({ "tasks": tasks })).await
    }

    /// How many tasks there are.
    pub async fn total(&self) -> i64 {
        self.tasks("tasks.count", json!({})).await["total"].as_i64().unwrap()
    }

    /// Reads the log of a tree until an event of that kind (and task id, where given) comes.
    pub async fn await_event(&self, query: &str, kind: &str, task: Option<&str>) -> Value {
        let mut events = self.events(&format!("/events?{query}&after=0"), None).await;
        loop {
            let event = events.next().await.expect("the stream ended").1;
            if event["kind"] == kind && task.is_none_or(|task| event["task_id"] == task) {
                return event;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn read(response: hyper::Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    (status, String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

/// The binary, in a mount namespace where a small disk is at that folder; without root, a user namespace lets it mount.
fn on_own_disk(kib: u32, folder: &Path) -> Command {
    std::fs::create_dir_all(folder).unwrap();
    in_own_mounts(&format!("mount -t tmpfs -o size={kib}k tmpfs '{}'", folder.display()))
}

/// The binary, after that shell command in a mount namespace of its own.
pub fn in_own_mounts(prepare: &str) -> Command {
    let mut command = Command::new("unshare");
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-c", &format!("{prepare} && exec \"$@\""), "sh"]).arg(binary());
    command
}

async fn spawn(setup: &Setup, folder: &Path) -> (Child, String) {
    let mut command = match setup.disk_kib {
        Some(kib) => on_own_disk(kib, &folder.join("disk")),
        None => Command::new(binary()),
    };
    command.args(["serve", "--host", "127.0.0.1", "--port", "0", "--database-url"]);
    command.arg(match (&setup.database, setup.disk_kib) {
        (Some(database), _) => database.url.clone(),
        (None, Some(_)) => format!("sqlite:{}", folder.join("disk/apflow.db").display()),
        (None, None) => format!("sqlite:{}", folder.join("apflow.db").display()),
    });
    for plugins in &setup.plugins {
        command.arg("--plugins").arg(plugins);
    }
    command.envs(setup.env.iter().map(|(key, value)| (*key, value.as_str())));
    command.current_dir(folder).stdout(Stdio::piped());
    command.stderr(std::fs::File::create(folder.join("server.log")).unwrap());
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    // The first line says where it listens; the thread ends with the process.
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let first = tokio::task::spawn_blocking(move || receiver.recv_timeout(PATIENCE)).await.unwrap();
    let Ok(line) = first else {
        let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        panic!("the server did not start:\n{log}");
    };
    let at = line.find("http://").unwrap_or_else(|| panic!("no address in {line:?}"));
    let url = line[at..].split_whitespace().next().unwrap().trim_end_matches('/').to_owned();
    (child, url)
}

/// A stream of server-sent events.
pub struct EventStream {
    body: Incoming,
    text: String,
}

impl EventStream {
    /// The next event with data: its id (empty if it has none) and its data; none at the end.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim_start().to_owned())
                };
                if let Some(data) = field("data:") {
                    let value = serde_json::from_str(&data).unwrap_or_else(|_| panic!("not JSON: {data}"));
                    return Some((field("id:").unwrap_or_default(), value));
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("no event in time")?;
            let data = frame.unwrap().into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// All events to the end of the stream.
    pub async fn rest(&mut self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

/// A task that reports the machine's processors.
pub fn info(name: &str) -> Value {
    json!({"name": name, "executor": "system_info_executor", "inputs": {"resource": "cpu"}})
}

/// A task object with more fields.
pub fn with(mut task: Value, more: Value) -> Value {
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}
