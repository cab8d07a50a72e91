//! The handle that everyone holds, what stands behind it, and its start and stop.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use apflow_core::breaker::BreakerPolicy;
use apflow_core::clock::{Clock, Timestamp};
use apflow_core::draft::TreeLimits;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::gate::GateRule;
use apflow_core::id::NodeId;
use apflow_core::lease::{LeasePolicy, Session};
use apflow_core::plugin::{Catalog, Plugins};
use apflow_core::retention::RetentionPolicy;
use apflow_core::store::Store;
use apflow_core::webhook::WebhookOptions;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::breakers::Breakers;
use crate::events::EventHub;
use crate::inbox::Inbox;
use crate::maintenance::collectors::Collectors;
use crate::maintenance::peers::Outbox;
use crate::maintenance::schedules::ScheduleBell;
use crate::runs::Runs;
use crate::schema::Schemas;
use crate::{dispatcher, maintenance};

/// What an operator can set.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Name of this node in the database.
    pub node: NodeId,
    /// Runs at the same time on this node; with 0 it runs nothing and only answers.
    pub max_concurrent_runs: u32,
    /// How long the node's lease lasts.
    pub lease: LeasePolicy,
    /// How large a creation may be.
    pub limits: TreeLimits,
    /// Longest time for one attempt of a task that names none; none for no limit but the plugin's own.
    pub default_timeout: Option<Duration>,
    /// When an executor is left alone for a while.
    pub breaker: BreakerPolicy,
    /// How long [`Engine::stop`] waits for runs before it interrupts them.
    pub stop_grace: Duration,
    /// Whether this node executes trees when their schedules say so.
    pub schedules: bool,
    /// Whether executions that have begun leave the queue before others, whatever their priorities.
    pub started_first: bool,
    /// Limits across trees and hosts, which replace those that the database has; none leaves them as they are.
    pub gate_rules: Option<Vec<GateRule>>,
    /// How much of the event log is kept.
    pub retention: RetentionPolicy,
    /// What webhooks are delivered with; none where there are none.
    pub webhooks: Option<WebhookOptions>,
    /// Version to show.
    pub version: String,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            node: NodeId::from("local"),
            max_concurrent_runs: 256,
            lease: LeasePolicy::default(),
            limits: TreeLimits::default(),
            default_timeout: None,
            breaker: BreakerPolicy::default(),
            stop_grace: Duration::from_secs(5),
            schedules: true,
            started_first: false,
            gate_rules: None,
            retention: RetentionPolicy::default(),
            webhooks: None,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// A running engine. Clones are handles of the same one.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Shared>);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("node", &self.0.options.node).finish_non_exhaustive()
    }
}

