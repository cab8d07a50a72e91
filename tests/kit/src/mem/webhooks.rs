//! Webhooks in memory.

use std::collections::{BTreeMap, VecDeque};

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{Seq, WebhookId};
use apflow_core::lease::Session;
use apflow_core::retention::Consumer;
use apflow_core::store::{DeliveryRecord, DueWebhooks, NewWebhook, Page, WebhookChange, WebhookStore};
use apflow_core::webhook::{DeadLetter, Delivery, KEPT_DEAD_LETTERS, KEPT_DELIVERIES, Webhook, WebhookState};
use async_trait::async_trait;

use super::MemStore;
use super::rows::State;

/// The cursor of a webhook whose execution has ended.
const FINISHED: Seq = Seq(i64::MAX);

/// A webhook, its lease, and what belongs to it.
pub(super) struct WebhookRow {
    webhook: Webhook,
    seen_at: Timestamp,
    lease: Option<(Session, Timestamp)>,
    letters: BTreeMap<Seq, DeadLetter>,
    /// The newest last.
    deliveries: VecDeque<Delivery>,
}

impl WebhookRow {
    fn shown(&self) -> Webhook {
        let mut webhook = self.webhook.clone();
        webhook.state.dead_letters = self.letters.len() as u64;
        webhook
    }

    fn is_of_execution(&self) -> bool {
        self.webhook.definition.execution.is_some()
    }

    fn leased_elsewhere(&self, session: &Session, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|(holder, until)| holder.node != session.node && *until > now)
    }
}

/// Those whose cursors hold the log.
pub(super) fn consumers(state: &State) -> impl Iterator<Item = Consumer> {
    let enabled = state.webhooks.iter().filter(|row| row.webhook.enabled);
    enabled.map(|row| Consumer { cursor: row.webhook.state.cursor, seen_at: row.seen_at })
}

fn find<'s>(state: &'s mut State, id: &WebhookId) -> Option<&'s mut WebhookRow> {
    state.webhooks.iter_mut().find(|row| row.webhook.id == *id)
}

#[async_trait]
impl WebhookStore for MemStore {
    async fn insert_webhook(&self, new: &NewWebhook) -> Result<bool> {
        let mut state = self.state();
        if find(&mut state, &new.id).is_some() {
            return Ok(false);
        }
        state.webhooks.push(WebhookRow {
            webhook: Webhook {
                id: new.id.clone(),
                definition: new.definition.clone(),
                enabled: new.enabled,
                created_at: new.now,
                updated_at: new.now,
                state: WebhookState { cursor: new.after, ..WebhookState::default() },
            },
            seen_at: new.now,
            lease: None,
            letters: BTreeMap::new(),
            deliveries: VecDeque::new(),
        });
        Ok(true)
    }

    async fn webhooks(&self, of_executions: bool, page: Page) -> Result<Vec<Webhook>> {
        let state = self.state();
        let wanted = state.webhooks.iter().filter(|row| of_executions || !row.is_of_execution());
        Ok(wanted.skip(page.offset as usize).take(page.limit as usize).map(WebhookRow::shown).collect())
    }

    async fn webhook(&self, id: &WebhookId) -> Result<Option<Webhook>> {
        Ok(find(&mut self.state(), id).map(|row| row.shown()))
    }

    async fn change_webhook(&self, change: &WebhookChange) -> Result<bool> {
        let mut state = self.state();
        let Some(row) = find(&mut state, &change.id) else { return Ok(false) };
        row.webhook.definition = change.definition.clone();
        row.webhook.enabled = change.enabled;
        (row.webhook.updated_at, row.seen_at) = (change.now, change.now);
        let old = &mut row.webhook.state;
        (old.attempts, old.next_at, old.failing_since, old.disabled_reason) = (0, None, None, None);
        if let Some(after) = change.after {
            old.cursor = after;
            row.lease = None;
        }
        Ok(true)
    }

    async fn delete_webhook(&self, id: &WebhookId) -> Result<bool> {
        let webhooks = &mut self.state().webhooks;
        let before = webhooks.len();
        webhooks.retain(|row| row.webhook.id != *id);
        Ok(webhooks.len() < before)
    }

    async fn purge_webhooks(&self, before: Timestamp) -> Result<u32> {
        let webhooks = &mut self.state().webhooks;
        let all = webhooks.len();
        webhooks.retain(|row| row.webhook.state.cursor != FINISHED || row.seen_at >= before);
        Ok((all - webhooks.len()) as u32)
    }

