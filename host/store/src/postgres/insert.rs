//! `insert_tree`. A tree of up to a thousand tasks is one call; a larger one is sent in pieces, in one transaction, so
//! that neither the statement nor the memory grows with it.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::id::TreeKey;
use apflow_core::store::Inserted;
use apflow_core::tree::{NewTask, NewTree};
use sqlx::PgConnection;

use super::PostgresStore;
use super::transaction::{Statement, for_each};
use crate::database::{Failure, replayed};
use crate::error::internal;
use crate::rows::{at, kind_number};
use crate::verbs::insert::{armed, more, refused};

/// Tasks of one piece.
const PIECE: usize = 1_000;

pub(super) async fn insert(
    store: &PostgresStore,
    tree: &NewTree,
    execute: bool,
    now: Timestamp,
) -> Result<Inserted> {
    let armed = execute.then(|| armed(tree));
    replayed(|| once(store, tree, armed.as_deref(), now)).await
}

async fn once(
    store: &PostgresStore,
    tree: &NewTree,
    armed: Option<&[u32]>,
    now: Timestamp,
) -> Result<Inserted> {
    match alone(store, tree, armed, now).await {
        Ok(tree) => Ok(Inserted { tree, execution: armed.map(|_| 1) }),
        Err(failure) => Err(refused(store, tree, failure).await),
    }
}

/// Writes a tree in a transaction of its own.
async fn alone(
    store: &PostgresStore,
    tree: &NewTree,
    armed: Option<&[u32]>,
    now: Timestamp,
) -> Result<TreeKey, Failure> {
    if tree.tasks.len() <= PIECE {
        // One call is a transaction by itself.
        let mut connection = store.writers.acquire().await.map_err(Failure::Statement)?;
        return write(&mut connection, tree, armed, now).await;
    }
    let mut transaction = store.writers.begin().await.map_err(Failure::Statement)?;
    let key = write(&mut transaction, tree, armed, now).await?;
    transaction.commit().await.map_err(Failure::Statement)?;
    Ok(key)
}

/// Writes a tree; gives its key.
pub(super) async fn write(
    connection: &mut PgConnection,
    tree: &NewTree,
    armed: Option<&[u32]>,
    now: Timestamp,
) -> Result<TreeKey, Failure> {
    if tree.tasks.len() <= PIECE {
        let piece = Piece::of(0, &tree.tasks, armed).map_err(Failure::Row)?;
        let text = "SELECT * FROM plant_and_grow($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                                                 $18, $19, $20)";
        let statement = piece.bind(plant(sqlx::query(text), tree, armed.is_some(), now));
        return Ok(TreeKey(planted(connection, statement).await?.0));
    }
    let statement = sqlx::query("SELECT * FROM plant($1, $2, $3, $4, $5)");
    let statement = plant(statement, tree, armed.is_some(), now);
    let (key, root) = planted(connection, statement).await?;
    for (i, tasks) in tree.tasks.chunks(PIECE).enumerate() {
        let first = i * PIECE;
        let armed = armed.map(|counts| &counts[first..first + tasks.len()]);
        let piece = Piece::of(first, tasks, armed).map_err(Failure::Row)?;
        let text = "SELECT * FROM grow($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
        let statement = piece.bind(sqlx::query(text).bind(now.as_micros()).bind(key).bind(root));
        for_each(connection, statement, &mut |_| Ok(())).await?;
    }
    Ok(TreeKey(key))
}

fn plant<'q>(statement: Statement<'q>, tree: &'q NewTree, execute: bool, now: Timestamp) -> Statement<'q> {
    statement
        .bind(now.as_micros())
        .bind(tree.id.as_str())
        .bind(tree.user_id.as_deref())
        .bind(tree.tasks.len() as i64)
        .bind(execute)
}

/// Runs a statement that plants a tree; gives the keys of the tree and of its root.
async fn planted(connection: &mut PgConnection, statement: Statement<'_>) -> Result<(i64, i64), Failure> {
    let mut keys = None;
    let mut each = |row: &_| {
        keys = Some((at(row, 0)?, at(row, 1)?));
        Ok(())
    };
    for_each(connection, statement, &mut each).await?;
    keys.ok_or_else(|| Failure::Row(internal(&"a tree was written without a key")))
}

/// Some tasks of a tree and what they depend on, by columns.
#[derive(Default)]
struct Piece<'t> {
    positions: Vec<i64>,
    parents: Vec<Option<i64>>,
    ids: Vec<&'t str>,
    names: Vec<&'t str>,
    priorities: Vec<i16>,
    executors: Vec<Option<&'t str>>,
    inputs: Vec<&'t str>,
    params: Vec<&'t str>,
    more: Vec<Option<String>>,
    waiting_on: Vec<Option<i32>>,
    edge_tasks: Vec<i64>,
    edge_positions: Vec<i32>,
    edge_targets: Vec<i64>,
    edge_required: Vec<i16>,
    edge_kinds: Vec<i16>,
}

impl<'t> Piece<'t> {
    /// `first` is the position of the first task in the tree; `armed` says for each how many it waits for.
    fn of(first: usize, tasks: &'t [NewTask], armed: Option<&[u32]>) -> Result<Self, Error> {
        let mut piece = Self::default();
        for (i, task) in tasks.iter().enumerate() {
            let position = (first + i) as i64;
            piece.positions.push(position);
            piece.parents.push(task.parent.map(|parent| parent as i64));
            piece.ids.push(task.id.as_str());
            piece.names.push(&task.name);
            piece.priorities.push(i16::from(task.priority));
            piece.executors.push(task.executor.as_deref());
            piece.inputs.push(task.inputs.as_str());
            piece.params.push(task.params.as_str());
            piece.more.push(more(task)?);
            piece.waiting_on.push(armed.map(|counts| counts[i] as i32));
            for (pos, dependency) in (0..).zip(&task.dependencies) {
                piece.edge_tasks.push(position);
                piece.edge_positions.push(pos);
                piece.edge_targets.push(dependency.target as i64);
                piece.edge_required.push(i16::from(dependency.required));
                piece.edge_kinds.push(kind_number(dependency.kind) as i16);
            }
        }
        Ok(piece)
    }

    fn bind<'q>(self, statement: Statement<'q>) -> Statement<'q>
    where
        't: 'q,
    {
        statement
            .bind(self.positions)
            .bind(self.parents)
            .bind(self.ids)
            .bind(self.names)
            .bind(self.priorities)
            .bind(self.executors)
            .bind(self.inputs)
            .bind(self.params)
            .bind(self.more)
            .bind(self.waiting_on)
            .bind(self.edge_tasks)
            .bind(self.edge_positions)
            .bind(self.edge_targets)
            .bind(self.edge_required)
            .bind(self.edge_kinds)
    }
}
