//! A database that is moved is the same database: everything reads the same there, and work goes on where it stopped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clone::{NewClone, Origin};
use apflow_core::error::ErrorCode;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, WebhookId};
use apflow_core::receipt::NewReceipt;
use apflow_core::retention::{RetentionPolicy, TrimRequest};
use apflow_core::store::{DeliveryRecord, EventQuery, NewWebhook, Page, Store, TaskFilter};
use apflow_core::task::Task;
use apflow_core::webhook::{DEFAULT_RETRY, DeadLetter, Delivery, Webhook, WebhookDefinition, WebhookMethod};
use apflow_store::StoreOptions;
use apflow_testkit::postgres::Database;
use apflow_testkit::suite::rig::{LONG, Rig, tree};
use serde_json::json;
use tempfile::TempDir;

fn file(folder: &TempDir, name: &str) -> String {
    format!("sqlite:{}", folder.path().join(name).display())
}

async fn open(url: &str) -> Arc<dyn Store> {
    apflow_store::open(url, StoreOptions::default()).await.unwrap()
}

/// Everything that can be read.
async fn all(store: &Arc<dyn Store>) -> (Vec<Task>, Vec<Event>, Seq) {
    let page = Page { limit: 1_000, offset: 0 };
    let tasks = store.list(TaskFilter::default(), page).await.unwrap();
    let after = store.log_start().await.unwrap();
    assert_eq!(after, Seq(4));
    let query = EventQuery { after, limit: 10_000, ..EventQuery::default() };
    (tasks, store.events(query).await.unwrap(), store.last_seq().await.unwrap())
}

/// The webhook, its deliveries and its dead letters.
async fn webhook(store: &Arc<dyn Store>) -> (Webhook, Vec<Delivery>, Vec<DeadLetter>) {
    let (id, page) = ("w".into(), Page { limit: 1_000, offset: 0 });
    let hook = store.webhook(&id).await.unwrap().unwrap();
    let deliveries = store.webhook_deliveries(&id, page).await.unwrap();
    assert_eq!(deliveries.len(), 2);
    (hook, deliveries, store.dead_letters(&id, false, page).await.unwrap())
}

/// A webhook with a message that was delivered and one that was not.
async fn subscribe(rig: &Rig) {
    let definition = WebhookDefinition {
        name: Some("w".into()),
        url: "https://example.org/".into(),
        method: WebhookMethod::Post,
        headers: Default::default(),
        kinds: Vec::new(),
        tree: None,
        user_id: None,
        secret: None,
        timeout_ms: 1_000,
        retry: DEFAULT_RETRY,
        execution: None,
    };
    let (id, now, after) = (WebhookId::from("w"), rig.now, Seq(5));
    let new = NewWebhook { id: id.clone(), definition, enabled: true, after, now };
    assert!(rig.store.insert_webhook(&new).await.unwrap());
    rig.store.lease_webhook(&id, &rig.session, now, now).await.unwrap().unwrap();
    let delivery = |seq, error: Option<&str>| Delivery {
        seq,
        attempt: 1,
        at: now,
        duration_ms: 2,
        status: Some(404),
        error: error.map(Into::into),
    };
    let letter = DeadLetter {
        seq: Seq(7),
        kind: EventKind::TaskCompleted,
        body: "{}".into(),
        attempts: 1,
        status: Some(404),
        error: "no".into(),
        at: now,
        queued: true,
    };
    let record = DeliveryRecord {
        id,
        session: rig.session.clone(),
        cursor: Seq(7),
        attempts: 0,
        next_at: Some(now),
        until: Some(now),
        deliveries: vec![delivery(Seq(6), None), delivery(Seq(7), Some("no"))],
        dead: vec![letter],
        revived: Vec::new(),
        delivered: 1,
        disable: None,
        finished: false,
        now,
    };
    assert!(rig.store.record_deliveries(&record).await.unwrap());
}

