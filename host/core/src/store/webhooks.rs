//! The part of the contract that is about webhooks. A webhook is delivered by one host at a time: the one that has leased
//! it, until the lease ends. What that host records is refused once somebody else has leased the webhook, its owner has moved
//! its cursor, or it is gone.

use std::fmt;

use async_trait::async_trait;

use super::Page;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{Seq, WebhookId};
use crate::lease::Session;
use crate::webhook::{DeadLetter, Delivery, Webhook, WebhookDefinition};

/// A webhook to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// What is sent, where and how.
    pub definition: WebhookDefinition,
    /// Whether it delivers.
    pub enabled: bool,
    /// Events after this position are sent.
    pub after: Seq,
    /// The time.
    pub now: Timestamp,
}

/// An owner's change. It clears what is known of failures, so that the next delivery is due at once.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookChange {
    /// Which.
    pub id: WebhookId,
    /// The whole definition.
    pub definition: WebhookDefinition,
    /// Whether it delivers.
    pub enabled: bool,
    /// Moves the cursor.
    pub after: Option<Seq>,
    /// The time.
    pub now: Timestamp,
}

/// What there is to deliver at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueWebhooks {
    /// Those that may have something, the one that has waited longest first.
    pub due: Vec<WebhookId>,
    /// When a failed delivery is due again.
    pub next: Option<Timestamp>,
    /// Whether there is any webhook that delivers.
    pub any: bool,
}

/// What the holder of the lease has done.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRecord {
    /// Which webhook.
    pub id: WebhookId,
    /// The holder.
    pub session: Session,
    /// Everything up to there is done with.
    pub cursor: Seq,
    /// Failed deliveries of the message after it.
    pub attempts: u32,
    /// No delivery before then.
    pub next_at: Option<Timestamp>,
    /// Extends the lease; none gives it back.
    pub until: Option<Timestamp>,
    /// Attempts, the newest last.
    pub deliveries: Vec<Delivery>,
    /// Messages that are given up. One that is there already is replaced.
    pub dead: Vec<DeadLetter>,
    /// Dead letters that were delivered after all.
    pub revived: Vec<Seq>,
    /// Messages that were delivered.
    pub delivered: u32,
    /// Disables the webhook for this reason.
    pub disable: Option<String>,
    /// The execution has ended and there is nothing more to deliver: the webhook goes, unless it has dead letters.
    pub finished: bool,
    /// The time.
    pub now: Timestamp,
}

/// Durable webhooks.
#[async_trait]
pub trait WebhookStore: Send + Sync + fmt::Debug + 'static {
    /// Writes a webhook; false, and nothing is changed, if there is one with that id.
    async fn insert_webhook(&self, webhook: &NewWebhook) -> Result<bool>;

    /// Reads webhooks, the oldest first; those of executions only if asked for.
    async fn webhooks(&self, of_executions: bool, page: Page) -> Result<Vec<Webhook>>;

    /// Reads one.
    async fn webhook(&self, id: &WebhookId) -> Result<Option<Webhook>>;

    /// Changes one; false if there is none.
    async fn change_webhook(&self, change: &WebhookChange) -> Result<bool>;

    /// Deletes one with its deliveries and dead letters; false if there is none.
    async fn delete_webhook(&self, id: &WebhookId) -> Result<bool>;

    /// Deletes webhooks of executions that had nothing more to deliver by then, with their dead letters; gives their number.
    async fn purge_webhooks(&self, before: Timestamp) -> Result<u32>;

    /// Reads which webhooks have something to do: enabled, not waiting after a failure, not leased by another node, and
    /// with a cursor before `last` or a dead letter that is queued.
    async fn due_webhooks(
        &self,
        session: &Session,
        last: Seq,
        now: Timestamp,
        limit: u32,
    ) -> Result<DueWebhooks>;

    /// Leases a webhook; none if it is gone, disabled, or leased by another node. A newer session of the same node takes
    /// over at once.
    async fn lease_webhook(
        &self,
        id: &WebhookId,
        session: &Session,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Webhook>>;

    /// Records deliveries; false, and nothing is changed, if the session does not hold the lease any more.
    async fn record_deliveries(&self, record: &DeliveryRecord) -> Result<bool>;

    /// Reads the newest attempts, the newest first.
    async fn webhook_deliveries(&self, id: &WebhookId, page: Page) -> Result<Vec<Delivery>>;

    /// Reads dead letters by position; with `queued`, only those that are about to be sent once more.
    async fn dead_letters(&self, id: &WebhookId, queued: bool, page: Page) -> Result<Vec<DeadLetter>>;

    /// Queues one dead letter, or all of a webhook; gives their number. The next delivery is due at once.
    async fn redeliver(&self, id: &WebhookId, seq: Option<Seq>) -> Result<u32>;
}
