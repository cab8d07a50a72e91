//! Webhooks: `webhooks.*`, and the `webhook_config` of `tasks.execute`.

use std::collections::BTreeMap;

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, TreeId, WebhookId};
use apflow_core::retry::{Backoff, RetryPolicy};
use apflow_core::store::Page;
use apflow_core::webhook::{
    DEFAULT_RETRY, DEFAULT_TIMEOUT_MS, DeadLetter, Delivery, Webhook, WebhookDefinition, WebhookMethod,
    WebhookSecret, invalid,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::params::Limit;
use crate::Engine;

/// Where to send the events of one execution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookConfig {
    /// `http` or `https`.
    url: String,
    /// Sent along.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// `POST` (default) or `PUT`.
    method: Option<String>,
    /// How long the endpoint may take to answer, in seconds; default 30.
    timeout: Option<f64>,
    /// How often a failed request is sent again, after 1, 2, 4 … seconds; default 3.
    max_retries: Option<u32>,
}

impl WebhookConfig {
    /// The same as a definition, without the execution.
    pub(super) fn definition(self) -> Result<WebhookDefinition> {
        let timeout = self.timeout.unwrap_or(30.0);
        if !(0.001..=60.0).contains(&timeout) {
            return Err(invalid("webhook_config.timeout", format!("{timeout} is not 0.001 to 60 seconds")));
        }
        let retries = self.max_retries.unwrap_or(3);
        if retries > 99 {
            return Err(invalid("webhook_config.max_retries", format!("{retries} is not 0 to 99")));
        }
        Ok(WebhookDefinition {
            name: None,
            url: self.url,
            method: method(self.method.as_deref(), WebhookMethod::Post)?,
            headers: self.headers,
            kinds: Vec::new(),
            tree: None,
            user_id: None,
            secret: None,
            timeout_ms: (timeout * 1000.0) as u32,
            retry: RetryPolicy { max_attempts: retries + 1, jitter: 0.0, ..DEFAULT_RETRY },
            execution: None,
        })
    }
}

fn method(text: Option<&str>, default: WebhookMethod) -> Result<WebhookMethod> {
    match text {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("POST") => Ok(WebhookMethod::Post),
        Some(text) if text.eq_ignore_ascii_case("PUT") => Ok(WebhookMethod::Put),
        Some(text) => Err(invalid("method", format!("'{text}' is neither POST nor PUT"))),
    }
}

/// When a failed delivery is tried again. What is left out stays as it is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// Deliveries of a message before it is given up, the first included; 1 to 100, default 10.
    max_attempts: Option<u32>,
    /// `fixed`, `linear` or `exponential` (default).
    #[schemars(with = "Option<String>")]
    backoff: Option<Backoff>,
    /// The first wait in milliseconds; default 1000.
    base_ms: Option<u32>,
    /// The longest wait in milliseconds; default 300000.
    cap_ms: Option<u32>,
    /// How much of the wait is random, 0.0 to 1.0; default 0.25.
    jitter: Option<f64>,
}

impl Retry {
    fn over(self, base: RetryPolicy) -> RetryPolicy {
        RetryPolicy {
            max_attempts: self.max_attempts.unwrap_or(base.max_attempts),
            backoff: self.backoff.unwrap_or(base.backoff),
            base_ms: self.base_ms.unwrap_or(base.base_ms),
            cap_ms: self.cap_ms.unwrap_or(base.cap_ms),
            jitter: self.jitter.unwrap_or(base.jitter),
        }
    }
}

