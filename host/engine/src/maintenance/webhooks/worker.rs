//! One webhook, for one batch: lease it, send what comes next in the order of the log, record how that went. A message is
//! sent before it is recorded, so that it comes at least once; the lease keeps other hosts from sending it, too. A message
//! that fails is waited for, and nothing behind it is sent meanwhile, until it is delivered or given up.

use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{ErrorCode, Result};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, WebhookId};
use apflow_core::store::{DeliveryRecord, EventQuery, Page};
use apflow_core::webhook::signature::SigningKey;
use apflow_core::webhook::verdict::{Answer, Verdict};
use apflow_core::webhook::{
    DeadLetter, Delivery, FAILING_LIMIT, Outgoing, Webhook, WebhookOptions, message_id,
};
use tokio::time::Instant;

use super::Looked;
use super::message::body;
use crate::engine::Shared;

/// Events that one batch reads.
const BATCH: u32 = 100;
/// Dead letters that one batch sends once more.
const REDELIVERIES: u32 = 20;
/// How long deliveries may be without a record; what is not recorded is sent again after a crash.
const UNRECORDED: Duration = Duration::from_millis(250);
/// What a lease lasts beyond the answer that is waited for.
const MARGIN: Duration = Duration::from_secs(5);
/// How far, and how long, the cursor may stay behind events that are none of the webhook's concern.
const FAR: i64 = 1_000;
const LONG: Duration = Duration::from_secs(60);

/// Works on a webhook; gives where it was found to have nothing to send, if nothing was written.
pub(super) async fn work(
    shared: &Shared,
    options: &WebhookOptions,
    id: &WebhookId,
    looked: Option<Looked>,
) -> Result<Option<Looked>> {
    let store = &shared.store;
    let Some(webhook) = store.webhook(id).await? else { return Ok(None) };
    let looked = looked.filter(|looked| looked.stored == webhook.state.cursor);
    let letters = store.dead_letters(id, true, Page { limit: REDELIVERIES, offset: 0 }).await?;
    let after = looked.map_or(webhook.state.cursor, |looked| looked.end);
    // Read before the events, so that what comes meanwhile lies behind it.
    let end = store.last_seq().await?;
    let read = store.events(query(&webhook, after)).await;
    if letters.is_empty() && matches!(&read, Ok(events) if events.is_empty()) {
        let (stored, now) = (webhook.state.cursor, shared.now());
        let since = looked.map_or(now, |looked| looked.since);
        if end.0 - stored.0 < FAR && now.since(since) < LONG {
            return Ok(Some(Looked { stored, end: end.max(after), since, at: Instant::now() }));
        }
    }
    let (session, now) = (shared.session(), shared.now());
    let until = now.plus(webhook.definition.timeout() + MARGIN);
    let Some(leased) = store.lease_webhook(id, &session, until, now).await? else { return Ok(None) };
    if leased.state.cursor != webhook.state.cursor || leased.definition != webhook.definition {
        // Somebody else was here in between; the next look begins with what is true now.
        let mut work = Work::new(shared, options, leased);
        work.record(false).await?;
        return Ok(None);
    }
    let mut work = Work::new(shared, options, leased);
    work.go(letters, read, end).await?;
    Ok(None)
}

fn query(webhook: &Webhook, after: Seq) -> EventQuery {
    let definition = &webhook.definition;
    EventQuery {
        after,
        tree: definition.tree.clone(),
        user_id: definition.user_id.clone(),
        kinds: definition.kinds.clone(),
        limit: BATCH,
    }
}

/// Whether there is more to do with this batch.
#[derive(PartialEq, Eq)]
enum Step {
    GoOn,
    Stop,
}

struct Work<'a> {
    shared: &'a Shared,
    options: &'a WebhookOptions,
    webhook: Webhook,
    /// Read anew for each batch, so that a secret can be changed where it is kept.
    key: Result<Option<SigningKey>>,
    /// What is not recorded yet.
    record: DeliveryRecord,
    recorded_at: Instant,
}

impl<'a> Work<'a> {
    fn new(shared: &'a Shared, options: &'a WebhookOptions, webhook: Webhook) -> Self {
        let key = match &webhook.definition.secret {
            None => Ok(None),
            Some(secret) if secret.is_reference() => {
                options.secrets.find(&secret.0).and_then(|text| SigningKey::read(&text)).map(Some)
            }
            Some(secret) => SigningKey::read(&secret.0).map(Some),
        };
        let record = DeliveryRecord {
            id: webhook.id.clone(),
            session: shared.session(),
            cursor: webhook.state.cursor,
            attempts: webhook.state.attempts,
            next_at: webhook.state.next_at,
            until: None,
            deliveries: Vec::new(),
            dead: Vec::new(),
            revived: Vec::new(),
            delivered: 0,
            disable: None,
            // An execution that is over stays so while its dead letters are sent once more.
            finished: webhook.state.cursor == Seq(i64::MAX),
            now: shared.now(),
        };
        Self { shared, options, webhook, key, record, recorded_at: Instant::now() }
    }

    async fn go(&mut self, letters: Vec<DeadLetter>, read: Result<Vec<Event>>, end: Seq) -> Result<()> {
        self.record.next_at = None;
        for letter in letters {
            if self.once_more(letter).await? == Step::Stop {
                return self.record(false).await.map(|_| ());
            }
        }
        let events = match read {
            Ok(events) => events,
            Err(error) if error.code == ErrorCode::EventsExpired => {
                // Nothing is passed over in silence: its owner says where to go on.
                self.record.disable = Some(format!(
                    "{}. To go on, enable the webhook with `after` {}",
                    error.message, error.data["resume_after"]
                ));
                return self.record(false).await.map(|_| ());
            }
            Err(error) => return Err(error),
        };
        let all = events.len() < BATCH as usize;
        for event in events {
            if self.next(&event).await? == Step::Stop {
                return self.record(false).await.map(|_| ());
            }
        }
        if all && !self.record.finished {
            self.record.cursor = self.record.cursor.max(end);
        }
        self.record(false).await.map(|_| ())
    }

