//! Collectors get every end at least once and in order, also after they refused a batch.

use std::sync::{Arc, Mutex};

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
    refusals: Mutex<u32>,
    seen: Mutex<Vec<Event>>,
    grown: Notify,
}

#[async_trait]
impl Collector for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    async fn collect(&self, batch: Vec<Event>) -> Result<(), TaskError> {
        let mut left = self.refusals.lock().unwrap();
        if *left > 0 {
            *left -= 1;
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

#[tokio::test]
async fn a_refused_batch_comes_again() {
    let collector = Arc::new(Counting { refusals: Mutex::new(1), ..Counting::default() });
    let mut catalog = Catalog { collectors: vec![Arc::clone(&collector) as _], ..Catalog::default() };
    let executor = Arc::new(ScriptedExecutor::new());
    catalog.executors.insert(apflow_testkit::trees::EXECUTOR.into(), executor);
    let fixture = start(Arc::new(catalog)).await;
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
        // A refused batch comes again with the next commit.
        fixture.run(json!([{"name": "more", "executor": apflow_testkit::trees::EXECUTOR}])).await;
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