/// A webhook to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateParams {
    /// Where to: `http` or `https`.
    url: String,
    /// Chosen id: 1 to 100 letters, digits, `-` and `_`; a UUID if left out.
    #[serde(alias = "id")]
    webhook_id: Option<String>,
    /// A name for people.
    name: Option<String>,
    /// Only these kinds of events, for example `tree.failed`; all if left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    kinds: Vec<EventKind>,
    /// Only of this tree.
    tree: Option<String>,
    /// Only of trees of this owner.
    user_id: Option<String>,
    /// What messages are signed with: `whsec_` and 24 to 64 bytes in base64, or `env:NAME`, `file:NAME`; made if left out.
    secret: Option<String>,
    /// Sent along; values are never shown again.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// `POST` (default) or `PUT`.
    method: Option<String>,
    /// How long the endpoint may take to answer, 1 to 60000; default 10000.
    timeout_ms: Option<u32>,
    /// When a failed delivery is tried again.
    retry: Option<Retry>,
    /// Whether it delivers; default true.
    enabled: Option<bool>,
    /// Begin with the events after this position; if left out, with those from now on.
    after: Option<i64>,
}

/// A change of a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateParams {
    /// Id of the webhook. `id` is accepted too.
    #[serde(alias = "id")]
    webhook_id: String,
    /// Where to.
    url: Option<String>,
    /// A name for people.
    name: Option<String>,
    /// Only these kinds of events; empty for all.
    #[schemars(with = "Option<Vec<String>>")]
    kinds: Option<Vec<EventKind>>,
    /// Only of this tree; empty for all.
    tree: Option<String>,
    /// Only of trees of this owner; empty for all.
    user_id: Option<String>,
    /// Another secret.
    secret: Option<String>,
    /// All headers anew.
    headers: Option<BTreeMap<String, String>>,
    /// `POST` or `PUT`.
    method: Option<String>,
    /// How long the endpoint may take to answer, 1 to 60000.
    timeout_ms: Option<u32>,
    /// When a failed delivery is tried again.
    retry: Option<Retry>,
    /// Whether it delivers.
    enabled: Option<bool>,
    /// Go on with the events after this position.
    after: Option<i64>,
}

/// Names a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookRef {
    /// Id of the webhook. `id` is accepted too.
    #[serde(alias = "id")]
    webhook_id: String,
}

/// Which webhooks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookListParams {
    /// Also those of single executions; default false.
    executions: Option<bool>,
    /// At most so many; default 100.
    limit: Option<Limit>,
    /// Skip so many; default 0.
    offset: Option<u32>,
}

/// A part of what belongs to a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// Id of the webhook. `id` is accepted too.
    #[serde(alias = "id")]
    webhook_id: String,
    /// At most so many; default 100.
    limit: Option<Limit>,
    /// Skip so many; default 0.
    offset: Option<u32>,
}

/// Which dead letters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RedeliverParams {
    /// Id of the webhook. `id` is accepted too.
    #[serde(alias = "id")]
    webhook_id: String,
    /// Position of one dead letter; all if left out.
    seq: Option<i64>,
}

/// A webhook and how it goes. Secrets and the values of headers are not shown.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
pub(super) struct View {
    /// Id.
    webhook_id: String,
    /// Name for people.
    name: Option<String>,
    /// Where to.
    url: String,
    /// `POST` or `PUT`.
    method: &'static str,
    /// Names of the headers that are sent along.
    headers: Vec<String>,
    /// Only these kinds; empty for all.
    kinds: Vec<&'static str>,
    /// Only of this tree.
    tree: Option<String>,
    /// Only of this owner.
    user_id: Option<String>,
    /// A reference as it is; else `whsec_…`, and in full only in the answer to `webhooks.create` that made it.
    secret: Option<String>,
    /// How long the endpoint may take to answer.
    timeout_ms: u32,
    /// When a failed delivery is tried again.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    retry: RetryPolicy,
    /// The execution it belongs to; null for standing ones.
    execution: Option<u32>,
    /// Whether it delivers.
    enabled: bool,
    /// Why it was disabled, if the host did that.
    disabled_reason: Option<String>,
    /// When it was made.
    #[schemars(with = "String")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schemars(with = "String")]
    updated_at: Timestamp,
    /// Everything up to this position is delivered, dead, or none of its concern; null when its execution is over.
    cursor: Option<i64>,
    /// Positions of the log after the cursor.
    lag: i64,
    /// Failed deliveries of the next message.
    attempts: u32,
    /// When it is sent again.
    #[schemars(with = "Option<String>")]
    next_attempt_at: Option<Timestamp>,
    /// Messages that were delivered.
    delivered: u64,
    /// Messages that were given up.
    dead_letters: u64,
    /// When a message was last delivered.
    #[schemars(with = "Option<String>")]
    last_success_at: Option<Timestamp>,
    /// When a delivery last failed.
    #[schemars(with = "Option<String>")]
    last_error_at: Option<Timestamp>,
    /// Why it did.
    last_error: Option<String>,
    /// Since when every delivery has failed.
    #[schemars(with = "Option<String>")]
    failing_since: Option<Timestamp>,
}

