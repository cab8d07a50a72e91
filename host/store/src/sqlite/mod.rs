//! The store on SQLite: one connection that writes, a few that read, and a file per family of verbs, each with its SQL
//! beside the function that runs it. This file is the trait; how the tables work together is said in the migration.

mod cancel;
mod clone;
mod connect;
mod delete;
mod events;
mod execute;
mod insert;
mod migrations;
mod procedure;
mod query;
mod receipt;
mod scratch;
mod session;
mod settle;
mod skeleton;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;
mod turn;
mod update;
mod view;

use apflow_core::clock::Timestamp;
use apflow_core::clone::NewClone;
use apflow_core::error::Result;
use apflow_core::event::Event;
use apflow_core::id::{NodeId, Seq, TaskId};
use apflow_core::lease::Session;
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::store::{
    CancelRequest, Cancellation, Deleted, EventQuery, ExecuteRequest, Execution, Inserted, InsertedOnce,
    Opened, Page, Progress, QueueFacts, StatusCounts, Store, TaskFilter, TaskPatch, TreeState, Turn,
    TurnOutcome,
};
use apflow_core::task::{Attempt, Task};
use apflow_core::tree::NewTree;
use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use tokio::sync::Mutex;

pub(crate) use connect::{latest_schema, schema_version};
use transaction::Writer;

use crate::StoreOptions;
use crate::rows::at;

/// The location of a database that has no file.
const MEMORY: &str = ":memory:";

/// An open database.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    writer: Mutex<Writer>,
    /// None for a database in memory, which only its own connection sees.
    readers: Option<SqlitePool>,
}

impl SqliteStore {
    /// Opens the database at a path or in memory.
    pub(crate) async fn open(location: &str, options: StoreOptions) -> Result<Self> {
        let writer = connect::writer(location, options).await?;
        let readers = (location != MEMORY).then(|| connect::readers(location, options));
        Ok(Self { writer: Mutex::new(Writer::new(writer)), readers })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn insert_tree(&self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<Inserted> {
        insert::insert(self, tree, execute, now).await
    }

    async fn insert_once(
        &self,
        tree: &NewTree,
        receipt: &NewReceipt,
        execute: bool,
        now: Timestamp,
    ) -> Result<InsertedOnce> {
        receipt::insert(self, tree, receipt, execute, now).await
    }

    async fn receipt(&self, owner: Option<&str>, key: &str) -> Result<Option<Receipt>> {
        receipt::find(self, owner, key).await
    }

    async fn insert_clone(&self, clone: &NewClone, now: Timestamp) -> Result<Inserted> {
        clone::insert(self, clone, now).await
    }

    async fn archive(&self, ids: &[TaskId], now: Timestamp) -> Result<()> {
        clone::archive(self, ids, now).await
    }

    async fn execute(&self, request: ExecuteRequest) -> Result<Execution> {
        execute::execute(self, &request).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnOutcome> {
        turn::turn(self, turn).await
    }

    async fn cancel(&self, request: CancelRequest) -> Result<Cancellation> {
        cancel::cancel(self, &request).await
    }

    async fn update(&self, id: &TaskId, patch: TaskPatch, now: Timestamp) -> Result<Task> {
        update::update(self, id, patch, now).await
    }

    async fn delete(&self, id: &TaskId, now: Timestamp) -> Result<Deleted> {
        delete::delete(self, id, now).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        query::get(self, ids).await
    }

    async fn subtree(&self, id: &TaskId) -> Result<Vec<Task>> {
        query::subtree(self, id).await
    }

    async fn children(&self, id: &TaskId) -> Result<Vec<Task>> {
        query::children(self, id).await
    }

    async fn list(&self, filter: TaskFilter, page: Page) -> Result<Vec<Task>> {
        query::list(self, &filter, page).await
    }

    async fn count(&self, filter: TaskFilter) -> Result<StatusCounts> {
        query::count(self, &filter).await
    }

    async fn progress(&self, id: &TaskId) -> Result<Option<Progress>> {
        query::progress(self, id).await
    }

    async fn attempts(&self, id: &TaskId) -> Result<Vec<Attempt>> {
        query::attempts(self, id).await
    }

    async fn queue_facts(&self, id: &TaskId) -> Result<Option<QueueFacts>> {
        query::queue_facts(self, id).await
    }

    async fn tree_state(&self, task: &TaskId) -> Result<Option<TreeState>> {
        query::tree_state(self, task).await
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>> {
        events::events(self, &query).await
    }

    async fn last_seq(&self) -> Result<Seq> {
        events::last_seq(self).await
    }

    async fn open_session(&self, node: &NodeId, until: Timestamp, now: Timestamp) -> Result<Opened> {
        session::open(self, node, until, now).await
    }

    async fn renew_session(&self, session: &Session, until: Timestamp) -> Result<()> {
        session::renew(self, session, until).await
    }

    async fn close_session(&self, session: &Session, now: Timestamp) -> Result<()> {
        session::close(self, session, now).await
    }

    async fn rescue(&self, now: Timestamp) -> Result<u32> {
        session::rescue(self, now).await
    }

    async fn cursor(&self, name: &str) -> Result<Option<Seq>> {
        let statement = sqlx::query("SELECT seq FROM cursors WHERE name = $1").bind(name.to_owned());
        Ok(self.read(statement, |row| at(row, 0).map(Seq)).await?.pop())
    }

    async fn set_cursor(&self, name: &str, seq: Seq) -> Result<()> {
        let text =
            "INSERT INTO cursors (name, seq) VALUES ($1, $2) ON CONFLICT DO UPDATE SET seq = excluded.seq";
        let statement = sqlx::query(text).bind(name.to_owned()).bind(seq.0);
        Ok(self.write().await.run(statement, |_| Ok(())).await?)
    }
}
