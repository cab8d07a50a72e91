//! Feeds collectors from the event log: in batches, at least once, from a durable cursor, and never on the way of a
//! task. Each collector has a worker of its own, so that one whose backend is slow or gone holds up no other. How far each has
//! come is told by [`Engine::collectors`].

mod worker;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::Seq;
use apflow_core::store::EventQuery;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::engine::{Engine, Shared};

/// Between two looks for collectors that have come or whose worker has gone.
const LOOK: Duration = Duration::from_secs(1);
/// What is measured.
const KINDS: &[EventKind] = &[
    EventKind::TaskCompleted,
    EventKind::TaskFailed,
    EventKind::TaskCancelled,
    EventKind::TaskRetrying,
    EventKind::TreeCompleted,
    EventKind::TreeFailed,
    EventKind::TreeCancelled,
];

/// How far a collector has come, as this host sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectorStatus {
    /// The collector.
    pub name: String,
    /// Everything up to this position of the log is delivered.
    pub delivered_seq: Seq,
    /// The age of the oldest event that is not delivered, in milliseconds; 0 if all are.
    pub lag_ms: u64,
    /// Deliveries that failed in a row.
    pub failures: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    /// When the next one is tried, after a failure.
    pub retry_at: Option<Timestamp>,
}

/// The failures of a collector that fails at present.
#[derive(Debug, Clone)]
struct Failing {
    count: u32,
    error: String,
    retry_at: Timestamp,
}

/// Which collectors fail at present.
#[derive(Debug, Default)]
pub(crate) struct Collectors(Mutex<BTreeMap<String, Failing>>);

impl Collectors {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Failing>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn succeeded(&self, name: &str) {
        self.change(|all| all.remove(name));
    }

    fn failed(&self, name: &str, error: String, retry_at: Timestamp) {
        self.change(|all| {
            let count = all.get(name).map_or(0, |failing| failing.count).saturating_add(1);
            all.insert(name.to_owned(), Failing { count, error, retry_at });
        });
    }
}

impl Engine {
    /// How far each collector has come, by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn collectors(&self) -> Result<Vec<CollectorStatus>> {
        let mut all = Vec::new();
        for collector in &self.catalog().collectors {
            all.push(self.0.collector_status(collector.name()).await?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

impl Shared {
    async fn collector_status(&self, name: &str) -> Result<CollectorStatus> {
        let cursor = self.store.cursor(name).await?.unwrap_or_default();
        let next = |after| EventQuery { after, kinds: KINDS.to_vec(), limit: 1, ..EventQuery::default() };
        let oldest = match self.store.events(next(cursor)).await {
            Err(error) if error.code == ErrorCode::EventsExpired => {
                self.store.events(next(self.store.log_start().await?)).await?
            }
            events => events?,
        };
        let lag = oldest.first().map(|event| self.now().since(event.at)).unwrap_or_default();
        let failing = self.collectors.change(|all| all.get(name).cloned());
        Ok(CollectorStatus {
            name: name.to_owned(),
            delivered_seq: cursor,
            lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            failures: failing.as_ref().map_or(0, |failing| failing.count),
            error: failing.as_ref().map(|failing| failing.error.clone()),
            retry_at: failing.map(|failing| failing.retry_at),
        })
    }
}

/// Keeps a worker for every collector until the engine stops; what was not delivered then is delivered after the next start.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    let mut workers: HashMap<String, JoinHandle<()>> = HashMap::new();
    loop {
        // A worker ends when its collector is gone; a native collector that panics takes its worker along.
        workers.retain(|_, worker| !worker.is_finished());
        for collector in &shared.catalog().collectors {
            let name = collector.name().to_owned();
            workers
                .entry(name)
                .or_insert_with_key(|name| tokio::spawn(worker::run(Arc::clone(&shared), name.clone())));
        }
        if timeout(LOOK, stopping.wait_for(|stop| *stop)).await.is_ok() {
            break;
        }
    }
    // A batch that is under way may end; one that takes too long comes again.
    for (name, mut worker) in workers {
        if timeout(shared.options.stop_grace, &mut worker).await.is_err() {
            tracing::warn!(collector = name, "the collector is interrupted; its batch comes again");
            worker.abort();
        }
    }
}
