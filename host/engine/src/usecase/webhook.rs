//! Webhooks: made, read, changed and deleted by their owners; the loop in `maintenance` delivers.

use apflow_core::error::{Error, Result};
use apflow_core::id::{Seq, TreeKey, WebhookId, new_id};
use apflow_core::store::{NewWebhook, Page, WebhookChange};
use apflow_core::webhook::signature::SigningKey;
use apflow_core::webhook::{
    DeadLetter, Delivery, ExecutionScope, Webhook, WebhookDefinition, WebhookOptions, WebhookSecret,
    execution_webhook, invalid, not_found,
};

use crate::engine::Engine;

impl Engine {
    /// Checks a definition as far as that can be done without sending anything.
    ///
    /// # Errors
    /// `WebhookInvalid`.
    pub fn check_webhook(&self, definition: &WebhookDefinition) -> Result<()> {
        definition.check()?;
        let options = self.webhook_options()?;
        options.transport.check(definition)?;
        match &definition.secret {
            Some(secret) if secret.is_reference() => {
                options.secrets.find(&secret.0).and_then(|text| SigningKey::read(&text)).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Subscribes a URL to events after a position, or from now on. Without a secret one is made.
    ///
    /// # Errors
    /// `WebhookInvalid`, also if the id is taken; `EventsExpired` if events after that position have been removed.
    pub async fn create_webhook(
        &self,
        id: Option<WebhookId>,
        mut definition: WebhookDefinition,
        enabled: bool,
        after: Option<Seq>,
    ) -> Result<Webhook> {
        if definition.secret.is_none() {
            let mut random = [0; 32];
            getrandom::fill(&mut random).map_err(|error| {
                invalid("secret", format!("the machine gives no random bytes ({error}); name a secret"))
            })?;
            definition.secret = Some(WebhookSecret(SigningKey::secret_of(&random)));
        }
        self.check_webhook(&definition)?;
        let after = self.position(after).await?;
        let now = self.0.now();
        let id = id.unwrap_or_else(|| WebhookId::from(new_id(now)));
        let new = NewWebhook { id: id.clone(), definition, enabled, after, now };
        if !self.0.store.insert_webhook(&new).await? {
            return Err(invalid(
                "id",
                format!("there is a webhook '{id}' already; choose another id, or leave it out"),
            ));
        }
        self.0.webhooks.notify_one();
        self.webhook(&id).await
    }

    /// Sends the events of an execution of a tree, which come after a position. Asked for twice with the same URL it is
    /// done once.
    ///
    /// # Errors
    /// The store's.
    pub async fn follow_execution(
        &self,
        tree: TreeKey,
        definition: WebhookDefinition,
        after: Seq,
    ) -> Result<()> {
        let Some(ExecutionScope { root, execution }) = definition.execution.clone() else { return Ok(()) };
        let state = self.0.store.tree_state(&root).await?;
        // Where it began exactly; what was read before it was started may be earlier.
        let began = state.filter(|state| state.execution == execution).map(|state| state.started_seq);
        let id = execution_webhook(tree, execution, &definition.url);
        let after = began.unwrap_or(after);
        let new = NewWebhook { id, definition, enabled: true, after, now: self.0.now() };
        self.0.store.insert_webhook(&new).await?;
        self.0.webhooks.notify_one();
        Ok(())
    }

    /// One webhook.
    ///
    /// # Errors
    /// `WebhookNotFound`.
    pub async fn webhook(&self, id: &WebhookId) -> Result<Webhook> {
        self.0.store.webhook(id).await?.ok_or_else(|| not_found(id))
    }

    /// Webhooks, the oldest first; those of executions only if asked for.
    ///
    /// # Errors
    /// The store's.
    pub async fn webhooks(&self, of_executions: bool, page: Page) -> Result<Vec<Webhook>> {
        self.0.store.webhooks(of_executions, page).await
    }

    /// Changes a webhook: the whole definition, whether it delivers, and where it goes on.
    ///
    /// # Errors
    /// `WebhookNotFound`, `WebhookInvalid`; `EventsExpired` if events after that position have been removed.
    pub async fn change_webhook(
        &self,
        id: &WebhookId,
        definition: WebhookDefinition,
        enabled: bool,
        after: Option<Seq>,
    ) -> Result<Webhook> {
        self.check_webhook(&definition)?;
        let after = match after {
            None => None,
            some => Some(self.position(some).await?),
        };
        let change = WebhookChange { id: id.clone(), definition, enabled, after, now: self.0.now() };
        if !self.0.store.change_webhook(&change).await? {
            return Err(not_found(id));
        }
        self.0.webhooks.notify_one();
        self.webhook(id).await
    }

    /// Deletes a webhook with its deliveries and dead letters.
    ///
    /// # Errors
    /// `WebhookNotFound`.
    pub async fn delete_webhook(&self, id: &WebhookId) -> Result<()> {
        if self.0.store.delete_webhook(id).await? { Ok(()) } else { Err(not_found(id)) }
    }

    /// The newest deliveries of a webhook, the newest first.
    ///
    /// # Errors
    /// `WebhookNotFound`.
    pub async fn webhook_deliveries(&self, id: &WebhookId, page: Page) -> Result<Vec<Delivery>> {
        self.webhook(id).await?;
        self.0.store.webhook_deliveries(id, page).await
    }

    /// The dead letters of a webhook, by position.
    ///
    /// # Errors
    /// `WebhookNotFound`.
    pub async fn dead_letters(&self, id: &WebhookId, page: Page) -> Result<Vec<DeadLetter>> {
        self.webhook(id).await?;
        self.0.store.dead_letters(id, false, page).await
    }

    /// Sends one dead letter of a webhook once more, or all; gives their number.
    ///
    /// # Errors
    /// `WebhookNotFound`; `WebhookInvalid` if the webhook is disabled or has no such dead letter.
    pub async fn redeliver(&self, id: &WebhookId, seq: Option<Seq>) -> Result<u32> {
        if !self.webhook(id).await?.enabled {
            return Err(invalid(
                "enabled",
                "the webhook is disabled; enable it first with `webhooks.update`",
            ));
        }
        let queued = self.0.store.redeliver(id, seq).await?;
        if let (0, Some(seq)) = (queued, seq) {
            return Err(invalid(
                "seq",
                format!("{seq} is not the position of a dead letter; see `webhooks.dead_letters`"),
            ));
        }
        self.0.webhooks.notify_one();
        Ok(queued)
    }

    fn webhook_options(&self) -> Result<&WebhookOptions> {
        self.0.options.webhooks.as_ref().ok_or_else(|| {
            Error::new(
                apflow_core::error::ErrorCode::WebhookInvalid,
                "This host was built without a way to send webhooks; set `EngineOptions::webhooks`",
            )
        })
    }

    /// A position to go on from: it must still be there.
    async fn position(&self, after: Option<Seq>) -> Result<Seq> {
        let Some(after) = after else { return self.last_seq().await };
        let start = self.log_start().await?;
        if after < start { Err(Error::events_expired(after, start)) } else { Ok(after) }
    }
}
