//! A server process of the benchmark's own: how long it takes to its first answer, and how much memory it has then.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use apflow_engine::operation::Door;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::super::client::Client;
use super::super::errors::Failure;

/// What was measured.
pub struct Measured {
    /// From the start of the process to the answer of `system.health`.
    pub first_answer: Duration,
    /// Resident memory after it, in KiB.
    pub idle_kib: u64,
}

/// Starts a server in `folder` and stops it again.
pub async fn measure(folder: &Path, plugins: &[PathBuf]) -> Result<Measured, Failure> {
    let failed = |what: &str| Failure::missing("runtime_error", format!("the measured server {what}"));
    let program = std::env::current_exe().map_err(|_| failed("has no program"))?;
    let mut command = Command::new(program);
    command.args(["serve", "--host", "127.0.0.1", "--port", "0", "--log-level", "error", "--database-url"]);
    command.arg(format!("sqlite:{}", folder.join("start.db").display()));
    for folder in plugins {
        command.arg("--plugins").arg(std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
    }
    command.current_dir(folder).stdout(Stdio::piped()).kill_on_drop(true);
    let began = Instant::now();
    let mut child = command.spawn().map_err(|_| failed("cannot be started"))?;
    let stdout = child.stdout.take().ok_or_else(|| failed("has no output"))?;
    let line = BufReader::new(stdout).lines().next_line().await.ok().flatten();
    let line = line.ok_or_else(|| failed("ended at once"))?;
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    let url = url.ok_or_else(|| failed("does not say where it listens"))?;
    Client::new(url)?.call(Door::System, "system.health", serde_json::json!({})).await?;
    let first_answer = began.elapsed();
    let idle_kib = child.id().and_then(resident_kib).unwrap_or_default();
    child.kill().await.map_err(|_| failed("cannot be stopped"))?;
    Ok(Measured { first_answer, idle_kib })
}

/// `VmRSS` of `/proc/PID/status`; none where there is no such file.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}
