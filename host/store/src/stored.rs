//! The store's contract, met by any [`Database`].

use apflow_core::clock::Timestamp;
use apflow_core::clone::NewClone;
use apflow_core::error::Result;
use apflow_core::event::Event;
use apflow_core::gate::{Gate, GateRule};
use apflow_core::id::{NodeId, Seq, TaskId, TaskKey, TreeKey, WebhookId};
use apflow_core::json::Json;
use apflow_core::lease::Session;
use apflow_core::plugin::services::StateEntry;
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::retention::{TrimRequest, Trimmed};
use apflow_core::schedule::{ScheduleFilter, ScheduleRun};
use apflow_core::store::{
    CancelRequest, Cancellation, ChildFacts, CompleteSchedule, Deleted, DeliveryRecord, DueSchedules,
    DueWebhooks, EventQuery, ExecuteRequest, Execution, Expiration, Fired, GateStore, Inserted, InsertedOnce,
    NewWebhook, Opened, Page, PeerStore, PeerWord, PluginStore, Progress, QueueFacts, RunRef, ScheduleStore,
    StateWrite, StateWritten, StatusCounts, Store, TaskFilter, TaskPatch, TreeState, Turn, TurnOutcome,
    WebhookChange, WebhookStore,
};
use apflow_core::task::{Attempt, Task};
use apflow_core::tree::NewTree;
use apflow_core::webhook::{DeadLetter, Delivery, Webhook};
use async_trait::async_trait;

use crate::database::{Database, Step, arguments, replayed};
use crate::verbs::{
    cancel, clone, delete, events, execute, expire, gates, insert, plugins, query, receipt, schedules,
    session, update, webhooks,
};

/// A database as a store.
#[derive(Debug)]
pub(crate) struct Stored<D>(pub D);

