//! The campaign of crashes: callers and readers at work, and one misfortune a cycle. Every few dozen cycles the callers
//! rest, everything must end by itself, and the whole history is judged; then it goes on, on the same database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use apflow_core::id::Seq;
use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::callers::{Caller, Order, Record, Shared};
use super::database::{Database, Kind};
use super::host::{Post, Program};
use super::misfortune::{Misfortune, Moments, befall};
use super::readers::{Reader, Way};
use super::verdict;

/// Cycles between two judgements.
const ROUND: u32 = 50;
const CALLERS: usize = 6;

/// Short leases, so that a host that died is missed soon; breakers that open and close within a cycle.
const CONFIG: &str = "[engine]\nlease_ms = 1500\nbreaker_failures = 5\nbreaker_cool_down_ms = 150\nstop_grace_ms = 2000\n\
                      [log]\nlevel = \"warn\"\n";

/// A campaign.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// How many misfortunes.
    pub cycles: u32,
    /// Everything that is drawn follows from it; what the machine does in between does not.
    pub seed: u64,
    /// On which database.
    pub kind: Kind,
    /// The `apflow` binary.
    pub apflow: PathBuf,
    /// Folders with components.
    pub plugins: Vec<PathBuf>,
}

/// What a campaign came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How often each misfortune befell.
    pub misfortunes: BTreeMap<Misfortune, u32>,
    /// What callers did and were told.
    pub record: Record,
    /// Events in the log.
    pub events: usize,
    /// What the log is about.
    pub summary: apflow_testkit::history::Summary,
}

impl Campaign {
    /// The command that does the same again.
    pub fn command(&self) -> String {
        let kind = match self.kind {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
        };
        format!("cargo xtask campaign --store {kind} --cycles {} --seed {}", self.cycles, self.seed)
    }

    /// Runs it. `say` is told how it goes.
    ///
    /// # Errors
    /// What was lost, done twice, stuck or broken, with the command that repeats the campaign; the folder with the logs of
    /// the hosts and the database file is kept then.
    pub async fn run(&self, say: impl Fn(&str)) -> Result<Report> {
        let folder = tempfile::Builder::new().prefix("apflow-campaign-").tempdir()?;
        let done = self.run_in(folder.path(), &say).await;
        done.map_err(|error| {
            let kept = folder.keep();
            error.context(format!("{} has failed; see {}", self.command(), kept.display()))
        })
    }

    async fn run_in(&self, folder: &Path, say: &impl Fn(&str)) -> Result<Report> {
        let database = Database::new(self.kind, folder);
        let mut field = Field::new(self, folder, &database).await?;
        let mut random = Rng::with_seed(self.seed);
        let mut report = Report::default();
        for cycle in 1..=self.cycles {
            let misfortune = Misfortune::draw(&mut random, &database);
            *report.misfortunes.entry(misfortune).or_default() += 1;
            let befell = async {
                field.start_hosts().await?;
                befall(misfortune, &mut field.posts, &database, &mut field.moments, &mut random).await
            };
            befell.await.with_context(|| format!("cycle {cycle}, {misfortune:?}"))?;
            if cycle % ROUND == 0 || cycle == self.cycles {
                field.judge(&database, &mut report).await.with_context(|| format!("after cycle {cycle}"))?;
                let (events, summary) = (report.events, &report.summary);
                say(&format!(
                    "cycle {cycle}: {} executions, {} tasks completed, {} failed, {} runs taken back, {events} events: \
                     nothing lost, nothing twice",
                    summary.executions, summary.completed, summary.failed, summary.rescued
                ));
            }
        }
        field.end().await?;
        report.record = field.shared.record().clone();
        Ok(report)
    }
}

/// Hosts, callers and readers at work.
struct Field {
    posts: Vec<Post>,
    shared: Arc<Shared>,
    order: watch::Sender<Order>,
    callers: JoinSet<()>,
    readers: JoinSet<()>,
    seen: Vec<(&'static str, Arc<watch::Sender<Vec<Seq>>>)>,
    moments: Moments,
}

impl Field {
    async fn new(campaign: &Campaign, folder: &Path, database: &Database) -> Result<Self> {
        let program = Program {
            apflow: campaign.apflow.clone(),
            plugins: campaign.plugins.clone(),
            database: database.url().to_owned(),
            config: CONFIG.to_owned(),
        };
        // A server may have several hosts; a file has one.
        let nodes: &[&str] = if database.is_server() { &["one", "two"] } else { &["one"] };
        let posts =
            nodes.iter().map(|node| Post::new(program.clone(), folder, node)).collect::<Result<Vec<_>>>()?;
        let (order, orders) = watch::channel(Order::Work);
        let shared = Shared::new(posts.iter().map(Post::url).collect(), orders);
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let seed = campaign.seed.wrapping_mul(1_000).wrapping_add(number as u64);
            callers.spawn(Caller::new(number, Arc::clone(&shared), seed).work());
        }
        let (mut readers, mut seen) = (JoinSet::new(), Vec::new());
        let ways =
            [("'after'", Way::After), ("'Last-Event-ID'", Way::LastEventId), ("'events.list'", Way::Pages)];
        for (name, way) in ways {
            let (reader, positions) =
                Reader::new(way, Arc::clone(&shared), campaign.seed ^ seen.len() as u64);
            readers.spawn(reader.read());
            seen.push((name, positions));
        }
        let events = watch::Sender::new(0);
        let moments = Moments { answers: shared.answers.subscribe(), events: events.subscribe() };
        let mut first = seen[0].1.subscribe();
        readers.spawn(async move {
            while first.changed().await.is_ok() {
                events.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { posts, shared, order, callers, readers, seen, moments })
    }

    /// Starts the hosts that are down.
    async fn start_hosts(&mut self) -> Result<()> {
        for post in &mut self.posts {
            post.check_alive()?;
            if !post.is_up() {
                post.start().await?;
            }
        }
        Ok(())
    }

    /// Lets everything come to its end and judges it.
    async fn judge(&mut self, database: &Database, report: &mut Report) -> Result<()> {
        self.start_hosts().await?;
        self.order.send_replace(Order::Rest);
        let mut resting = self.shared.resting.subscribe();
        let patience = std::time::Duration::from_secs(120);
        tokio::time::timeout(patience, resting.wait_for(|count| *count == CALLERS))
            .await
            .context("a caller waits for an answer that does not come")??;
        let store = verdict::rest(database.url()).await?;
        let record = self.shared.record().clone();
        if let Some(odd) = record.odd.first() {
            bail!("{} refusals that nothing explains, the first: {odd}", record.odd.len());
        }
        let (summary, log) = verdict::judge(&*store, &record.told).await?;
        for (name, seen) in &self.seen {
            verdict::judge_reader(name, &log, seen.subscribe()).await?;
        }
        for post in &self.posts {
            verdict::judge_log(Path::new("host.log"), &post.log())?;
        }
        (report.events, report.summary) = (log.len(), summary);
        self.order.send_replace(Order::Work);
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        self.order.send_replace(Order::End);
        while let Some(ended) = self.callers.join_next().await {
            ended?;
        }
        self.readers.shutdown().await;
        for post in &mut self.posts {
            post.stop().await?;
        }
        Ok(())
    }
}
