//! Deliveries against a transport that answers as it is told, with a clock that is moved by hand: when a message is sent again,
//! who sends it, and when it is given up. And the log is trimmed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apflow_core::clock::{Clock, ManualClock, Timestamp};
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::{NodeId, Seq};
use apflow_core::plugin::{Catalog, FixedPlugins};
use apflow_core::retention::{DAY, RetentionPolicy};
use apflow_core::retry::RetryPolicy;
use apflow_core::store::{EventQuery, Store};
use apflow_core::webhook::verdict::Answer;
use apflow_core::webhook::{
    DEFAULT_RETRY, FAILING_LIMIT, Outgoing, Webhook, WebhookDefinition, WebhookMethod, WebhookOptions,
    WebhookSecret, WebhookSecrets, WebhookTransport, invalid,
};
use apflow_engine::{Engine, EngineOptions};
use apflow_testkit::mem::MemStore;
use apflow_testkit::trees::outline;
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// What was sent: the id of the message, and its signature.
type Sent = (String, Option<String>);

/// Gives these answers in turn, then 200; none means that no answer ever comes.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<VecDeque<Option<Answer>>>,
    sent: mpsc::UnboundedSender<Sent>,
}

#[async_trait]
impl WebhookTransport for Scripted {
    fn check(&self, _: &WebhookDefinition) -> Result<()> {
        Ok(())
    }

    async fn send(&self, message: Outgoing<'_>) -> Answer {
        let header = |name| message.headers.iter().find(|one| one.0 == name).map(|one| one.1.clone());
        let _ = self.sent.send((header("webhook-id").unwrap(), header("webhook-signature")));
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(None) => std::future::pending().await,
            Some(Some(answer)) => answer,
            None => status(200, None),
        }
    }
}

#[derive(Debug)]
struct NoSecrets;

impl WebhookSecrets for NoSecrets {
    fn find(&self, _: &str) -> Result<String> {
        Err(invalid("secret", "there is none"))
    }
}

fn status(status: u16, retry_after: Option<Duration>) -> Answer {
    Answer::Status { status, retry_after }
}

struct Node {
    engine: Engine,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    sent: mpsc::UnboundedReceiver<Sent>,
}

async fn node(
    name: &str,
    store: &Arc<dyn Store>,
    clock: &Arc<ManualClock>,
    answers: Vec<Option<Answer>>,
) -> Node {
    let (sender, sent) = mpsc::unbounded_channel();
    let transport = Scripted { answers: Mutex::new(answers.into()), sent: sender };
    let webhooks =
        WebhookOptions { transport: Arc::new(transport), secrets: Arc::new(NoSecrets), max_concurrent: 4 };
    let options = EngineOptions {
        node: NodeId::from(name),
        webhooks: Some(webhooks),
        retention: RetentionPolicy { retain_for: None, ..RetentionPolicy::default() },
        stop_grace: Duration::ZERO,
        ..EngineOptions::default()
    };
    let plugins = Arc::new(FixedPlugins(Arc::new(Catalog::default())));
    let own: Arc<dyn Clock> = Arc::clone(clock) as _;
    let engine = Engine::start(Arc::clone(store), plugins, own, options).await.unwrap();
    Node { engine, store: Arc::clone(store), clock: Arc::clone(clock), sent }
}

async fn alone(answers: Vec<Option<Answer>>) -> Node {
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    node("n1", &store, &Arc::new(ManualClock::new(START)), answers).await
}

fn definition(max_attempts: u32) -> WebhookDefinition {
    WebhookDefinition {
        name: None,
        url: "https://example.org/".into(),
        method: WebhookMethod::Post,
        headers: BTreeMap::new(),
        kinds: vec![EventKind::TreeCreated],
        tree: None,
        user_id: None,
        secret: None,
        timeout_ms: 10_000,
        retry: RetryPolicy { max_attempts, jitter: 0.0, ..DEFAULT_RETRY },
        execution: None,
    }
}

impl Node {
    async fn hook(&self, max_attempts: u32) {
        let made = self.engine.create_webhook(Some("w".into()), definition(max_attempts), true, Some(Seq(0)));
        assert!(made.await.unwrap().definition.secret.is_some());
    }

    async fn tree(&self, name: &str) {
        self.engine.create(outline(name)).await.unwrap();
    }

    async fn next(&mut self) -> Sent {
        timeout(PATIENCE, self.sent.recv()).await.expect("nothing was sent").unwrap()
    }

