//! Webhooks: kept, leased by one host at a time, and what is recorded of their deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, WebhookId};
use apflow_core::lease::Session;
use apflow_core::retention::{RetentionPolicy, TrimRequest};
use apflow_core::store::{DeliveryRecord, EventQuery, NewWebhook, Page, Store, WebhookChange};
use apflow_core::webhook::{
    DEFAULT_RETRY, DeadLetter, Delivery, ExecutionScope, KEPT_DEAD_LETTERS, KEPT_DELIVERIES, Webhook,
    WebhookDefinition, WebhookMethod, WebhookSecret,
};
use serde_json::json;

use super::rig::{Rig, START};

const ALL: Page = Page { limit: 10_000, offset: 0 };

fn definition(execution: Option<u32>) -> WebhookDefinition {
    WebhookDefinition {
        name: Some("orders".into()),
        url: "https://example.org/a?b=c".into(),
        method: WebhookMethod::Put,
        headers: BTreeMap::from([("x-a".into(), "1 \u{e4}\"".into())]),
        kinds: vec![EventKind::TaskFailed, EventKind::TreeFailed],
        tree: Some("r".into()),
        user_id: Some("ann".into()),
        secret: Some(WebhookSecret("env:APFLOW_WEBHOOK_ORDERS".into())),
        timeout_ms: 1_234,
        retry: DEFAULT_RETRY,
        execution: execution.map(|execution| ExecutionScope { root: "r".into(), execution }),
    }
}

fn delivery(seq: i64, attempt: u32, at: Timestamp, error: Option<&str>) -> Delivery {
    let status = if error.is_some() { Some(500) } else { Some(204) };
    Delivery { seq: Seq(seq), attempt, at, duration_ms: 3, status, error: error.map(Into::into) }
}

