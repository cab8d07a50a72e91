//! An engine on [`MemStore`], and the questions that tests ask it.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::{Clock, ManualClock, Timestamp};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::Seq;
use apflow_core::plugin::{Catalog, FixedPlugins};
use apflow_core::store::Store;
use apflow_core::task::{Task, TreeStatus};
use apflow_engine::{Engine, EngineOptions};
use apflow_testkit::mem::MemStore;
use futures::StreamExt as _;
use serde_json::Value;

pub struct Fixture {
    pub engine: Engine,
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
}

pub async fn start(catalog: Arc<Catalog>) -> Fixture {
    start_with(catalog, EngineOptions::default()).await
}

pub async fn start_with(catalog: Arc<Catalog>, options: EngineOptions) -> Fixture {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let plugins = Arc::new(FixedPlugins(catalog));
    let own_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let engine = Engine::start(Arc::clone(&store), plugins, own_clock, options).await.unwrap();
    Fixture { engine, store, clock }
}

impl Fixture {
    /// Runs a tree to its end.
    pub async fn run(&self, tasks: Value) -> TreeStatus {
        let started = self.engine.submit(tasks).await.unwrap();
        self.engine.wait(started.tree, started.execution, &started.root).await.unwrap().status
    }

    pub async fn task(&self, id: &str) -> Task {
        self.engine.get(&id.into()).await.unwrap().unwrap()
    }

    /// The first event of that kind about that task (or any), waiting for it.
    pub async fn event(&self, kind: EventKind, task: Option<&str>) -> Event {
        self.nth_event(0, kind, task).await
    }

    /// The event behind `before` others of its kind.
    pub async fn nth_event(&self, mut before: usize, kind: EventKind, task: Option<&str>) -> Event {
        let mut log = Box::pin(self.engine.events(None, Seq(0)));
        loop {
            let event = log.next().await.unwrap().unwrap();
            let same = task.is_none_or(|task| event.task_id.as_ref().is_some_and(|id| id.as_str() == task));
            if event.kind == kind && same {
                if before == 0 {
                    return event;
                }
                before -= 1;
            }
        }
    }

    /// Moves the clock and lets the engine look.
    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.engine.nudge();
    }
}
