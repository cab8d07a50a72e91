//! What a database must be able to do for the verbs that are written once for all of them: to read rows, to do a step of
//! writing, to hold a transaction. Statements that read differ in a few words ([`Dialect`]); a [`Step`] is a text of
//! several statements on SQLite and a function on PostgreSQL.

use std::fmt;
use std::future::Future;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::event::Event;
use apflow_core::id::{NodeId, Seq, TaskId, TreeKey};
use apflow_core::store::{EventQuery, Inserted, PeerWord, Turn, TurnOutcome};
use apflow_core::tree::NewTree;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::error::{is_conflict, store};
use crate::rows::Cells;

/// A database, open.
pub(crate) trait Database: fmt::Debug + Send + Sync + 'static {
    type Row: Cells;
    type Work: Work<Row = Self::Row>;

    const DIALECT: Dialect;

    /// Reads rows, one statement, so one snapshot.
    fn read<T: Send>(
        &self,
        text: SqlStr,
        arguments: Vec<Argument>,
        convert: impl FnMut(&Self::Row) -> Result<T> + Send,
    ) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// Does one step in a transaction of its own.
    fn run(
        &self,
        step: Step,
        arguments: Vec<Argument>,
        each: impl FnMut(&Self::Row) -> Result<()> + Send,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Opens a transaction.
    fn begin(&self) -> impl Future<Output = Result<Self::Work>> + Send;

    /// [`apflow_core::store::Store::insert_tree`].
    fn insert(
        &self,
        tree: &NewTree,
        execute: bool,
        now: Timestamp,
    ) -> impl Future<Output = Result<Inserted>> + Send;

    /// [`apflow_core::store::Store::turn`].
    fn turn(&self, turn: Turn) -> impl Future<Output = Result<TurnOutcome>> + Send;

    /// [`apflow_core::store::Store::events`].
    fn events(&self, query: &EventQuery) -> impl Future<Output = Result<Vec<Event>>> + Send;

    /// [`apflow_core::store::Store::last_seq`].
    fn last_seq(&self) -> impl Future<Output = Result<Seq>> + Send;

    /// [`apflow_core::store::Store::tidy`].
    fn tidy(&self) -> impl Future<Output = Result<()>> + Send;

    /// Takes the name of a node for this process, so that no other has it while this one lives.
    fn take_name(&self, node: &NodeId, now: Timestamp) -> impl Future<Output = Result<()>> + Send;

    /// [`apflow_core::store::PeerStore::tell_peers`].
    fn tell_peers(&self, from: &NodeId, word: &PeerWord) -> impl Future<Output = Result<()>> + Send;

    /// [`apflow_core::store::PeerStore::hear_peers`].
    fn hear_peers(&self) -> impl Future<Output = Result<(NodeId, PeerWord)>> + Send;
}

/// An open transaction; dropped without [`Work::end`] it is rolled back.
pub(crate) trait Work: Send {
    type Row: Cells;

    const DIALECT: Dialect;

    /// Keeps others from changing the state of the trees that these tasks are in. Comes first: what is read afterwards
    /// stays true.
    fn lock_trees(&mut self, tasks: &[TaskId]) -> impl Future<Output = Result<()>> + Send;

    /// Reads rows.
    fn rows<T: Send>(
        &mut self,
        text: SqlStr,
        arguments: Vec<Argument>,
        convert: impl FnMut(&Self::Row) -> Result<T> + Send,
    ) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// Does a step; after a failure the transaction is good for nothing but its end.
    fn step(
        &mut self,
        step: Step,
        arguments: Vec<Argument>,
        each: impl FnMut(&Self::Row) -> Result<()> + Send,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Writes a tree; gives its key. After a failure the transaction is good for nothing but its end.
    fn insert(
        &mut self,
        tree: &NewTree,
        execute: bool,
        now: Timestamp,
    ) -> impl Future<Output = Result<TreeKey, Failure>> + Send;

    /// Commits if all went well, else rolls back.
    fn end<T: Send>(self, outcome: Result<T>) -> impl Future<Output = Result<T>> + Send;
}

/// What stopped a statement: the database, whose reason the caller may want to look at, or a row that cannot be
/// understood.
pub(crate) enum Failure {
    Statement(sqlx::Error),
    Row(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Statement(error) => store(error),
            Failure::Row(error) => error,
        }
    }
}

