//! Webhooks: events of the log, sent to a URL. A *webhook* is a standing subscription, or belongs to one execution and is
//! gone with its end. It has a cursor in the log; a *message* is what is sent for one event, a *delivery* is one attempt to
//! send it. A message that cannot be delivered becomes a *dead letter*, and the cursor goes on.
//!
//! Here stand the definition and its rules, the signature ([`signature`]) and what an answer means ([`verdict`]); the
//! engine delivers, [`WebhookTransport`] sends.

pub mod signature;
pub mod verdict;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::error::{Error, ErrorCode, Result};
use crate::event::EventKind;
use crate::id::{Seq, TaskId, TreeId, TreeKey, WebhookId};
use crate::retry::{Backoff, RetryPolicy};

/// The longest that an endpoint may take to answer.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Headers that a definition may have.
pub const MAX_HEADERS: usize = 50;
/// How long an endpoint may only fail before its webhook is disabled.
pub const FAILING_LIMIT: Duration = Duration::from_secs(5 * 24 * 3600);
/// Deliveries that are kept for a webhook, to look at.
pub const KEPT_DELIVERIES: u32 = 100;
/// Dead letters that are kept for a webhook; then the oldest go.
pub const KEPT_DEAD_LETTERS: u32 = 1_000;

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WebhookMethod {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
}

impl WebhookMethod {
    /// The text on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A secret as its owner wrote it: `whsec_` and base64, or where the host finds that: `env:NAME`, `file:NAME`. Its text is in
/// no error and no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookSecret(pub String);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl WebhookSecret {
    /// What may be shown: a reference as it is, a text never.
    pub fn shown(&self) -> &str {
        if self.is_reference() { &self.0 } else { "whsec_…" }
    }

    /// Whether it says where the secret is.
    pub fn is_reference(&self) -> bool {
        self.0.starts_with("env:") || self.0.starts_with("file:")
    }
}

/// The execution that a webhook belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionScope {
    /// The root of the tree.
    pub root: TaskId,
    /// Number of the execution.
    pub execution: u32,
}

/// What is sent, where and how: the part that an owner writes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookDefinition {
    /// A name for people.
    pub name: Option<String>,
    /// `http` or `https`.
    pub url: String,
    /// How.
    pub method: WebhookMethod,
    /// Sent along; values are as secret as the secret.
    pub headers: BTreeMap<String, String>,
    /// Only these kinds; empty means all.
    pub kinds: Vec<EventKind>,
    /// Only of this tree.
    pub tree: Option<TreeId>,
    /// Only of trees of this owner.
    pub user_id: Option<String>,
    /// What messages are signed with; only webhooks of executions may have none.
    pub secret: Option<WebhookSecret>,
    /// How long the endpoint may take to answer.
    pub timeout_ms: u32,
    /// When a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// The execution, unless it is a standing subscription.
    pub execution: Option<ExecutionScope>,
}

impl fmt::Debug for WebhookDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, url, execution) = (&self.name, &self.url, &self.execution);
        f.debug_struct("WebhookDefinition")
            .field("name", name)
            .field("url", url)
            .field("execution", execution)
            .finish_non_exhaustive()
    }
}

/// The retry policy of standing subscriptions: over about nine minutes.
pub const DEFAULT_RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 10,
    backoff: Backoff::Exponential,
    base_ms: 1_000,
    cap_ms: 300_000,
    jitter: 0.25,
};

/// How long an endpoint may take if nothing is said.
pub const DEFAULT_TIMEOUT_MS: u32 = 10_000;

impl WebhookDefinition {
    /// How long the endpoint may take to answer.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }

    /// Checks what needs no look at the network or the host; that is [`WebhookTransport::check`].
    ///
    /// # Errors
    /// `WebhookInvalid`, naming field, value and remedy.
    pub fn check(&self) -> Result<()> {
        let longest = MAX_TIMEOUT.as_millis();
        if self.timeout_ms == 0 || u128::from(self.timeout_ms) > longest {
            return Err(invalid("timeout_ms", format!("{} is not 1 to {longest}", self.timeout_ms)));
        }
        if self.headers.len() > MAX_HEADERS {
            return Err(invalid(
                "headers",
                format!("there are {}, at most {MAX_HEADERS} are allowed", self.headers.len()),
            ));
        }
        if self.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 255) {
            return Err(invalid("name", "it must have 1 to 255 bytes"));
        }
        self.retry.check().map_err(|problem| invalid("retry", problem))?;
        match &self.secret {
            Some(secret) if !secret.is_reference() => signature::SigningKey::read(&secret.0).map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// A field of a webhook is wrong.
pub fn invalid(field: &str, problem: impl fmt::Display) -> Error {
    Error::new(ErrorCode::WebhookInvalid, format!("Webhook field '{field}': {problem}")).with("field", field)
}

/// No webhook has this id.
pub fn not_found(id: &WebhookId) -> Error {
    Error::new(
        ErrorCode::WebhookNotFound,
        format!("Webhook '{id}' not found; `webhooks.list` has all there are"),
    )
    .with("webhook_id", id.as_str())
}

/// A webhook as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// What its owner wrote.
    pub definition: WebhookDefinition,
    /// Whether it delivers.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
    /// How it goes.
    pub state: WebhookState,
}

/// How the deliveries of a webhook go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookState {
    /// Everything up to there is delivered, dead, or none of its concern.
    pub cursor: Seq,
    /// Failed deliveries of the message after it.
    pub attempts: u32,
    /// No delivery before then.
    pub next_at: Option<Timestamp>,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Messages that were not.
    pub dead_letters: u64,
    /// When a message was last delivered.
    pub last_success_at: Option<Timestamp>,
    /// When a delivery last failed.
    pub last_error_at: Option<Timestamp>,
    /// Why it did.
    pub last_error: Option<String>,
    /// Since when every delivery has failed.
    pub failing_since: Option<Timestamp>,
    /// Why it was disabled, if the host did that.
    pub disabled_reason: Option<String>,
}

