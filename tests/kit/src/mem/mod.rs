//! [`MemStore`]: all of [`Store`] in memory, behind one lock, for tests and benchmarks of what stands above a store.
//! It keeps what it is told until it is dropped and forgets it then. Decisions are the core's (`plan`, `transition`,
//! `TreeStatus::at_end`); the files here keep rows, indexes and log in step, one family of verbs each.

mod cancel;
mod clone;
mod edit;
mod execute;
mod expire;
mod gates;
mod insert;
mod log;
mod plugins;
mod query;
mod receipt;
mod rows;
mod schedules;
mod session;
mod transaction;
mod turn;
mod view;
mod webhooks;

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use apflow_core::clock::Timestamp;
use apflow_core::clone::NewClone;
use apflow_core::error::Result;
use apflow_core::event::Event;
use apflow_core::gate::{Gate, GateRule};
use apflow_core::id::{NodeId, Seq, TaskId, TaskKey, TreeKey};
use apflow_core::json::Json;
use apflow_core::lease::Session;
use apflow_core::plugin::services::StateEntry;
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::retention::{Consumer, LogFacts, TrimRequest, Trimmed};
use apflow_core::store::{
    CancelRequest, Cancellation, ChildFacts, Deleted, EventQuery, ExecuteRequest, Execution, Expiration,
    GateStore, Inserted, InsertedOnce, Opened, Page, PeerStore, PeerWord, PluginStore, Progress, QueueFacts,
    RunRef, StateWrite, StateWritten, StatusCounts, Store, TaskFilter, TaskPatch, TreeState, Turn,
    TurnOutcome,
};
use apflow_core::task::{Attempt, Task, TreeStatus};
use apflow_core::tree::NewTree;
use async_trait::async_trait;

use rows::State;

/// A store in memory.
#[derive(Default)]
pub struct MemStore(Mutex<State>);

impl MemStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every verb is one critical section: that is its transaction.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a verb panicked half-way, what it left behind is not to be trusted")
    }
}

