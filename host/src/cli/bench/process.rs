//! A server process of the benchmark's own: how it is started, asked, and how much memory it has.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use apflow_engine::operation::Door;
use apflow_host::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::super::client::Client;
use super::super::errors::Failure;
use super::place::Place;

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    client: Client,
    /// From the start of the process to the answer of `system.health`.
    pub first_answer: Duration,
}

impl Server {
    /// Starts one that works at `place`, as the node of that name.
    pub async fn start(config: &Config, place: &Place, node: &str) -> Result<Self, Failure> {
        let file = write(config, place, node)?;
        let program = std::env::current_exe().map_err(|_| failed("has no program"))?;
        let mut command = Command::new(program);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0", "--log-level", "error"]);
        command.args(["--database-url", &place.url, "--config"]).arg(file);
        // The file says everything.
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if name.starts_with("APFLOW_") || name == "DATABASE_URL" {
                command.env_remove(name);
            }
        }
        command.current_dir(place.folder()).stdout(Stdio::piped()).kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().map_err(|_| failed("cannot be started"))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("has no output"))?;
        let line = BufReader::new(stdout).lines().next_line().await.ok().flatten();
        let line = line.ok_or_else(|| failed("ended at once"))?;
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let client = Client::new(url.ok_or_else(|| failed("does not say where it listens"))?)?;
        client.call(Door::System, "system.health", json!({})).await?;
        Ok(Self { child, client, first_answer: began.elapsed() })
    }

    /// Calls an operation on tasks.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        self.client.call(Door::Tasks, method, params).await
    }

    /// Calls an operation on tasks, and gives the bytes of the answer, which is not kept.
    pub async fn size_of(&self, method: &str, params: Value) -> Result<u64, Failure> {
        self.client.size_of(Door::Tasks, method, params).await
    }

    /// Runs a tree to its end, which must be completion; gives the id of its root.
    pub async fn run(&self, tasks: Value) -> Result<String, Failure> {
        let answer = self.call("tasks.execute", json!({ "tasks": tasks })).await?;
        match (answer["status"].as_str(), answer["root_task_id"].as_str()) {
            (Some("completed"), Some(root)) => Ok(root.to_owned()),
            _ => {
                Err(Failure::missing("plugin_error", format!("the tree of the benchmark ended as {answer}")))
            }
        }
    }

    /// Resident memory in MiB.
    pub fn memory(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most resident memory since the start, or since [`Server::forget_peak`], in MiB.
    pub fn peak(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// Lets the peak begin anew, where the kernel can do that.
    pub fn forget_peak(&self) {
        if let Some(pid) = self.child.id() {
            let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    /// A figure of `/proc/PID/status`; not a number where there is no such file.
    fn status(&self, name: &str) -> f64 {
        let read = |pid: u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let kib = status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
            kib.parse::<f64>().ok()
        };
        self.child.id().and_then(read).map_or(f64::NAN, |kib| kib / 1024.0)
    }

    /// Ends it at once.
    pub async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|_| failed("cannot be stopped"))
    }
}

fn failed(what: &str) -> Failure {
    Failure::missing("runtime_error", format!("the measured server {what}"))
}

fn write(config: &Config, place: &Place, node: &str) -> Result<std::path::PathBuf, Failure> {
    let mut config = place.config(config);
    node.clone_into(&mut config.engine.node);
    for folder in &mut config.sandbox.folders {
        *folder = std::path::absolute(&*folder).unwrap_or_else(|_| folder.clone());
    }
    let text = toml::to_string(&config).map_err(|error| failed(&format!("has no configuration: {error}")))?;
    let file: &Path = place.folder();
    let file = file.join(format!("{node}.toml"));
    std::fs::write(&file, text).map_err(|error| failed(&format!("has no configuration: {error}")))?;
    Ok(file)
}
