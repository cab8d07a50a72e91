//! The soak: one host runs tasks for long, in trees of mixed shapes that are submitted as fast as it ends them, and is
//! measured on the way. What must stay as it is from the first task to the last: the throughput, the memory of the host,
//! the size of the queues.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Client, Reply};
use super::database::{Database, Kind};
use super::host::{Post, Program};

/// Callers, each of which waits for the end of its tree before it submits the next: so many trees are in the queues.
const CALLERS: u64 = 8;
/// Tasks of one tree.
const TREE: u64 = 500;
const QUEUES: [&str; 4] = ["waiting", "ready", "delayed", "running"];
const CONFIG: &str = "[log]\nlevel = \"warn\"\n[sandbox]\nwatch = false\n";

/// A soak.
#[derive(Debug, Clone)]
pub struct Soak {
    /// How many tasks; rounded up to whole trees.
    pub tasks: u64,
    /// A measurement after so many tasks.
    pub every: u64,
    /// On which database.
    pub kind: Kind,
    /// The `apflow` binary.
    pub apflow: PathBuf,
    /// Folders with components.
    pub plugins: Vec<PathBuf>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// Tasks that had completed.
    pub tasks: u64,
    /// Since the measurement before.
    pub tasks_per_second: f64,
    /// Resident memory of the host, in KiB.
    pub resident_kib: u64,
    /// The database on the disk, in KiB: the file, or all tables with their indexes.
    pub database_kib: u64,
    /// The log of the file (WAL) on the disk, in KiB.
    pub log_kib: u64,
    /// The queue tables with their indexes, in KiB; on a server only.
    pub queues_kib: u64,
    /// Dead rows in the queue tables; on a server only.
    pub dead_rows: u64,
    /// How often autovacuum has come to the queue tables; on a server only.
    pub vacuums: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib / 1024;
        write!(
            f,
            "| {} | {:.0} | {} | {} | {} | {} | {} | {} |",
            self.tasks,
            self.tasks_per_second,
            mib(self.resident_kib),
            mib(self.database_kib),
            mib(self.log_kib),
            self.queues_kib,
            self.dead_rows,
            self.vacuums
        )
    }
}

/// The head of the table of measurements.
pub const HEAD: &str = "| tasks | tasks/s | host MiB | database MiB | WAL MiB | queues KiB | dead rows | vacuums |\n\
                        |---|---|---|---|---|---|---|---|";

impl Soak {
    /// Runs it; `say` is told each measurement.
    ///
    /// # Errors
    /// If a tree does not complete, or something is left in the queues at the end.
    pub async fn run(&self, say: impl Fn(&Measured)) -> Result<Vec<Measured>> {
        let folder = tempfile::Builder::new().prefix("apflow-soak-").tempdir()?;
        let database = Database::new(self.kind, folder.path());
        let program = Program {
            apflow: self.apflow.clone(),
            plugins: self.plugins.clone(),
            database: database.url().to_owned(),
            config: CONFIG.to_owned(),
        };
        let mut post = Post::new(program, folder.path(), "one")?;
        post.start().await?;
        let url = post.url().borrow().clone().context("the host is not up")?;
        let measured = self.measure_on(&url, &post, &database, &say).await?;
        check_rest(&url, &database).await?;
        post.stop().await?;
        Ok(measured)
    }

    async fn measure_on(
        &self,
        url: &str,
        post: &Post,
        database: &Database,
        say: &impl Fn(&Measured),
    ) -> Result<Vec<Measured>> {
        let next = Arc::new(AtomicU64::new(0));
        let trees = self.tasks.div_ceil(TREE);
        let mut callers = JoinSet::new();
        let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..CALLERS {
            let (url, next, ended) = (url.to_owned(), Arc::clone(&next), ended.clone());
            callers.spawn(async move {
                let client = Client::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= trees {
                        return anyhow::Ok(());
                    }
                    let reply = client.call(&url, "tasks.execute", json!({"tasks": tree(number)})).await?;
                    match reply {
                        Reply::Done(answer) if answer["status"] == "completed" => ended.send(())?,
                        other => bail!("tree {number}: {other:?}"),
                    }
                }
            });
        }
        drop(ended);
        let (mut all, mut tasks, mut since) = (Vec::new(), 0, Instant::now());
        let mut before = 0;
        while ends.recv().await.is_some() {
            tasks += TREE;
            if tasks - before >= self.every || tasks == trees * TREE {
                let seconds = since.elapsed().as_secs_f64();
                let tasks_per_second = (tasks - before) as f64 / seconds;
                let measured =
                    measure(Measured { tasks, tasks_per_second, ..Measured::default() }, post, database)?;
                say(&measured);
                all.push(measured);
                (before, since) = (tasks, Instant::now());
            }
        }
        while let Some(caller) = callers.join_next().await {
            caller??;
        }
        Ok(all)
    }
}

/// A tree of noops: flat, in layers, short chains side by side, or fanned out and in.
fn tree(number: u64) -> Value {
    let name = |i: u64| if i == 0 { "root".to_owned() } else { format!("t{i}") };
    let needs = |i: u64| -> Vec<String> {
        let earlier = match number % 4 {
            1 if i + 50 < TREE && i > 0 => vec![i + 50],
            2 if i % 10 != 9 && i > 0 && i + 1 < TREE => vec![i + 1],
            3 if i == 0 => (1..TREE - 1).collect(),
            3 if i < TREE - 1 => vec![TREE - 1],
            _ => Vec::new(),
        };
        earlier.into_iter().map(name).collect()
    };
    (0..TREE)
        .map(|i| {
            let parent = (i > 0).then_some("root");
            json!({"name": name(i), "parent_id": parent, "executor": "noop_executor", "dependencies": needs(i)})
        })
        .collect()
}

fn measure(so_far: Measured, post: &Post, database: &Database) -> Result<Measured> {
    let resident_kib = post.pid().and_then(resident_kib).context("the host has ended")?;
    let mut measured = Measured { resident_kib, ..so_far };
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len() / 1024);
    if let Some(file) = database.file() {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        (measured.database_kib, measured.log_kib) = (size(file), size(Path::new(&log)));
    }
    for row in database.query(TABLES) {
        let number = |i: usize| row[i].parse::<u64>().unwrap_or_default();
        measured.database_kib += number(1);
        if QUEUES.contains(&row[0].as_str()) {
            measured.queues_kib += number(1);
            measured.dead_rows += number(2);
            measured.vacuums += number(3);
        }
    }
    Ok(measured)
}

/// Name, size with indexes in KiB, dead rows, visits of autovacuum.
const TABLES: &str = "SELECT relname, pg_total_relation_size(relid) / 1024, n_dead_tup, autovacuum_count
                        FROM pg_stat_user_tables WHERE schemaname = 'apflow'";

/// `VmRSS` of a process.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// Nothing is left to do.
async fn check_rest(url: &str, database: &Database) -> Result<()> {
    let counted = Client::default().call(url, "tasks.count", json!({})).await?;
    let Reply::Done(count) = counted else { bail!("tasks.count was refused") };
    ensure!(count["completed"] == count["total"], "not everything has completed: {count}");
    for queue in QUEUES {
        let rows = database.query(&format!("SELECT count(*) FROM apflow.{queue}"));
        ensure!(rows.iter().all(|row| row[0] == "0"), "the table '{queue}' is not empty: {rows:?}");
    }
    Ok(())
}
