//! Collectors get every end at least once and in order, also after they refused a batch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::event::{Event, EventKind};
use apflow_core::plugin::{Catalog, Collector};
use apflow_testkit::scripted::ScriptedExecutor;
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Notify;

use crate::setup::start;

#[derive(Debug, Default)]
struct Counting {
    name: &'static str,
    refusals: Mutex<u32>,
    seen: Mutex<Vec<Event>>,
    grown: Notify,
}

impl Counting {
    fn refusing(name: &'static str, refusals: u32) -> Arc<Self> {
        Arc::new(Self { name, refusals: Mutex::new(refusals), ..Self::default() })
    }
}

#[async_trait]
impl Collector for Counting {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn collect(&self, batch: Vec<Event>) -> Result<(), TaskError> {
        let mut left = self.refusals.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            self.grown.notify_one();
            return Err(TaskError::new(FailureKind::Plugin, "busy", "not now"));
        }
        self.seen.lock().unwrap().extend(batch);
        self.grown.notify_one();
        Ok(())
    }

    async fn render(&self) -> Result<String, TaskError> {
        Ok(format!("seen {}\n", self.seen.lock().unwrap().len()))
    }
}

fn catalog(collectors: &[&Arc<Counting>]) -> Arc<Catalog> {
    let collectors = collectors.iter().map(|one| Arc::clone(one) as _).collect();
    let mut catalog = Catalog { collectors, ..Catalog::default() };
    let executor = Arc::new(ScriptedExecutor::new());
    catalog.executors.insert(apflow_testkit::trees::EXECUTOR.into(), executor);
    Arc::new(catalog)
}

#[tokio::test]
async fn a_refused_batch_comes_again() {
    let collector = Counting::refusing("counting", 1);
    let fixture = start(catalog(&[&collector])).await;
    for id in ["a", "b"] {
        fixture.run(json!([{"name": id, "id": id, "executor": apflow_testkit::trees::EXECUTOR}])).await;
    }
    let ended = loop {
        let grown = collector.grown.notified();
        let ended: Vec<_> =
            collector.seen.lock().unwrap().iter().map(|event| (event.seq, event.kind)).collect();
        if ended.len() >= 4 {
            break ended;
        }
        grown.await;
    };
    let kinds: Vec<_> = ended.iter().take(4).map(|one| one.1).collect();
    assert_eq!(
        kinds,
        [
            EventKind::TaskCompleted,
            EventKind::TreeCompleted,
            EventKind::TaskCompleted,
            EventKind::TreeCompleted
        ]
    );
    assert!(ended.is_sorted_by(|a, b| a.0 < b.0), "{ended:?}");
    assert!(fixture.engine.render_metrics().await.unwrap().starts_with("seen "));
    assert!(fixture.store.cursor("counting").await.unwrap().is_some());
}

#[tokio::test]
async fn one_that_fails_is_left_alone_says_why_and_holds_up_no_other() {
    let (broken, well) = (Counting::refusing("broken", u32::MAX), Counting::refusing("well", 0));
    let fixture = start(catalog(&[&broken, &well])).await;
    let (failed, taken) = (broken.grown.notified(), well.grown.notified());
    fixture.run(json!([{"name": "a", "id": "a", "executor": apflow_testkit::trees::EXECUTOR}])).await;
    tokio::join!(failed, taken);
    fixture.clock.advance(Duration::from_secs(3));
    let status = loop {
        // The cursor and the failure are written after the answer.
        let status = fixture.engine.collectors().await.unwrap();
        if status[0].failures > 0 && status[1].lag_ms == 0 {
            break status;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(status.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["broken", "well"]);
    assert_eq!(status[0].error.as_deref(), Some("busy: not now"));
    assert!(status[0].retry_at.is_some() && status[0].lag_ms >= 3_000, "{status:?}");
    assert!(status[0].delivered_seq < status[1].delivered_seq && status[1].failures == 0, "{status:?}");
}
