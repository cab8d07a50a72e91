//! Readers of the whole log, who take up their stream where it broke, in one of the ways that there are.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::id::Seq;
use fastrand::Rng;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::callers::Shared;
use super::client::{Client, Reply};

/// How a reader reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `GET /events?after=…`
    After,
    /// `GET /events` with `Last-Event-ID`.
    LastEventId,
    /// Pages of `events.list`.
    Pages,
}

/// A reader. What it has seen is kept where others can look.
#[derive(Debug)]
pub struct Reader {
    way: Way,
    shared: Arc<Shared>,
    client: Client,
    random: Rng,
    seen: Arc<watch::Sender<Vec<Seq>>>,
}

impl Reader {
    /// A reader that begins with the first event, and what it will have seen.
    pub fn new(way: Way, shared: Arc<Shared>, seed: u64) -> (Self, Arc<watch::Sender<Vec<Seq>>>) {
        let seen = Arc::new(watch::Sender::new(Vec::new()));
        let random = Rng::with_seed(seed);
        (Self { way, shared, client: Client::default(), random, seen: Arc::clone(&seen) }, seen)
    }

    /// Reads for ever.
    pub async fn read(mut self) {
        loop {
            let url = self.shared.url(&mut self.random).await;
            let done = match self.way {
                Way::After => self.stream(&url, false).await,
                Way::LastEventId => self.stream(&url, true).await,
                Way::Pages => self.pages(&url).await,
            };
            if done.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn last(&self) -> i64 {
        self.seen.borrow().last().map_or(0, |seq| seq.0)
    }

    async fn stream(&mut self, url: &str, by_header: bool) -> anyhow::Result<()> {
        let mut events = self.client.log(url, self.last(), by_header).await?;
        // Leaves now and then by itself, so that streams also break where no host does.
        let leave = Duration::from_millis(self.random.u64(50..5_000));
        let read = async {
            loop {
                let (id, event) = events.next().await?;
                anyhow::ensure!(event["seq"] == id, "the id of an event is not its position: {id}, {event}");
                self.seen.send_modify(|seen| seen.push(Seq(id)));
            }
        };
        timeout(leave, read).await.unwrap_or(Ok(()))
    }

    async fn pages(&mut self, url: &str) -> anyhow::Result<()> {
        let params = json!({"after": self.last(), "limit": self.random.u16(1..500)});
        let Reply::Done(page) = self.client.call(url, "events.list", params).await? else {
            anyhow::bail!("refused")
        };
        let read = page["events"].as_array().into_iter().flatten();
        let positions: Vec<Seq> = read.filter_map(|event| event["seq"].as_i64()).map(Seq).collect();
        if positions.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
        self.seen.send_modify(|seen| seen.extend(positions));
        Ok(())
    }
}