fn letter(seq: i64, at: Timestamp) -> DeadLetter {
    let (kind, body, error) = (EventKind::TaskFailed, format!(r#"{{"seq":{seq}}}"#), "it is down".to_owned());
    DeadLetter { seq: Seq(seq), kind, body, attempts: 10, status: Some(503), error, at, queued: false }
}

impl Rig {
    async fn hook(&self, id: &str, execution: Option<u32>) {
        let new = NewWebhook {
            id: id.into(),
            definition: definition(execution),
            enabled: true,
            after: Seq(5),
            now: self.now,
        };
        assert!(self.store.insert_webhook(&new).await.unwrap());
    }

    async fn webhook(&self, id: &str) -> Webhook {
        self.store.webhook(&id.into()).await.unwrap().unwrap()
    }

    async fn lease(&self, id: &str, session: &Session, ms: u64) -> Option<Webhook> {
        let until = self.now.plus(Duration::from_millis(ms));
        self.store.lease_webhook(&id.into(), session, until, self.now).await.unwrap()
    }

    /// A record of nothing but the cursor, which keeps the lease.
    fn record(&self, id: &str, cursor: i64) -> DeliveryRecord {
        DeliveryRecord {
            id: id.into(),
            session: self.session.clone(),
            cursor: Seq(cursor),
            attempts: 0,
            next_at: None,
            until: Some(self.now.plus(Duration::from_secs(60))),
            deliveries: Vec::new(),
            dead: Vec::new(),
            revived: Vec::new(),
            delivered: 0,
            disable: None,
            finished: false,
            now: self.now,
        }
    }

    async fn recorded(&self, record: DeliveryRecord) {
        assert!(self.store.record_deliveries(&record).await.unwrap());
    }

    /// Those that are due when the log ends there.
    async fn due_hooks(&self, session: &Session, last: i64) -> Vec<WebhookId> {
        self.store.due_webhooks(session, Seq(last), self.now, 10).await.unwrap().due
    }

    async fn letters(&self, id: &str, queued: bool) -> Vec<i64> {
        let all = self.store.dead_letters(&id.into(), queued, ALL).await.unwrap();
        all.into_iter().map(|one| one.seq.0).collect()
    }

    async fn change(&self, id: &str, enabled: bool, after: Option<i64>) -> bool {
        let change = WebhookChange {
            id: id.into(),
            definition: WebhookDefinition { url: "https://example.org/new".into(), ..definition(None) },
            enabled,
            after: after.map(Seq),
            now: self.now,
        };
        self.store.change_webhook(&change).await.unwrap()
    }
}

/// Every field comes back; those of executions are listed only if asked for.
pub async fn they_are_kept_and_listed(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.hook("b", None).await;
    rig.wait_ms(1);
    rig.hook("a", Some(3)).await;
    let found = rig.webhook("b").await;
    assert_eq!((found.id.as_str(), &found.definition), ("b", &definition(None)));
    assert_eq!((found.enabled, found.created_at, found.updated_at), (true, START, START));
    assert_eq!((found.state.cursor, found.state.attempts, found.state.delivered), (Seq(5), 0, 0));
    assert_eq!(rig.webhook("a").await.definition, definition(Some(3)));
    let ids = async |of_executions, page| {
        let found = rig.store.webhooks(of_executions, page).await.unwrap();
        found.into_iter().map(|one| one.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(false, ALL).await, ["b"]);
    assert_eq!(ids(true, ALL).await, ["b", "a"]);
    assert_eq!(ids(true, Page { limit: 1, offset: 1 }).await, ["a"]);
    assert_eq!(rig.store.webhook(&"ghost".into()).await.unwrap(), None);
    assert!(rig.store.delete_webhook(&"b".into()).await.unwrap());
    assert!(!rig.store.delete_webhook(&"b".into()).await.unwrap());
    assert_eq!(ids(true, ALL).await, ["a"]);
}

/// A second one with the same id changes nothing.
pub async fn an_id_is_taken_once(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.hook("a", None).await;
    let other = NewWebhook {
        id: "a".into(),
        definition: definition(Some(1)),
        enabled: false,
        after: Seq(9),
        now: rig.now,
    };
    assert!(!rig.store.insert_webhook(&other).await.unwrap());
    assert_eq!(rig.webhook("a").await.definition, definition(None));
}

/// A change forgets failures; one that moves the cursor takes the lease away.
pub async fn a_change_begins_anew(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.hook("a", None).await;
    rig.lease("a", &rig.session, 60_000).await.unwrap();
    let due = rig.now.plus(Duration::from_secs(9));
    let failed = DeliveryRecord {
        attempts: 3,
        next_at: Some(due),
        deliveries: vec![delivery(6, 3, rig.now, Some("no"))],
        disable: Some("it fails".into()),
        ..rig.record("a", 5)
    };
    rig.recorded(failed).await;
    let found = rig.webhook("a").await;
    assert_eq!((found.enabled, found.state.disabled_reason.as_deref()), (false, Some("it fails")));
    assert!(rig.lease("a", &rig.session, 60_000).await.is_none(), "a disabled one is not leased");
    rig.wait_ms(1);
    assert!(rig.change("a", true, None).await);
    let found = rig.webhook("a").await;
    assert_eq!((found.enabled, found.state.attempts, found.state.next_at), (true, 0, None));
    assert_eq!((found.state.failing_since, found.state.disabled_reason), (None, None));
    assert_eq!((found.created_at, found.updated_at, found.state.cursor), (START, rig.now, Seq(5)));
    assert_eq!(found.definition.url, "https://example.org/new");
    rig.recorded(rig.record("a", 6)).await;
    assert!(rig.change("a", true, Some(2)).await);
    assert!(!rig.store.record_deliveries(&rig.record("a", 7)).await.unwrap());
    assert_eq!(rig.webhook("a").await.state.cursor, Seq(2));
    assert!(!rig.change("ghost", true, None).await);
}

/// A lease keeps others out until it ends or is given back; a newer session of its node is let in.
pub async fn one_host_delivers_at_a_time(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let other = rig.open("node-2", 1_000_000).await;
    rig.hook("a", None).await;
    assert!(rig.lease("a", &rig.session, 1_000).await.is_some());
    assert!(rig.lease("a", &other, 1_000).await.is_none());
    assert!(rig.due_hooks(&other, 9).await.is_empty());
    assert_eq!(rig.due_hooks(&rig.session, 9).await, ["a".into()]);
    rig.wait_ms(1_000);
    assert_eq!(rig.due_hooks(&other, 9).await, ["a".into()]);
    assert!(rig.lease("a", &other, 1_000).await.is_some());
    assert!(rig.lease("a", &rig.session, 1_000).await.is_none());
    let newer = rig.open("node-2", 1_000_000).await;
    assert!(rig.lease("a", &newer, 1_000).await.is_some());
    assert!(rig.lease("a", &other, 1_000).await.is_none(), "an older session of the node");
    let back = DeliveryRecord { session: newer, until: None, ..rig.record("a", 6) };
    rig.recorded(back).await;
    assert!(rig.lease("a", &rig.session, 1_000).await.is_some());
    assert!(rig.lease("ghost", &rig.session, 1_000).await.is_none());
}

/// Who has lost the lease changes nothing.
pub async fn records_of_others_are_refused(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    let other = rig.open("node-2", 1_000_000).await;
    rig.hook("a", None).await;
    assert!(!rig.store.record_deliveries(&rig.record("a", 6)).await.unwrap(), "never leased");
    rig.lease("a", &rig.session, 1_000).await.unwrap();
    rig.wait_ms(1_000);
    rig.recorded(rig.record("a", 6)).await;
    rig.wait_ms(60_000);
    rig.lease("a", &other, 1_000).await.unwrap();
    let late = DeliveryRecord { dead: vec![letter(7, rig.now)], delivered: 1, ..rig.record("a", 7) };
    assert!(!rig.store.record_deliveries(&late).await.unwrap());
    let found = rig.webhook("a").await;
    assert_eq!((found.state.cursor, found.state.dead_letters, found.state.delivered), (Seq(6), 0, 0));
    rig.store.delete_webhook(&"a".into()).await.unwrap();
    let gone = DeliveryRecord { session: other, ..rig.record("a", 9) };
    assert!(!rig.store.record_deliveries(&gone).await.unwrap());
}

/// Due is what is enabled, has something to read, and does not wait; the one that waited longest comes first.
pub async fn what_is_due(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    assert!(!rig.store.due_webhooks(&rig.session, Seq(9), rig.now, 10).await.unwrap().any);
    rig.hook("a", None).await;
    rig.wait_ms(1);
    rig.hook("b", None).await;
    assert!(rig.due_hooks(&rig.session, 5).await.is_empty(), "nothing new in the log");
    assert_eq!(rig.due_hooks(&rig.session, 6).await, ["a".into(), "b".into()]);
    rig.lease("a", &rig.session, 1_000).await.unwrap();
    rig.wait_ms(1);
    rig.recorded(rig.record("a", 6)).await;
    assert_eq!(rig.due_hooks(&rig.session, 7).await, ["b".into(), "a".into()]);
    let next = rig.now.plus(Duration::from_millis(10));
    rig.recorded(DeliveryRecord { attempts: 1, next_at: Some(next), ..rig.record("a", 6) }).await;
    rig.change("b", false, None).await;
    let found = rig.store.due_webhooks(&rig.session, Seq(9), rig.now, 10).await.unwrap();
    assert_eq!((found.due, found.next, found.any), (Vec::new(), Some(next), true));
    rig.wait_ms(10);
    assert_eq!(rig.due_hooks(&rig.session, 9).await, ["a".into()]);
    assert!(rig.store.due_webhooks(&rig.session, Seq(9), rig.now, 0).await.unwrap().due.is_empty());
}

/// What is shown of deliveries.
pub async fn failures_and_successes_are_told(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    rig.hook("a", None).await;
    rig.lease("a", &rig.session, 1_000).await.unwrap();
    let began = rig.now;
    for attempt in 1..=2 {
        rig.wait_ms(5);
        let deliveries = vec![delivery(6, attempt, rig.now, Some("no answer"))];
        let record = DeliveryRecord { attempts: attempt, deliveries, ..rig.record("a", 5) };
        rig.recorded(record).await;
    }
    let state = rig.webhook("a").await.state;
    assert_eq!((state.attempts, state.last_success_at), (2, None));
    assert_eq!((state.last_error.as_deref(), state.last_error_at), (Some("no answer"), Some(rig.now)));
    assert_eq!(state.failing_since, Some(began.plus(Duration::from_millis(5))));
    rig.wait_ms(5);
    let deliveries = vec![delivery(6, 3, rig.now, None), delivery(7, 1, rig.now, None)];
    rig.recorded(DeliveryRecord { deliveries, delivered: 2, ..rig.record("a", 7) }).await;
    let state = rig.webhook("a").await.state;
    assert_eq!((state.delivered, state.attempts, state.failing_since), (2, 0, None));
    assert_eq!((state.last_success_at, state.last_error.as_deref()), (Some(rig.now), Some("no answer")));
    let shown = rig.store.webhook_deliveries(&"a".into(), ALL).await.unwrap();
    let told: Vec<_> = shown.iter().map(|one| (one.seq.0, one.attempt, one.error.is_some())).collect();
    assert_eq!(told, [(7, 1, false), (6, 3, false), (6, 2, true), (6, 1, true)]);
    assert_eq!(shown[3], delivery(6, 1, began.plus(Duration::from_millis(5)), Some("no answer")));
    let page = Page { limit: 1, offset: 1 };
    assert_eq!(rig.store.webhook_deliveries(&"a".into(), page).await.unwrap(), shown[1..2]);
}

/// Dead letters are kept until they are delivered after all.
pub async fn dead_letters_wait_for_their_owner(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.hook("a", None).await;
    rig.lease("a", &rig.session, 1_000).await.unwrap();
    let dead = vec![letter(8, rig.now), letter(6, rig.now), letter(7, rig.now)];
    let next_at = Some(rig.now.plus(Duration::from_secs(9)));
    rig.recorded(DeliveryRecord { dead, next_at, ..rig.record("a", 8) }).await;
    assert_eq!(rig.letters("a", false).await, [6, 7, 8]);
    assert_eq!(rig.store.dead_letters(&"a".into(), false, ALL).await.unwrap()[0], letter(6, rig.now));
    assert_eq!(rig.webhook("a").await.state.dead_letters, 3);
    assert!(rig.due_hooks(&rig.session, 8).await.is_empty());
    assert_eq!(rig.store.redeliver(&"a".into(), Some(Seq(7))).await.unwrap(), 1);
    assert_eq!(rig.letters("a", true).await, [7]);
    assert_eq!(rig.due_hooks(&rig.session, 8).await, ["a".into()]);
    let again = DeadLetter { attempts: 11, ..letter(7, rig.now) };
    rig.recorded(DeliveryRecord { dead: vec![again], ..rig.record("a", 8) }).await;
    assert!(rig.letters("a", true).await.is_empty());
    assert_eq!(rig.store.dead_letters(&"a".into(), false, ALL).await.unwrap()[1].attempts, 11);
    assert_eq!(rig.store.redeliver(&"a".into(), None).await.unwrap(), 3);
    rig.recorded(DeliveryRecord { revived: vec![Seq(6), Seq(8)], delivered: 2, ..rig.record("a", 8) }).await;
    assert_eq!(rig.letters("a", false).await, [7]);
    assert_eq!(rig.store.redeliver(&"a".into(), Some(Seq(6))).await.unwrap(), 0);
    assert_eq!(rig.store.redeliver(&"ghost".into(), None).await.unwrap(), 0);
    rig.store.delete_webhook(&"a".into()).await.unwrap();
    rig.hook("b", None).await;
    assert!(rig.letters("b", false).await.is_empty());
}

/// Deliveries and dead letters are bounded for each webhook.
pub async fn only_the_newest_are_kept(store: Arc<dyn Store>) {
    let rig = Rig::new(store).await;
    rig.hook("a", None).await;
    rig.lease("a", &rig.session, 1_000).await.unwrap();
    let (kept, letters) = (i64::from(KEPT_DELIVERIES), i64::from(KEPT_DEAD_LETTERS));
    for first in [0, 80] {
        let deliveries = (1..=80).map(|i| delivery(first + i, 1, rig.now, None)).collect();
        rig.recorded(DeliveryRecord { deliveries, ..rig.record("a", 200) }).await;
    }
    let shown = rig.store.webhook_deliveries(&"a".into(), ALL).await.unwrap();
    assert_eq!(
        (shown.len() as i64, shown[0].seq, shown.last().unwrap().seq),
        (kept, Seq(160), Seq(161 - kept))
    );
    let dead = (1..=letters + 3).map(|i| letter(i, rig.now)).collect();
    rig.recorded(DeliveryRecord { dead, ..rig.record("a", 2_000) }).await;
    let seqs = rig.letters("a", false).await;
    assert_eq!((seqs.len() as i64, seqs[0]), (letters, 4));
}

/// A webhook of an execution goes with it, when nothing of it is left to be looked at.
pub async fn the_end_of_an_execution(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    for id in ["a", "b"] {
        rig.hook(id, Some(1)).await;
        rig.lease(id, &rig.session, 1_000).await.unwrap();
    }
    rig.recorded(DeliveryRecord { finished: true, ..rig.record("a", 9) }).await;
    assert_eq!(rig.store.webhook(&"a".into()).await.unwrap(), None);
    let dead = vec![letter(9, rig.now)];
    rig.recorded(DeliveryRecord { finished: true, dead, ..rig.record("b", 9) }).await;
    assert!(rig.due_hooks(&rig.session, 1_000).await.is_empty());
    assert_eq!(rig.store.redeliver(&"b".into(), None).await.unwrap(), 1);
    assert_eq!(rig.due_hooks(&rig.session, 9).await, ["b".into()]);
    let revived = DeliveryRecord { revived: vec![Seq(9)], finished: true, ..rig.record("b", 9) };
    rig.recorded(revived).await;
    assert_eq!(rig.store.webhook(&"b".into()).await.unwrap(), None);
    // One whose dead letters nobody wants goes after a while.
    rig.hook("c", Some(1)).await;
    rig.hook("d", None).await;
    rig.lease("c", &rig.session, 1_000).await.unwrap();
    let dead = vec![letter(9, rig.now)];
    rig.recorded(DeliveryRecord { finished: true, dead, ..rig.record("c", 9) }).await;
    assert_eq!(rig.store.purge_webhooks(rig.now).await.unwrap(), 0);
    rig.wait_ms(1);
    assert_eq!(rig.store.purge_webhooks(rig.now).await.unwrap(), 1);
    assert_eq!(rig.store.webhooks(true, ALL).await.unwrap().len(), 1);
}

/// Events are found by the owner of their tree, also when the tree is gone; and an enabled webhook holds the log.
pub async fn owners_are_told_apart_in_the_log(store: Arc<dyn Store>) {
    let mut rig = Rig::new(store).await;
    for (id, owner) in [("a", "ann"), ("b", "bob"), ("c", "ann")] {
        let task = json!([{"id": id, "name": id, "executor": "scripted", "user_id": owner}]);
        rig.insert_json(task, false).await;
    }
    rig.insert("d").await;
    rig.store.delete(&"a".into(), rig.now).await.unwrap();
    let query = EventQuery { user_id: Some("ann".into()), limit: 100, ..EventQuery::default() };
    let found = rig.store.events(query).await.unwrap();
    let told: Vec<_> = found.iter().map(|one| (one.tree_id.as_str(), one.kind.as_str())).collect();
    assert_eq!(told, [("a", "tree.created"), ("c", "tree.created"), ("a", "tree.deleted")]);
    rig.hook("w", None).await;
    rig.change("w", true, Some(2)).await;
    let policy = RetentionPolicy { retain_max: Some(0), ..RetentionPolicy::default() };
    rig.wait_ms(1);
    let trim = async |rig: &Rig| {
        let request = TrimRequest { policy, now: rig.now, limit: 100 };
        rig.store.trim_events(request).await.unwrap().start
    };
    assert_eq!(trim(&rig).await, Seq(2));
    rig.change("w", false, None).await;
    assert_eq!(trim(&rig).await, Seq(rig.last_seq().await.0 - 1));
}