/// One attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Position of the event.
    pub seq: Seq,
    /// The how-manieth for this message, from 1.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed; none if it did not.
    pub error: Option<String>,
}

/// A message that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position of the event.
    pub seq: Seq,
    /// What happened.
    pub kind: EventKind,
    /// The message; it stays after its event has gone.
    pub body: String,
    /// Deliveries that failed.
    pub attempts: u32,
    /// HTTP status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Why the last delivery failed.
    pub error: String,
    /// When it died.
    pub at: Timestamp,
    /// Whether it is about to be sent once more.
    pub queued: bool,
}

/// The id of the webhook of an execution: one for each URL.
pub fn execution_webhook(tree: TreeKey, execution: u32, url: &str) -> WebhookId {
    let digest = Sha256::digest(url.as_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    WebhookId::from(format!("execution-{tree}-{execution}-{digest}"))
}

/// The id of the message for an event: the same in every delivery of it.
pub fn message_id(webhook: &WebhookId, seq: Seq) -> String {
    format!("msg_{webhook}_{seq}")
}

/// A message on its way out.
pub struct Outgoing<'a> {
    /// Where to.
    pub definition: &'a WebhookDefinition,
    /// Headers of the message itself.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: &'a str,
}

/// Sends messages; the engine knows no HTTP.
#[async_trait]
pub trait WebhookTransport: Send + Sync + fmt::Debug + 'static {
    /// Checks what can be known of URL and headers before anything is sent.
    ///
    /// # Errors
    /// `WebhookInvalid`.
    fn check(&self, definition: &WebhookDefinition) -> Result<()>;

    /// Sends a message once, within the definition's timeout.
    async fn send(&self, message: Outgoing<'_>) -> verdict::Answer;
}

/// Finds the secrets that references name.
pub trait WebhookSecrets: Send + Sync + fmt::Debug + 'static {
    /// The text that `env:NAME` or `file:NAME` stands for.
    ///
    /// # Errors
    /// `WebhookInvalid`, without the text.
    fn find(&self, reference: &str) -> Result<String>;
}

/// What an engine needs to deliver.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Sends.
    pub transport: Arc<dyn WebhookTransport>,
    /// Finds secrets.
    pub secrets: Arc<dyn WebhookSecrets>,
    /// Deliveries at the same time on this node.
    pub max_concurrent: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn definition() -> WebhookDefinition {
        WebhookDefinition {
            name: None,
            url: "https://example.org/hook".into(),
            method: WebhookMethod::Post,
            headers: BTreeMap::from([("authorization".into(), "Bearer sesame".into())]),
            kinds: Vec::new(),
            tree: None,
            user_id: None,
            secret: Some(WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into())),
            timeout_ms: DEFAULT_TIMEOUT_MS,
            retry: DEFAULT_RETRY,
            execution: None,
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = format!("{:?} {:?}", definition(), definition().secret);
        assert!(!text.contains("MfKQ") && !text.contains("sesame"), "{text}");
        assert_eq!(WebhookSecret("env:APFLOW_WEBHOOK_A".into()).shown(), "env:APFLOW_WEBHOOK_A");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |change: fn(&mut WebhookDefinition)| {
            let mut one = definition();
            change(&mut one);
            one.check().unwrap_err().data["field"].clone()
        };
        assert_eq!(definition().check(), Ok(()));
        assert_eq!(field(|one| one.timeout_ms = 0), "timeout_ms");
        assert_eq!(field(|one| one.timeout_ms = 60_001), "timeout_ms");
        assert_eq!(field(|one| one.retry.max_attempts = 0), "retry");
        assert_eq!(field(|one| one.name = Some(String::new())), "name");
        assert_eq!(field(|one| one.secret = Some(WebhookSecret("sesame".into()))), "secret");
        let many = |one: &mut WebhookDefinition| {
            one.headers.extend((0..51).map(|i| (format!("x-{i}"), String::new())));
        };
        assert_eq!(field(many), "headers");
    }
}