/// What was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Deleted {
    /// Id of the webhook.
    webhook_id: String,
    /// True.
    deleted: bool,
}

/// One attempt to deliver a message.
#[derive(JsonSchema)]
#[schemars(rename = "Delivery")]
#[expect(dead_code, reason = "only its schema is used; it is that of the core's type")]
pub(super) struct DeliveryShape {
    /// Position of the event.
    seq: i64,
    /// The how-manieth for this message, from 1.
    attempt: u32,
    /// When it began.
    at: String,
    /// How long it took.
    duration_ms: u32,
    /// HTTP status of the answer, if there was one.
    status: Option<u16>,
    /// Why it failed; null if it did not.
    error: Option<String>,
}

/// A message that was given up.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(super) struct DeadLetterView {
    /// Position of the event.
    seq: i64,
    /// Kind of the event.
    kind: &'static str,
    /// Value of the header `webhook-id`.
    message_id: String,
    /// The body, JSON text.
    body: String,
    /// Deliveries that failed.
    attempts: u32,
    /// HTTP status of the last answer, if there was one.
    status: Option<u16>,
    /// Why the last delivery failed.
    error: String,
    /// When that was.
    #[schemars(with = "String")]
    at: Timestamp,
    /// Whether it is about to be sent once more.
    queued: bool,
}

/// What is sent once more.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Redelivered {
    /// So many dead letters.
    queued: u32,
}

fn view(webhook: Webhook, last: Seq) -> View {
    let Webhook { id, definition, enabled, created_at, updated_at, state } = webhook;
    let over = state.cursor == Seq(i64::MAX);
    View {
        webhook_id: id.to_string(),
        name: definition.name,
        url: definition.url,
        method: definition.method.as_str(),
        headers: definition.headers.into_keys().collect(),
        kinds: definition.kinds.iter().map(|kind| kind.as_str()).collect(),
        tree: definition.tree.map(|tree| tree.to_string()),
        user_id: definition.user_id,
        secret: definition.secret.map(|secret| secret.shown().to_owned()),
        timeout_ms: definition.timeout_ms,
        retry: definition.retry,
        execution: definition.execution.map(|scope| scope.execution),
        enabled,
        disabled_reason: state.disabled_reason,
        created_at,
        updated_at,
        cursor: (!over).then_some(state.cursor.0),
        lag: last.0.saturating_sub(state.cursor.0).max(0),
        attempts: state.attempts,
        next_attempt_at: state.next_at,
        delivered: state.delivered,
        dead_letters: state.dead_letters,
        last_success_at: state.last_success_at,
        last_error_at: state.last_error_at,
        last_error: state.last_error,
        failing_since: state.failing_since,
    }
}

pub(super) async fn create(engine: &Engine, params: CreateParams) -> Result<View> {
    let id = params.webhook_id.map(check_id).transpose()?;
    let made = params.secret.is_none();
    let definition = WebhookDefinition {
        name: params.name,
        url: params.url,
        method: method(params.method.as_deref(), WebhookMethod::Post)?,
        headers: params.headers,
        kinds: params.kinds,
        tree: params.tree.map(TreeId::from),
        user_id: params.user_id,
        secret: params.secret.map(WebhookSecret),
        timeout_ms: params.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
        retry: params.retry.unwrap_or_default().over(DEFAULT_RETRY),
        execution: None,
    };
    let enabled = params.enabled.unwrap_or(true);
    let webhook = engine.create_webhook(id, definition, enabled, params.after.map(Seq)).await?;
    let secret = webhook.definition.secret.clone().filter(|_| made);
    let shown = view(webhook, engine.last_seq().await?);
    Ok(View { secret: secret.map_or(shown.secret, |secret| Some(secret.0)), ..shown })
}