/// A step of writing, with its parameters in their order. Lists are JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Time, tree, tasks that will run, blocked ones, first and last key of the tree, plan: `[task, waiting_on, cause]`.
    Arm,
    /// Time, tasks, error, status (cancelled or failed). Ends tasks of one tree that have not finished.
    Withdraw,
    /// Task. Makes a finished task pending again.
    Reopen,
    /// Task, priority. Puts it at another place in its queue.
    Move,
    /// Time, task, name, priority, executor, inputs, params, more.
    Redefine,
    /// Task, dependencies: `[task, required, kind]`.
    Rewire,
    /// Events: `[seq, data]`. Writes data into rows of the log.
    Keep,
    /// Time, tree, number of tasks, tasks.
    Remove,
    /// Time, tree, whether it is of links only, origins of its tasks in their order: `[type, original]`. Completes the links.
    Derive,
    /// Time, tasks. Archives them, where they are not.
    Freeze,
    /// Time, owner, key, digest. Gives a row if the key was free; then it is taken, for no tree yet. While another
    /// transaction is about to take it, this waits.
    TakeKey,
    /// Owner, key, tree. Says what a key that was just taken is used for.
    UseKey,
    /// Time, node, end of the lease.
    OpenSession,
    /// Node, epoch, end of the lease.
    RenewSession,
    /// Time, node, epoch.
    CloseSession,
    /// Time.
    Rescue,
    /// Name, position, time.
    SetCursor,
    /// Time, rules: `[scope, name, prefix, max_running, spacing, burst]`. Replaces the rules, and what gates let through.
    SetGateRules,
    /// Tree, keys of its tasks: `[position, key]`.
    GiveKeys,
    /// Task, its key. Finds its gates anew; if it is parked, it is ready.
    Regate,
    /// Tree, milliseconds.
    SetDeadline,
    /// Task, token. The run goes on without its places at gates.
    FreePlaces,
}

/// An argument of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Argument {
    Int(Option<i64>),
    Text(Option<String>),
}

macro_rules! arguments_from {
    ($($type:ty, $variant:ident, $convert:expr;)*) => {$(
        impl From<$type> for Argument {
            fn from(value: $type) -> Self {
                let convert: fn($type) -> _ = $convert;
                Self::$variant(convert(value))
            }
        }
    )*};
}

arguments_from! {
    i64, Int, Some;
    Option<i64>, Int, |value| value;
    Timestamp, Int, |time| Some(time.as_micros());
    String, Text, Some;
    Option<String>, Text, |value| value;
    &str, Text, |text| Some(text.to_owned());
}

/// A list of arguments of any types.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => { vec![$($crate::database::Argument::from($value)),*] };
}
pub(crate) use arguments;

/// The words in which statements that read differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// A join with a condition. On SQLite, which has no statistics, the one that fixes the order.
    pub const fn join(self) -> &'static str {
        match self {
            Self::Sqlite => "CROSS JOIN",
            Self::Postgres => "JOIN",
        }
    }

    /// The elements of a list of numbers.
    pub fn numbers(self, list: &str) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value FROM json_each({list}))"),
            Self::Postgres => {
                format!("(SELECT value::bigint FROM json_array_elements_text({list}::json) AS j (value))")
            }
        }
    }

    /// The elements of a list of texts as a table `j`, with their positions (`key`).
    pub fn texts(self, list: &str) -> String {
        match self {
            Self::Sqlite => format!("json_each({list}) AS j"),
            Self::Postgres => {
                format!("json_array_elements_text({list}::json) WITH ORDINALITY AS j (value, key)")
            }
        }
    }

    /// A list of values as JSON text.
    pub fn list(self, items: &str) -> String {
        match self {
            Self::Sqlite => format!("json_array({items})"),
            Self::Postgres => format!("json_build_array({items})::text"),
        }
    }

    /// Rows put together to a list of lists.
    pub fn list_of(self, items: &str, order: &str) -> String {
        match self {
            Self::Sqlite => format!("json_group_array(json_array({items}) ORDER BY {order})"),
            Self::Postgres => {
                format!("coalesce(json_agg(json_build_array({items}) ORDER BY {order}), '[]')::text")
            }
        }
    }
}

/// A text that was put together of constants.
pub(crate) fn sql(text: impl Into<String>) -> SqlStr {
    AssertSqlSafe(text.into()).into_sql_str()
}

/// How often a transaction is played again that another one has got in the way of.
const REPLAYS: u32 = 20;

/// Plays a transaction, and plays it again as long as the database has rolled it back for the sake of another one.
pub(crate) async fn replayed<T, F>(mut once: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 1..REPLAYS {
        match once().await {
            Err(error) if is_conflict(&error) => tracing::debug!(%error, "a transaction is played again"),
            outcome => return outcome,
        }
    }
    once().await
}

#[cfg(test)]
mod tests {
    use apflow_core::error::ErrorCode;

    use super::*;

    async fn played(failures: u32, sqlstate: &str) -> (u32, Result<u32>) {
        let mut plays = 0;
        let outcome = replayed(|| {
            plays += 1;
            let conflict = Error::new(ErrorCode::StoreUnavailable, "c").with("sqlstate", sqlstate);
            let outcome = if plays > failures { Ok(plays) } else { Err(conflict) };
            async { outcome }
        });
        let outcome = outcome.await;
        (plays, outcome)
    }

    #[tokio::test]
    async fn only_conflicts_are_played_again_and_not_for_ever() {
        assert_eq!(played(2, "40P01").await, (3, Ok(3)));
        assert_eq!(played(2, "40001").await, (3, Ok(3)));
        assert_eq!(played(2, "53100").await.0, 1);
        let (plays, outcome) = played(100, "40P01").await;
        assert_eq!(plays, REPLAYS);
        assert!(outcome.is_err());
    }
}