    async fn due_webhooks(
        &self,
        session: &Session,
        last: Seq,
        now: Timestamp,
        limit: u32,
    ) -> Result<DueWebhooks> {
        let state = self.state();
        let enabled: Vec<&WebhookRow> = state.webhooks.iter().filter(|row| row.webhook.enabled).collect();
        let is_due = |row: &&&WebhookRow| {
            row.webhook.state.next_at.is_none_or(|at| at <= now)
                && !row.leased_elsewhere(session, now)
                && (row.webhook.state.cursor < last || row.letters.values().any(|one| one.queued))
        };
        let mut due: Vec<&WebhookRow> = enabled.iter().filter(is_due).copied().collect();
        due.sort_by_key(|row| row.seen_at);
        Ok(DueWebhooks {
            due: due.into_iter().take(limit as usize).map(|row| row.webhook.id.clone()).collect(),
            next: enabled.iter().filter_map(|row| row.webhook.state.next_at).filter(|at| *at > now).min(),
            any: !enabled.is_empty(),
        })
    }

    async fn lease_webhook(
        &self,
        id: &WebhookId,
        session: &Session,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Webhook>> {
        let mut state = self.state();
        let Some(row) = find(&mut state, id).filter(|row| row.webhook.enabled) else { return Ok(None) };
        let newer =
            row.lease.as_ref().is_some_and(|(holder, until)| *until > now && holder.epoch > session.epoch);
        if row.leased_elsewhere(session, now) || newer {
            return Ok(None);
        }
        row.lease = Some((session.clone(), until));
        Ok(Some(row.shown()))
    }

    async fn record_deliveries(&self, record: &DeliveryRecord) -> Result<bool> {
        let mut state = self.state();
        let held = |row: &WebhookRow| row.lease.as_ref().is_some_and(|(holder, _)| *holder == record.session);
        let Some(row) = find(&mut state, &record.id).filter(|row| held(row)) else { return Ok(false) };
        write(row, record);
        let over = |row: &WebhookRow| row.webhook.state.cursor == FINISHED && row.letters.is_empty();
        state.webhooks.retain(|row| row.webhook.id != record.id || !over(row));
        Ok(true)
    }

    async fn webhook_deliveries(&self, id: &WebhookId, page: Page) -> Result<Vec<Delivery>> {
        let mut state = self.state();
        let newest = find(&mut state, id).into_iter().flat_map(|row| row.deliveries.iter().rev());
        Ok(newest.skip(page.offset as usize).take(page.limit as usize).cloned().collect())
    }

    async fn dead_letters(&self, id: &WebhookId, queued: bool, page: Page) -> Result<Vec<DeadLetter>> {
        let mut state = self.state();
        let all = find(&mut state, id).into_iter().flat_map(|row| row.letters.values());
        let wanted = all.filter(|one| one.queued || !queued);
        Ok(wanted.skip(page.offset as usize).take(page.limit as usize).cloned().collect())
    }

    async fn redeliver(&self, id: &WebhookId, seq: Option<Seq>) -> Result<u32> {
        let mut state = self.state();
        let Some(row) = find(&mut state, id) else { return Ok(0) };
        row.webhook.state.next_at = None;
        let wanted = row.letters.values_mut().filter(|one| seq.is_none_or(|seq| seq == one.seq));
        Ok(wanted.map(|one| one.queued = true).count() as u32)
    }
}

fn write(row: &mut WebhookRow, record: &DeliveryRecord) {
    let state = &mut row.webhook.state;
    state.cursor = if record.finished { FINISHED } else { record.cursor };
    (state.attempts, state.next_at) = (record.attempts, record.next_at);
    state.delivered += u64::from(record.delivered);
    if record.delivered > 0 {
        state.last_success_at = Some(record.now);
    }
    if let Some(failed) = record.deliveries.iter().rev().find(|one| one.error.is_some()) {
        (state.last_error_at, state.last_error) = (Some(failed.at), failed.error.clone());
    }
    match record.deliveries.last() {
        Some(Delivery { error: Some(_), at, .. }) => {
            state.failing_since = state.failing_since.or(Some(*at));
        }
        _ if record.delivered > 0 => state.failing_since = None,
        _ => {}
    }
    if record.disable.is_some() {
        row.webhook.enabled = false;
        state.disabled_reason.clone_from(&record.disable);
    }
    row.seen_at = record.now;
    row.lease = record.until.map(|until| (record.session.clone(), until));
    for seq in &record.revived {
        row.letters.remove(seq);
    }
    row.letters.extend(record.dead.iter().map(|one| (one.seq, one.clone())));
    while row.letters.len() > KEPT_DEAD_LETTERS as usize {
        row.letters.pop_first();
    }
    row.deliveries.extend(record.deliveries.iter().cloned());
    while row.deliveries.len() > KEPT_DELIVERIES as usize {
        row.deliveries.pop_front();
    }
}