    /// The webhook, once it is as expected.
    async fn hook_that(&self, is: impl Fn(&Webhook) -> bool) -> Webhook {
        let look = async {
            loop {
                let hook = self.engine.webhook(&"w".into()).await.unwrap();
                if is(&hook) {
                    return hook;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, look).await.expect("the webhook did not come to that")
    }

    fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.engine.nudge();
    }
}

#[tokio::test]
async fn a_message_is_sent_again_as_the_policy_and_the_endpoint_say() {
    let later = Some(Duration::from_secs(60));
    let mut node = alone(vec![
        Some(status(500, None)),
        Some(Answer::Unreachable("no".into())),
        Some(status(429, later)),
    ])
    .await;
    node.hook(10).await;
    node.tree("a").await;
    let first = node.next().await;
    assert!(first.0.starts_with("msg_w_") && first.1.as_ref().unwrap().starts_with("v1,"), "{first:?}");
    for (attempts, wait) in [(1, 1), (2, 2), (3, 60)] {
        let hook = node.hook_that(|hook| hook.state.attempts == attempts).await;
        assert_eq!(hook.state.next_at, Some(node.clock.now().plus(Duration::from_secs(wait))));
        assert_eq!(hook.state.failing_since, Some(START));
        node.advance(Duration::from_millis(wait * 1_000 - 1));
        tokio::task::yield_now().await;
        assert!(node.sent.try_recv().is_err(), "too early");
        node.advance(Duration::from_millis(1));
        let again = node.next().await;
        assert_eq!(again.0, first.0);
        // The time is signed, too.
        assert_ne!(again.1, first.1);
    }
    let hook = node.hook_that(|hook| hook.state.delivered == 1).await;
    assert_eq!((hook.state.attempts, hook.state.failing_since), (0, None));
    node.engine.stop().await;
}

#[tokio::test]
async fn another_host_takes_over_when_the_lease_has_ended() {
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let clock = Arc::new(ManualClock::new(START));
    let mut first = node("n1", &store, &clock, vec![None]).await;
    first.hook(10).await;
    first.tree("a").await;
    let message = first.next().await;
    let mut second = node("n2", &store, &clock, Vec::new()).await;
    second.advance(Duration::from_secs(14));
    tokio::task::yield_now().await;
    assert!(second.sent.try_recv().is_err(), "two hosts deliver at a time");
    second.advance(Duration::from_secs(1));
    assert_eq!(second.next().await.0, message.0);
    second.hook_that(|hook| hook.state.delivered == 1).await;
    first.engine.stop().await;
    second.engine.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_same_host_goes_on_at_once() {
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let clock = Arc::new(ManualClock::new(START));
    let mut first = node("n1", &store, &clock, vec![None]).await;
    first.hook(10).await;
    first.tree("a").await;
    let message = first.next().await;
    let mut again = node("n1", &store, &clock, Vec::new()).await;
    assert_eq!(again.next().await.0, message.0);
    again.hook_that(|hook| hook.state.delivered == 1).await;
}

#[tokio::test]
async fn an_endpoint_that_only_fails_is_disabled_after_days() {
    let mut node = alone(vec![Some(status(500, None)); 100]).await;
    node.hook(2).await;
    node.tree("a").await;
    node.next().await;
    node.hook_that(|hook| hook.state.attempts == 1).await;
    node.advance(FAILING_LIMIT / 2);
    let hook = node.hook_that(|hook| hook.state.dead_letters == 1).await;
    assert!(hook.enabled);
    node.tree("b").await;
    node.hook_that(|hook| hook.state.attempts == 1).await;
    node.advance(FAILING_LIMIT / 2);
    let hook = node.hook_that(|hook| !hook.enabled).await;
    assert_eq!(hook.state.disabled_reason.as_deref(), Some("Every delivery has failed for 5 days"));
    assert_eq!((hook.state.dead_letters, hook.state.failing_since), (2, Some(START)));
    assert!(node.engine.redeliver(&"w".into(), None).await.is_err());
}

#[tokio::test]
async fn a_secret_that_is_not_found_is_waited_for() {
    let node = alone(Vec::new()).await;
    let refused = WebhookDefinition { secret: Some(WebhookSecret("env:X".into())), ..definition(2) };
    assert!(node.engine.create_webhook(None, refused.clone(), true, None).await.is_err());
    let new = apflow_core::store::NewWebhook {
        id: "w".into(),
        definition: refused,
        enabled: true,
        after: Seq(0),
        now: START,
    };
    node.store.insert_webhook(&new).await.unwrap();
    node.tree("a").await;
    let hook = node.hook_that(|hook| hook.state.attempts == 1).await;
    assert!(hook.state.last_error.unwrap().contains("there is none"));
}

#[tokio::test]
async fn what_is_of_no_concern_is_passed_by_without_a_message() {
    let mut node = alone(Vec::new()).await;
    node.engine
        .create_webhook(
            Some("w".into()),
            WebhookDefinition { kinds: vec![EventKind::TaskFailed], ..definition(2) },
            true,
            None,
        )
        .await
        .unwrap();
    for i in 0..20 {
        node.tree(&format!("t{i}")).await;
    }
    // A sign of life comes once a minute, and the cursor with it.
    let last = node.engine.last_seq().await.unwrap();
    let look = async {
        while node.engine.webhook(&"w".into()).await.unwrap().state.cursor < last {
            node.advance(Duration::from_secs(61));
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, look).await.expect("the cursor stays behind");
    assert!(node.sent.try_recv().is_err());
}

#[tokio::test]
async fn old_events_are_removed_while_the_engine_runs() {
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let clock = Arc::new(ManualClock::new(START));
    let first = node("n1", &store, &clock, Vec::new()).await;
    for i in 0..5 {
        first.tree(&format!("t{i}")).await;
    }
    first.engine.stop().await;
    clock.advance(DAY * 31);
    let plugins = Arc::new(FixedPlugins(Arc::new(Catalog::default())));
    let own: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let engine = Engine::start(Arc::clone(&store), plugins, own, EngineOptions::default()).await.unwrap();
    let trimmed = async {
        while engine.log_start().await.unwrap() != Seq(4) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, trimmed).await.expect("the log was not trimmed");
    let left =
        engine.read_events(EventQuery { after: Seq(4), limit: 10, ..EventQuery::default() }).await.unwrap();
    assert_eq!(left.len(), 1);
}