    /// Sends the message for an event.
    async fn next(&mut self, event: &Event) -> Result<Step> {
        let execution = self.webhook.definition.execution.as_ref().map(|scope| scope.execution);
        let body = body(self.shared.store.as_ref(), &self.webhook.definition, event).await?;
        let attempt = self.record.attempts + 1;
        let (answer, at) = self.send(event.seq, &body, attempt).await;
        let mut step = Step::GoOn;
        match answer.verdict() {
            Verdict::Delivered => self.record.delivered += 1,
            Verdict::Retry(asked) => {
                let wait = self.webhook.definition.retry.next_wait(attempt, fastrand::f64(), asked);
                if let Some(wait) = wait {
                    self.record.attempts = attempt;
                    self.record.next_at = Some(self.shared.now().plus(wait));
                    self.give_up_after_days(at);
                    return Ok(Step::Stop);
                }
                self.record.dead.push(letter(event.seq, event.kind, body, attempt, &answer, at));
                self.give_up_after_days(at);
            }
            Verdict::Dead => self.record.dead.push(letter(event.seq, event.kind, body, attempt, &answer, at)),
            Verdict::Gone => {
                self.record.dead.push(letter(event.seq, event.kind, body, attempt, &answer, at));
                self.record.disable =
                    Some("The endpoint answered with status 410: it wants no more messages".into());
                step = Step::Stop;
            }
        }
        (self.record.cursor, self.record.attempts) = (event.seq, 0);
        if execution == Some(event.attempt) && event.kind.ends_tree() {
            self.record.finished = true;
            step = Step::Stop;
        }
        if self.record.disable.is_some() {
            step = Step::Stop;
        }
        if step == Step::GoOn { self.keep_up().await } else { Ok(step) }
    }

    /// Sends a dead letter once more. If that fails it is dead again, and its owner decides.
    async fn once_more(&mut self, old: DeadLetter) -> Result<Step> {
        let attempt = old.attempts + 1;
        let (answer, at) = self.send(old.seq, &old.body, attempt).await;
        match answer.verdict() {
            Verdict::Delivered => {
                self.record.revived.push(old.seq);
                self.record.delivered += 1;
            }
            _ => self.record.dead.push(letter(old.seq, old.kind, old.body, attempt, &answer, at)),
        }
        self.keep_up().await
    }

    async fn send(&mut self, seq: Seq, body: &str, attempt: u32) -> (Answer, Timestamp) {
        let at = self.shared.now();
        let began = Instant::now();
        let id = message_id(&self.webhook.id, seq);
        let seconds = at.as_micros().div_euclid(1_000_000);
        let answer = match &self.key {
            Err(error) => Answer::Unreachable(error.message.clone()),
            Ok(key) => {
                let mut headers =
                    vec![("webhook-id", id.clone()), ("webhook-timestamp", seconds.to_string())];
                headers.extend(key.as_ref().map(|key| ("webhook-signature", key.sign(&id, seconds, body))));
                let definition = &self.webhook.definition;
                self.options.transport.send(Outgoing { definition, headers, body }).await
            }
        };
        let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        let (status, error) = (answer.status(), answer.problem());
        if let Some(problem) = &error {
            tracing::debug!(webhook = %self.webhook.id, %seq, attempt, problem, "a delivery failed");
        }
        self.record.deliveries.push(Delivery { seq, attempt, at, duration_ms, status, error });
        (answer, at)
    }

    /// Disables a webhook whose endpoint has done nothing but fail for days.
    fn give_up_after_days(&mut self, now: Timestamp) {
        let since = self.webhook.state.failing_since.filter(|_| self.record.delivered == 0);
        if since.is_some_and(|since| now.since(since) >= FAILING_LIMIT) {
            let days = FAILING_LIMIT.as_secs() / (24 * 3600);
            self.record.disable = Some(format!("Every delivery has failed for {days} days"));
        }
    }

    /// Records from time to time, and stops if the lease is lost or the engine stops.
    async fn keep_up(&mut self) -> Result<Step> {
        let kept = self.recorded_at.elapsed() < UNRECORDED || self.record(true).await?;
        let stop = !kept || *self.shared.stopping().borrow();
        Ok(if stop { Step::Stop } else { Step::GoOn })
    }

    /// Records what was done, and keeps or gives back the lease. If it is lost nothing more is recorded.
    async fn record(&mut self, keep: bool) -> Result<bool> {
        let now = self.shared.now();
        self.record.now = now;
        self.record.until = keep.then(|| now.plus(self.webhook.definition.timeout() + MARGIN));
        let held = self.shared.store.record_deliveries(&self.record).await?;
        if self.record.delivered > 0 {
            self.webhook.state.failing_since = None;
        }
        (self.record.delivered, self.recorded_at) = (0, Instant::now());
        self.record.deliveries.clear();
        self.record.dead.clear();
        self.record.revived.clear();
        Ok(held)
    }
}

fn letter(
    seq: Seq,
    kind: EventKind,
    body: String,
    attempts: u32,
    answer: &Answer,
    at: Timestamp,
) -> DeadLetter {
    let (status, error) = (answer.status(), answer.problem().unwrap_or_default());
    DeadLetter { seq, kind, body, attempts, status, error, at, queued: false }
}