/// Trees in every state: done, archived, linked to, with a key, failed and blocked, waiting, running, deleted, and more rows than travel at a time.
async fn fill(store: Arc<dyn Store>) -> Rig {
    let rig = Rig::new(store).await;
    rig.start("done <- d1; d1").await;
    rig.drain().await;
    rig.store.archive(&["d1".into()], rig.now).await.unwrap();
    let origins = vec![Origin { original: "done".into(), link: true }];
    let clone = NewClone { tree: tree(json!([{"id": "link", "name": "link"}])), origins };
    rig.store.insert_clone(&clone, rig.now).await.unwrap();
    let keyed = tree(json!([{"id": "keyed", "name": "keyed"}]));
    let receipt = NewReceipt { key: "k".into(), digest: "d".into() };
    rig.store.insert_once(&keyed, &receipt, false, rig.now).await.unwrap();
    rig.start("broken <- bad fine?; bad; fine").await;
    let runs = rig.claim(100).await;
    let (bad, fine): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.name == "bad");
    rig.fail(&bad[0]).await;
    rig.complete(&fine).await;
    rig.insert("gone; g1").await;
    rig.store.delete(&"gone".into(), rig.now).await.unwrap();
    let many: Vec<String> = (0..1_100).map(|i| format!("m{i}")).collect();
    rig.start(&format!("wide <- {}; {}", many.join(" "), many.join("; "))).await;
    rig.claim(3).await;
    rig.store.set_cursor("collectors", Seq(7), rig.now).await.unwrap();
    subscribe(&rig).await;
    let policy = RetentionPolicy { retain_max: Some(0), ..RetentionPolicy::default() };
    let trimmed = rig.store.trim_events(TrimRequest { policy, now: rig.now, limit: 4 }).await.unwrap();
    assert_eq!(trimmed.removed, 4);
    rig
}

async fn moved(from: &str, to: &str, rig: &Rig) {
    let later = rig.now.plus(LONG).plus(Duration::from_secs(1));
    let tables = apflow_store::copy(from, to, later).await.unwrap();
    assert!(tables.iter().any(|one| one.table == "running" && one.rows == 3), "{tables:?}");
}

#[tokio::test]
async fn a_database_moves_to_postgresql_and_back_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (first, last) = (file(&folder, "first.db"), file(&folder, "last.db"));
    let server = Database::new();
    let store = open(&first).await;
    let rig = fill(Arc::clone(&store)).await;
    let (before, hook) = (all(&store).await, webhook(&store).await);
    drop(store);

    moved(&first, &server.url, &rig).await;
    assert_eq!(all(&open(&server.url).await).await, before);
    moved(&server.url, &last, &rig).await;
    assert_eq!(all(&open(&last).await).await, before);

    for url in [&server.url, &last] {
        let store = open(url).await;
        assert_eq!(webhook(&store).await, hook);
        assert_eq!(store.cursor("collectors").await.unwrap(), Some(Seq(7)));
        assert_eq!(store.receipt(None, "k").await.unwrap().unwrap().root.as_str(), "keyed");
        // The next life of the node takes back what ran, and new keys do not meet old ones.
        let until = rig.now.plus(LONG);
        let opened = store.open_session(&rig.session.node, until, rig.now).await.unwrap();
        assert_eq!((opened.rescued, opened.session.epoch), (3, rig.session.epoch + 1));
        let rig = Rig { store, session: opened.session, now: rig.now };
        rig.start("new <- n1; n1").await;
        let order = rig.drain().await;
        assert_eq!(order.len(), 1_103, "what was left of `wide`, and `new`");
        assert_eq!(rig.statuses(&["wide", "new", "done"]).await, "completed completed completed");
        assert!(rig.last_seq().await > before.2);
    }
}

#[tokio::test]
async fn nothing_is_moved_from_under_a_host_or_over_something() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (file(&folder, "from.db"), file(&folder, "to.db"));
    let rig = Rig::new(open(&from).await).await;
    rig.insert("a").await;
    let error = apflow_store::copy(&from, &to, rig.now).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreUnavailable);
    assert!(error.message.contains("node-1"), "{error}");
    assert_eq!(open(&to).await.last_seq().await.unwrap(), Seq(0), "nothing is half moved");

    rig.store.close_session(&rig.session, rig.now).await.unwrap();
    apflow_store::copy(&from, &to, rig.now).await.unwrap();
    for target in [&to, &from] {
        let error = apflow_store::copy(&from, target, rig.now).await.unwrap_err();
        assert_eq!(
            (error.code, error.data["field"].as_str()),
            (ErrorCode::InvalidParams, Some("to")),
            "{error}"
        );
    }
}