#[async_trait]
impl<D: Database> Store for Stored<D> {
    async fn insert_tree(&self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<Inserted> {
        match insert::is_plain(tree) {
            true => self.0.insert(tree, execute, now).await,
            false => insert::whole(&self.0, tree, execute, now).await,
        }
    }

    async fn insert_once(
        &self,
        tree: &NewTree,
        receipt: &NewReceipt,
        execute: bool,
        now: Timestamp,
    ) -> Result<InsertedOnce> {
        receipt::insert(&self.0, tree, receipt, execute, now).await
    }

    async fn receipt(&self, owner: Option<&str>, key: &str) -> Result<Option<Receipt>> {
        receipt::find(&self.0, owner, key).await
    }

    async fn insert_clone(&self, clone: &NewClone, now: Timestamp) -> Result<Inserted> {
        clone::insert(&self.0, clone, now).await
    }

    async fn archive(&self, ids: &[TaskId], now: Timestamp) -> Result<()> {
        clone::archive(&self.0, ids, now).await
    }

    async fn execute(&self, request: ExecuteRequest) -> Result<Execution> {
        execute::execute(&self.0, &request).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnOutcome> {
        self.0.turn(turn).await
    }

    async fn cancel(&self, request: CancelRequest) -> Result<Cancellation> {
        cancel::cancel(&self.0, &request).await
    }

    async fn expire(&self, now: Timestamp) -> Result<Expiration> {
        expire::expire(&self.0, now).await
    }

    async fn update(&self, id: &TaskId, patch: TaskPatch, now: Timestamp) -> Result<Task> {
        update::update(&self.0, id, &patch, now).await
    }

    async fn delete(&self, id: &TaskId, now: Timestamp) -> Result<Deleted> {
        delete::delete(&self.0, id, now).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        query::get(&self.0, ids).await
    }

    async fn subtree(&self, id: &TaskId) -> Result<Vec<Task>> {
        query::subtree(&self.0, id).await
    }

    async fn each_below(&self, id: &TaskId, each: &mut (dyn FnMut(Task) -> Result<()> + Send)) -> Result<()> {
        query::each_below(&self.0, id, each).await
    }

    async fn children(&self, id: &TaskId) -> Result<Vec<Task>> {
        query::children(&self.0, id).await
    }

    async fn list(&self, filter: TaskFilter, page: Page) -> Result<Vec<Task>> {
        query::list(&self.0, &filter, page).await
    }

    async fn count(&self, filter: TaskFilter) -> Result<StatusCounts> {
        query::count(&self.0, &filter).await
    }

    async fn progress(&self, id: &TaskId) -> Result<Option<Progress>> {
        query::progress(&self.0, id).await
    }

    async fn attempts(&self, id: &TaskId) -> Result<Vec<Attempt>> {
        query::attempts(&self.0, id).await
    }

    async fn queue_facts(&self, id: &TaskId) -> Result<Option<QueueFacts>> {
        query::queue_facts(&self.0, id).await
    }

    async fn tree_state(&self, task: &TaskId) -> Result<Option<TreeState>> {
        query::tree_state(&self.0, task).await
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>> {
        self.0.events(&query).await
    }

    async fn last_seq(&self) -> Result<Seq> {
        self.0.last_seq().await
    }

    async fn log_start(&self) -> Result<Seq> {
        events::start(&self.0).await
    }

    async fn trim_events(&self, request: TrimRequest) -> Result<Trimmed> {
        let newest = self.0.last_seq().await?;
        events::trim(&self.0, &request, newest).await
    }

    async fn tidy(&self) -> Result<()> {
        self.0.tidy().await
    }

    async fn open_session(&self, node: &NodeId, until: Timestamp, now: Timestamp) -> Result<Opened> {
        session::open(&self.0, node, until, now).await
    }

    async fn renew_session(&self, session: &Session, until: Timestamp) -> Result<()> {
        session::renew(&self.0, session, until).await
    }

    async fn close_session(&self, session: &Session, now: Timestamp) -> Result<()> {
        session::close(&self.0, session, now).await
    }

    async fn rescue(&self, now: Timestamp) -> Result<u32> {
        session::rescue(&self.0, now).await
    }

    async fn cursor(&self, name: &str) -> Result<Option<Seq>> {
        query::cursor(&self.0, name).await
    }

    async fn set_cursor(&self, name: &str, seq: Seq, now: Timestamp) -> Result<()> {
        replayed(|| self.0.run(Step::SetCursor, arguments![name, seq.0, now], |_| Ok(()))).await
    }
}

#[async_trait]
impl<D: Database> GateStore for Stored<D> {
    async fn set_gate_rules(&self, rules: &[GateRule], now: Timestamp) -> Result<bool> {
        gates::set_rules(&self.0, rules, now).await
    }

    async fn gates(&self) -> Result<Vec<Gate>> {
        gates::list(&self.0).await
    }
}

#[async_trait]
impl<D: Database> PeerStore for Stored<D> {
    async fn tell_peers(&self, from: &NodeId, word: &PeerWord) -> Result<()> {
        self.0.tell_peers(from, word).await
    }

    async fn hear_peers(&self) -> Result<(NodeId, PeerWord)> {
        self.0.hear_peers().await
    }
}

#[async_trait]
impl<D: Database> ScheduleStore for Stored<D> {
    async fn schedules(&self, filter: ScheduleFilter, page: Page) -> Result<Vec<Task>> {
        schedules::list(&self.0, &filter, page).await
    }

    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<DueSchedules> {
        schedules::due(&self.0, now, limit).await
    }

    async fn fire_schedule(&self, task: &TaskId, due: Timestamp, now: Timestamp) -> Result<Fired> {
        schedules::fire(&self.0, task, due, now).await
    }

    async fn complete_schedule(&self, request: CompleteSchedule) -> Result<Task> {
        schedules::complete(&self.0, &request).await
    }

    async fn schedule_runs(&self, task: &TaskId, page: Page) -> Result<Vec<ScheduleRun>> {
        schedules::runs(&self.0, task, page).await
    }
}

#[async_trait]
impl<D: Database> PluginStore for Stored<D> {
    async fn plugin_state(&self, plugin: &str, key: &str) -> Result<Option<StateEntry>> {
        plugins::state(&self.0, plugin, key).await
    }

    async fn write_state(&self, write: &StateWrite) -> Result<StateWritten> {
        plugins::write_state(&self.0, write).await
    }

    async fn checkpoint(&self, run: RunRef) -> Result<Option<Json>> {
        plugins::checkpoint(&self.0, run).await
    }

    async fn save_checkpoint(&self, run: RunRef, data: Option<Json>) -> Result<()> {
        plugins::save_checkpoint(&self.0, run, data.as_ref()).await
    }

    async fn child_facts(&self, run: RunRef) -> Result<ChildFacts> {
        plugins::child_facts(&self.0, run).await
    }

    async fn adopt(&self, run: RunRef, tree: TreeKey) -> Result<()> {
        plugins::adopt(&self.0, run, tree).await
    }

    async fn is_child(&self, task: TaskKey, root: &TaskId) -> Result<bool> {
        plugins::is_child(&self.0, task, root).await
    }

    async fn running_children(&self, tasks: &[TaskKey]) -> Result<Vec<TaskId>> {
        plugins::running_children(&self.0, tasks).await
    }

    async fn free_places(&self, run: RunRef) -> Result<()> {
        plugins::free_places(&self.0, run).await
    }
}

#[async_trait]
impl<D: Database> WebhookStore for Stored<D> {
    async fn insert_webhook(&self, webhook: &NewWebhook) -> Result<bool> {
        webhooks::insert(&self.0, webhook).await
    }

    async fn webhooks(&self, of_executions: bool, page: Page) -> Result<Vec<Webhook>> {
        webhooks::list(&self.0, of_executions, page).await
    }

    async fn webhook(&self, id: &WebhookId) -> Result<Option<Webhook>> {
        webhooks::find(&self.0, id).await
    }

    async fn change_webhook(&self, change: &WebhookChange) -> Result<bool> {
        webhooks::change(&self.0, change).await
    }

    async fn delete_webhook(&self, id: &WebhookId) -> Result<bool> {
        webhooks::delete(&self.0, id).await
    }

    async fn purge_webhooks(&self, before: Timestamp) -> Result<u32> {
        webhooks::purge(&self.0, before).await
    }

    async fn due_webhooks(
        &self,
        session: &Session,
        last: Seq,
        now: Timestamp,
        limit: u32,
    ) -> Result<DueWebhooks> {
        webhooks::due(&self.0, session, last, now, limit).await
    }

    async fn lease_webhook(
        &self,
        id: &WebhookId,
        session: &Session,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Webhook>> {
        webhooks::lease(&self.0, id, session, until, now).await
    }

    async fn record_deliveries(&self, record: &DeliveryRecord) -> Result<bool> {
        webhooks::record(&self.0, record).await
    }

    async fn webhook_deliveries(&self, id: &WebhookId, page: Page) -> Result<Vec<Delivery>> {
        webhooks::deliveries(&self.0, id, page).await
    }

    async fn dead_letters(&self, id: &WebhookId, queued: bool, page: Page) -> Result<Vec<DeadLetter>> {
        webhooks::dead_letters(&self.0, id, queued, page).await
    }

    async fn redeliver(&self, id: &WebhookId, seq: Option<Seq>) -> Result<u32> {
        webhooks::redeliver(&self.0, id, seq).await
    }
}
