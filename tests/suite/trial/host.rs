//! Host processes: a [`Post`] is the place of one host, with its folder and its node name, where one process after another
//! lives and dies.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// A start or a stop takes this long at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every host of a trial is started with.
#[derive(Debug, Clone)]
pub struct Program {
    /// The `apflow` binary.
    pub apflow: PathBuf,
    /// Folders with components.
    pub plugins: Vec<PathBuf>,
    /// The database.
    pub database: String,
    /// Text of `apflow.toml`.
    pub config: String,
}

/// The place of one host.
#[derive(Debug)]
pub struct Post {
    program: Program,
    folder: PathBuf,
    node: String,
    child: Option<Child>,
    url: watch::Sender<Option<String>>,
}

impl Post {
    /// A place without a process. Its folder is made below `folder`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(program: Program, folder: &Path, node: &str) -> Result<Self> {
        let folder = folder.join(node);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("apflow.toml"), &program.config)?;
        Ok(Self { program, folder, node: node.to_owned(), child: None, url: watch::Sender::new(None) })
    }

    /// Where the host is reached, while there is one.
    pub fn url(&self) -> watch::Receiver<Option<String>> {
        self.url.subscribe()
    }

    /// What all processes here have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("host.log")).unwrap_or_default()
    }

    /// The process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    fn spawn(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("host.log"))?;
        let mut command = Command::new(&self.program.apflow);
        command.args([
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--database-url",
            &self.program.database,
        ]);
        for folder in &self.program.plugins {
            command.arg("--plugins").arg(folder);
        }
        command.env("APFLOW_ENGINE_NODE", &self.node).env("NO_COLOR", "1").current_dir(&self.folder);
        command.stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().context("apflow cannot be started")?);
        Ok(())
    }

    /// Starts a process and waits until it says where it listens.
    ///
    /// # Errors
    /// If it ends before, with the end of its log.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        let stdout = self.child.as_mut().and_then(|child| child.stdout.take()).context("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.context("the host does not start")??;
        let url =
            line.as_deref().and_then(|line| line.split_whitespace().find(|word| word.starts_with("http")));
        let Some(url) = url else { bail!("host {} ended at its start:\n{}", self.node, self.tail()) };
        self.url.send_replace(Some(url.trim_end_matches('/').to_owned()));
        Ok(())
    }

    /// Starts a process and kills it after a while, whether it is up by then or not.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start_and_kill(&mut self, after: Duration) -> Result<()> {
        self.spawn()?;
        tokio::time::sleep(after).await;
        self.kill().await
    }

    /// kill -9.
    ///
    /// # Errors
    /// If the process had ended by itself.
    pub async fn kill(&mut self) -> Result<()> {
        self.check_alive()?;
        self.kill_whatever().await
    }

    /// kill -9, also if the process has ended meanwhile.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill_whatever(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().await?;
        self.url.send_replace(None);
        Ok(())
    }

    /// Asks it to stop in good order.
    ///
    /// # Errors
    /// If there is no process.
    pub fn ask_to_stop(&self) -> Result<()> {
        let pid = self.pid().and_then(|id| Pid::from_raw(id.cast_signed())).context("there is no host")?;
        kill_process(pid, Signal::TERM).context("the host has ended by itself")
    }

    /// Stops it in good order.
    ///
    /// # Errors
    /// If it does not end, or not with exit code 0.
    pub async fn stop(&mut self) -> Result<()> {
        self.ask_to_stop()?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let status = timeout(PATIENCE, child.wait()).await.context("the host does not stop")??;
        self.url.send_replace(None);
        if !status.success() {
            bail!("host {} stopped with {status}:\n{}", self.node, self.tail());
        }
        Ok(())
    }

    /// # Errors
    /// If the process has ended although nobody asked for it.
    pub fn check_alive(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("host {} ended by itself with {status}:\n{}", self.node, self.tail()),
        }
    }

    /// Whether there is a process.
    pub const fn is_up(&self) -> bool {
        self.child.is_some()
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