impl fmt::Debug for MemStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemStore {
    async fn insert_tree(&self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<Inserted> {
        insert::insert(&mut self.state(), tree, execute, now)
    }

    async fn insert_once(
        &self,
        tree: &NewTree,
        receipt: &NewReceipt,
        execute: bool,
        now: Timestamp,
    ) -> Result<InsertedOnce> {
        receipt::insert(&mut self.state(), tree, receipt, execute, now)
    }

    async fn receipt(&self, owner: Option<&str>, key: &str) -> Result<Option<Receipt>> {
        Ok(receipt::find(&self.state(), owner, key))
    }

    async fn insert_clone(&self, clone: &NewClone, now: Timestamp) -> Result<Inserted> {
        clone::insert(&mut self.state(), clone, now)
    }

    async fn archive(&self, ids: &[TaskId], now: Timestamp) -> Result<()> {
        clone::archive(&mut self.state(), ids, now)
    }

    async fn execute(&self, request: ExecuteRequest) -> Result<Execution> {
        execute::execute(&mut self.state(), &request)
    }

    async fn turn(&self, turn: Turn) -> Result<TurnOutcome> {
        turn::turn(&mut self.state(), turn)
    }

    async fn cancel(&self, request: CancelRequest) -> Result<Cancellation> {
        cancel::cancel(&mut self.state(), &request)
    }

    async fn expire(&self, now: Timestamp) -> Result<Expiration> {
        expire::expire(&mut self.state(), now)
    }

    async fn update(&self, id: &TaskId, patch: TaskPatch, now: Timestamp) -> Result<Task> {
        edit::update(&mut self.state(), id, patch, now)
    }

    async fn delete(&self, id: &TaskId, now: Timestamp) -> Result<Deleted> {
        edit::delete(&mut self.state(), id, now)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        Ok(query::get(&self.state(), ids))
    }

    async fn each_below(&self, id: &TaskId, each: &mut (dyn FnMut(Task) -> Result<()> + Send)) -> Result<()> {
        let tasks = query::subtree(&self.state(), id);
        tasks.into_iter().try_for_each(each)
    }

    async fn subtree(&self, id: &TaskId) -> Result<Vec<Task>> {
        Ok(query::subtree(&self.state(), id))
    }

    async fn children(&self, id: &TaskId) -> Result<Vec<Task>> {
        Ok(query::children(&self.state(), id))
    }

    async fn list(&self, filter: TaskFilter, page: Page) -> Result<Vec<Task>> {
        Ok(query::list(&self.state(), &filter, page))
    }

    async fn count(&self, filter: TaskFilter) -> Result<StatusCounts> {
        Ok(query::count(&self.state(), &filter))
    }

    async fn progress(&self, id: &TaskId) -> Result<Option<Progress>> {
        Ok(query::progress(&self.state(), id))
    }

    async fn attempts(&self, id: &TaskId) -> Result<Vec<Attempt>> {
        Ok(query::attempts(&self.state(), id))
    }

    async fn queue_facts(&self, id: &TaskId) -> Result<Option<QueueFacts>> {
        Ok(query::queue_facts(&self.state(), id))
    }

    async fn tree_state(&self, task: &TaskId) -> Result<Option<TreeState>> {
        Ok(query::tree_state(&self.state(), task))
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>> {
        self.state().log.read(&query)
    }

    async fn last_seq(&self) -> Result<Seq> {
        Ok(self.state().log.last())
    }

    async fn log_start(&self) -> Result<Seq> {
        Ok(self.state().log.start())
    }

    async fn trim_events(&self, request: TrimRequest) -> Result<Trimmed> {
        Ok(trim(&mut self.state(), &request))
    }

    async fn tidy(&self) -> Result<()> {
        Ok(())
    }

    async fn open_session(&self, node: &NodeId, until: Timestamp, now: Timestamp) -> Result<Opened> {
        session::open(&mut self.state(), node, until, now)
    }

    async fn renew_session(&self, session: &Session, until: Timestamp) -> Result<()> {
        session::renew(&mut self.state(), session, until)
    }

    async fn close_session(&self, session: &Session, now: Timestamp) -> Result<()> {
        session::close(&mut self.state(), session, now)
    }

    async fn rescue(&self, now: Timestamp) -> Result<u32> {
        session::rescue(&mut self.state(), now)
    }

    async fn cursor(&self, name: &str) -> Result<Option<Seq>> {
        Ok(self.state().cursors.get(name).map(|one| one.cursor))
    }

    async fn set_cursor(&self, name: &str, cursor: Seq, now: Timestamp) -> Result<()> {
        self.state().cursors.insert(name.to_owned(), Consumer { cursor, seen_at: now });
        Ok(())
    }
}

#[async_trait]
impl PeerStore for MemStore {
    async fn tell_peers(&self, _: &NodeId, _: &PeerWord) -> Result<()> {
        Ok(())
    }

    async fn hear_peers(&self) -> Result<(NodeId, PeerWord)> {
        std::future::pending().await
    }
}

#[async_trait]
impl PluginStore for MemStore {
    async fn plugin_state(&self, plugin: &str, key: &str) -> Result<Option<StateEntry>> {
        Ok(self.state().plugins.get(plugin, key))
    }

    async fn write_state(&self, write: &StateWrite) -> Result<StateWritten> {
        Ok(self.state().plugins.write(write))
    }

    async fn checkpoint(&self, run: RunRef) -> Result<Option<Json>> {
        plugins::checkpoint(&self.state(), run)
    }

    async fn save_checkpoint(&self, run: RunRef, data: Option<Json>) -> Result<()> {
        plugins::save_checkpoint(&mut self.state(), run, data)
    }

    async fn child_facts(&self, run: RunRef) -> Result<ChildFacts> {
        plugins::facts(&self.state(), run)
    }

    async fn adopt(&self, run: RunRef, tree: TreeKey) -> Result<()> {
        plugins::adopt(&mut self.state(), run, tree)
    }

    async fn is_child(&self, task: TaskKey, root: &TaskId) -> Result<bool> {
        Ok(plugins::is_child(&self.state(), task, root))
    }

    async fn running_children(&self, tasks: &[TaskKey]) -> Result<Vec<TaskId>> {
        Ok(plugins::running(&self.state(), tasks))
    }

    async fn free_places(&self, run: RunRef) -> Result<()> {
        plugins::free_places(&mut self.state(), run);
        Ok(())
    }
}

#[async_trait]
impl GateStore for MemStore {
    async fn set_gate_rules(&self, rules: &[GateRule], now: Timestamp) -> Result<bool> {
        Ok(gates::set_rules(&mut self.state(), rules, now))
    }

    async fn gates(&self) -> Result<Vec<Gate>> {
        Ok(self.state().gates.values().cloned().collect())
    }
}

fn trim(state: &mut State, request: &TrimRequest) -> Trimmed {
    let running = state.trees.iter().filter(|(_, tree)| tree.status == TreeStatus::InProgress);
    let mut consumers: Vec<Consumer> = state.cursors.values().copied().collect();
    consumers.extend(webhooks::consumers(state));
    let facts = LogFacts {
        newest: state.log.last(),
        open_execution: running.map(|(_, tree)| tree.started_seq).min(),
        consumers,
    };
    state.log.trim(request, &facts)
}