/// Ids stand in headers and command lines.
fn check_id(id: String) -> Result<WebhookId> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || id.len() > 100 || !id.chars().all(plain) {
        return Err(invalid("webhook_id", format!("'{id}' is not 1 to 100 letters, digits, `-` and `_`")));
    }
    Ok(WebhookId::from(id))
}

pub(super) async fn get(engine: &Engine, params: WebhookRef) -> Result<View> {
    let webhook = engine.webhook(&params.webhook_id.into()).await?;
    Ok(view(webhook, engine.last_seq().await?))
}

pub(super) async fn list(engine: &Engine, params: WebhookListParams) -> Result<Vec<View>> {
    let page = page(params.limit, params.offset);
    let found = engine.webhooks(params.executions.unwrap_or(false), page).await?;
    let last = engine.last_seq().await?;
    Ok(found.into_iter().map(|webhook| view(webhook, last)).collect())
}

pub(super) async fn update(engine: &Engine, params: UpdateParams) -> Result<View> {
    let id = WebhookId::from(params.webhook_id);
    let Webhook { definition: old, enabled, .. } = engine.webhook(&id).await?;
    let filled = |text: String| (!text.is_empty()).then_some(text);
    let definition = WebhookDefinition {
        name: params.name.or(old.name),
        url: params.url.unwrap_or(old.url),
        method: method(params.method.as_deref(), old.method)?,
        headers: params.headers.unwrap_or(old.headers),
        kinds: params.kinds.unwrap_or(old.kinds),
        tree: params.tree.map_or(old.tree, |tree| filled(tree).map(TreeId::from)),
        user_id: params.user_id.map_or(old.user_id, filled),
        secret: params.secret.map(WebhookSecret).or(old.secret),
        timeout_ms: params.timeout_ms.unwrap_or(old.timeout_ms),
        retry: params.retry.unwrap_or_default().over(old.retry),
        execution: old.execution,
    };
    let enabled = params.enabled.unwrap_or(enabled);
    let webhook = engine.change_webhook(&id, definition, enabled, params.after.map(Seq)).await?;
    Ok(view(webhook, engine.last_seq().await?))
}

pub(super) async fn delete(engine: &Engine, params: WebhookRef) -> Result<Deleted> {
    let WebhookRef { webhook_id } = params;
    engine.delete_webhook(&webhook_id.as_str().into()).await?;
    Ok(Deleted { webhook_id, deleted: true })
}

pub(super) async fn deliveries(engine: &Engine, params: PageParams) -> Result<Vec<Delivery>> {
    engine.webhook_deliveries(&params.webhook_id.into(), page(params.limit, params.offset)).await
}

pub(super) async fn dead_letters(engine: &Engine, params: PageParams) -> Result<Vec<DeadLetterView>> {
    let id = WebhookId::from(params.webhook_id);
    let found = engine.dead_letters(&id, page(params.limit, params.offset)).await?;
    Ok(found.into_iter().map(|letter| dead_letter(&id, letter)).collect())
}

fn dead_letter(id: &WebhookId, letter: DeadLetter) -> DeadLetterView {
    let DeadLetter { seq, kind, body, attempts, status, error, at, queued } = letter;
    let message_id = apflow_core::webhook::message_id(id, seq);
    DeadLetterView { seq: seq.0, kind: kind.as_str(), message_id, body, attempts, status, error, at, queued }
}

pub(super) async fn redeliver(engine: &Engine, params: RedeliverParams) -> Result<Redelivered> {
    let queued = engine.redeliver(&params.webhook_id.into(), params.seq.map(Seq)).await?;
    Ok(Redelivered { queued })
}

fn page(limit: Option<Limit>, offset: Option<u32>) -> Page {
    Page { limit: limit.unwrap_or_default().0, offset: offset.unwrap_or_default() }
}