/// What the handle, the loops and the runs share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) plugins: Arc<dyn Plugins>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: EngineOptions,
    pub(crate) session: RwLock<Session>,
    /// What runs hand to the next turn.
    pub(crate) inbox: Inbox,
    /// Wakes the dispatcher.
    pub(crate) wake: Notify,
    /// Whether there may be ready tasks to claim.
    pub(crate) claimable: AtomicBool,
    pub(crate) runs: Runs,
    pub(crate) schedules: ScheduleBell,
    /// Rung when an execution has begun.
    pub(crate) deadlines: Notify,
    /// What other hosts are to be told.
    pub(crate) outbox: Outbox,
    /// Wakes the loop that delivers webhooks.
    pub(crate) webhooks: Notify,
    pub(crate) breakers: Breakers,
    pub(crate) collectors: Collectors,
    pub(crate) events: EventHub,
    pub(crate) schemas: Schemas,
    stopping: watch::Sender<bool>,
    loops: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.plugins.catalog()
    }

    pub(crate) fn session(&self) -> Session {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Says that ready tasks may have appeared.
    pub(crate) fn work_appeared(&self) {
        self.claimable.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    fn loops(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new session after the old one was lost: its runs belong to nobody and are interrupted, then everything
    /// that was theirs is ready again.
    pub(crate) async fn reopen_session(&self) -> Result<()> {
        self.runs.abort_all();
        self.inbox.clear();
        let now = self.now();
        let opened = self.store.open_session(&self.options.node, self.options.lease.until(now), now).await?;
        tracing::warn!(node = %self.options.node, epoch = opened.session.epoch, rescued = opened.rescued,
            "the lease of this node was lost; a new session is open");
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = opened.session;
        self.work_appeared();
        Ok(())
    }
}

impl Engine {
    /// Opens a session in the store, takes back what an earlier life of this node left running, and starts.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(
        store: Arc<dyn Store>,
        plugins: Arc<dyn Plugins>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
    ) -> Result<Self> {
        let now = clock.now();
        let opened = store.open_session(&options.node, options.lease.until(now), now).await?;
        if opened.rescued > 0 {
            tracing::info!(
                rescued = opened.rescued,
                "tasks that were running when this node stopped are ready again"
            );
        }
        if let Some(rules) = &options.gate_rules
            && store.set_gate_rules(rules, now).await?
        {
            tracing::info!(
                rules = rules.len(),
                "the limits of executors and keys in the database are now those of this node"
            );
        }
        let last_seq = store.last_seq().await?;
        let shared = Arc::new(Shared {
            runs: Runs::new(options.max_concurrent_runs),
            schedules: ScheduleBell::default(),
            deadlines: Notify::new(),
            outbox: Outbox::default(),
            webhooks: Notify::new(),
            breakers: Breakers::new(options.breaker),
            collectors: Collectors::default(),
            store,
            plugins,
            clock,
            options,
            session: RwLock::new(opened.session),
            inbox: Inbox::default(),
            wake: Notify::new(),
            claimable: AtomicBool::new(true),
            events: EventHub::new(last_seq),
            schemas: Schemas::default(),
            stopping: watch::Sender::new(false),
            loops: Mutex::new(Vec::new()),
        });
        let loops = vec![
            tokio::spawn(dispatcher::run(Arc::clone(&shared))),
            tokio::spawn(maintenance::session::run(Arc::clone(&shared))),
            tokio::spawn(maintenance::collectors::run(Arc::clone(&shared))),
            tokio::spawn(maintenance::schedules::run(Arc::clone(&shared))),
            tokio::spawn(maintenance::deadlines::run(Arc::clone(&shared))),
            tokio::spawn(maintenance::peers::tell(Arc::clone(&shared))),
            tokio::spawn(maintenance::peers::hear(Arc::clone(&shared))),
            tokio::spawn(maintenance::retention::run(Arc::clone(&shared))),
            tokio::spawn(maintenance::tidying::run(Arc::clone(&shared))),
            tokio::spawn(maintenance::webhooks::run(Arc::clone(&shared))),
        ];
        *shared.loops() = loops;
        Ok(Self(shared))
    }

    /// Stops claiming, waits for runs as long as [`EngineOptions::stop_grace`] says, interrupts the rest and gives all
    /// that is unfinished back to the store. A second call returns at once.
    pub async fn stop(&self) {
        self.0.stopping.send_replace(true);
        self.0.wake.notify_one();
        let loops = std::mem::take(&mut *self.0.loops());
        if loops.is_empty() {
            return;
        }
        for handle in loops {
            if let Err(error) = handle.await {
                tracing::error!(%error, "a loop of the engine did not stop in good order");
            }
        }
        if let Err(error) = self.0.store.close_session(&self.0.session(), self.0.now()).await {
            tracing::error!(%error, "the session was not closed; its runs are rescued when its lease expires");
        }
    }

    /// The plugins at this moment.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.0.catalog()
    }

    /// Makes the engine look for due and ready tasks, due schedules and due deliveries now; for clocks that are moved by hand.
    pub fn nudge(&self) {
        self.0.work_appeared();
        self.0.schedules.ring();
        self.0.deadlines.notify_one();
        self.0.webhooks.notify_one();
    }

    pub(crate) fn check_running(&self) -> Result<()> {
        if *self.0.stopping.borrow() {
            return Err(Error::new(ErrorCode::ShuttingDown, "The host is stopping and takes no new work"));
        }
        Ok(())
    }
}
