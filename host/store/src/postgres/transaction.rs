//! Reading, steps and transactions.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::event::Event;
use apflow_core::id::{NodeId, Seq, TaskId, TreeKey};
use apflow_core::store::{EventQuery, Inserted, PeerWord, Turn, TurnOutcome};
use apflow_core::tree::NewTree;
use futures::StreamExt as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, SqlStr, Transaction};

use super::{PostgresStore, insert, peers, tidy, turn};
use crate::database::{Argument, Database, Dialect, Failure, Step, Work, sql};
use crate::error::store;
use crate::rows::to_json;
use crate::verbs::insert::armed;

pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

impl Database for PostgresStore {
    type Row = PgRow;
    type Work = Writing;

    const DIALECT: Dialect = Dialect::Postgres;

    async fn read<T: Send>(
        &self,
        text: SqlStr,
        arguments: Vec<Argument>,
        convert: impl FnMut(&PgRow) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let mut connection = self.readers.acquire().await.map_err(store)?;
        collect(&mut connection, statement(text, arguments), convert).await
    }

    async fn run(
        &self,
        step: Step,
        arguments: Vec<Argument>,
        mut each: impl FnMut(&PgRow) -> Result<()> + Send,
    ) -> Result<()> {
        let mut connection = self.writers.acquire().await.map_err(store)?;
        let statement = statement(SqlStr::from_static(call(step)), arguments);
        Ok(for_each(&mut connection, statement, &mut each).await?)
    }

    async fn begin(&self) -> Result<Writing> {
        Ok(Writing { transaction: self.writers.begin().await.map_err(store)? })
    }

    async fn insert(&self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<Inserted> {
        insert::insert(self, tree, execute, now).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnOutcome> {
        turn::turn(self, &turn).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>> {
        self.log.events(self, query).await
    }

    async fn last_seq(&self) -> Result<Seq> {
        self.log.last_seq(self).await
    }

    async fn tidy(&self) -> Result<()> {
        tidy::tidy(self).await
    }

    async fn take_name(&self, node: &NodeId, now: Timestamp) -> Result<()> {
        peers::take_name(self, node, now).await
    }

    async fn tell_peers(&self, from: &NodeId, word: &PeerWord) -> Result<()> {
        peers::tell(self, from, word).await
    }

    async fn hear_peers(&self) -> Result<(NodeId, PeerWord)> {
        peers::hear(self).await
    }
}

/// An open transaction, read committed: each statement sees what was committed before it.
pub(crate) struct Writing {
    transaction: Transaction<'static, Postgres>,
}

impl Work for Writing {
    type Row = PgRow;

    const DIALECT: Dialect = Dialect::Postgres;

    async fn lock_trees(&mut self, tasks: &[TaskId]) -> Result<()> {
        let text = format!(
            "SELECT x.n FROM trees x
              WHERE x.n IN (SELECT t.tree FROM {} JOIN tasks t ON t.id = j.value) ORDER BY x.n FOR NO KEY UPDATE",
            Dialect::Postgres.texts("$1")
        );
        let statement = sqlx::query(sql(text)).bind(to_json("list of ids", &tasks)?);
        Ok(for_each(&mut self.transaction, statement, &mut |_| Ok(())).await?)
    }

    async fn rows<T: Send>(
        &mut self,
        text: SqlStr,
        arguments: Vec<Argument>,
        convert: impl FnMut(&PgRow) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        collect(&mut self.transaction, statement(text, arguments), convert).await
    }

    async fn step(
        &mut self,
        step: Step,
        arguments: Vec<Argument>,
        mut each: impl FnMut(&PgRow) -> Result<()> + Send,
    ) -> Result<()> {
        let statement = statement(SqlStr::from_static(call(step)), arguments);
        Ok(for_each(&mut self.transaction, statement, &mut each).await?)
    }

    async fn insert(&mut self, tree: &NewTree, execute: bool, now: Timestamp) -> Result<TreeKey, Failure> {
        let armed = execute.then(|| armed(tree));
        insert::write(&mut self.transaction, tree, armed.as_deref(), now).await
    }

    async fn end<T: Send>(self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(value) => {
                self.transaction.commit().await.map_err(store)?;
                Ok(value)
            }
            Err(error) => {
                // The reason why it failed is worth more than that the end of it failed too.
                let _ = self.transaction.rollback().await;
                Err(error)
            }
        }
    }
}

/// The function of a step.
const fn call(step: Step) -> &'static str {
    match step {
        Step::Arm => "SELECT * FROM arm($1, $2, $3, $4, $5, $6, $7)",
        Step::Withdraw => "SELECT * FROM withdraw($1, $2, $3, $4)",
        Step::Reopen => "SELECT * FROM reopen($1)",
        Step::Move => "SELECT * FROM move($1, $2)",
        Step::Redefine => "SELECT * FROM redefine($1, $2, $3, $4, $5, $6, $7, $8)",
        Step::Rewire => "SELECT * FROM rewire($1, $2)",
        Step::Keep => "SELECT * FROM keep($1)",
        Step::Remove => "SELECT * FROM remove($1, $2, $3, $4)",
        Step::Derive => "SELECT * FROM derive($1, $2, $3, $4)",
        Step::Freeze => "SELECT * FROM freeze($1, $2)",
        Step::TakeKey => "SELECT * FROM take_key($1, $2, $3, $4)",
        Step::UseKey => "SELECT * FROM use_key($1, $2, $3)",
        Step::OpenSession => "SELECT * FROM open_session($1, $2, $3)",
        Step::RenewSession => "SELECT * FROM renew_session($1, $2, $3)",
        Step::CloseSession => "SELECT * FROM close_session($1, $2, $3)",
        Step::Rescue => "SELECT * FROM rescue($1)",
        Step::SetGateRules => "SELECT * FROM set_gate_rules($1, $2)",
        Step::GiveKeys => "SELECT * FROM give_keys($1, $2)",
        Step::Regate => "SELECT * FROM regate($1, $2)",
        Step::SetDeadline => "SELECT * FROM set_deadline($1, $2)",
        Step::FreePlaces => "SELECT * FROM free_places($1, $2)",
        Step::SetCursor => "SELECT * FROM set_cursor($1, $2, $3)",
    }
}

fn statement(text: SqlStr, arguments: Vec<Argument>) -> Statement<'static> {
    arguments.into_iter().fold(sqlx::query(text), |statement, argument| match argument {
        Argument::Int(number) => statement.bind(number),
        Argument::Text(text) => statement.bind(text),
    })
}

async fn collect<T>(
    connection: &mut PgConnection,
    statement: Statement<'_>,
    mut convert: impl FnMut(&PgRow) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let mut each = |row: &PgRow| {
        all.push(convert(row)?);
        Ok(())
    };
    for_each(connection, statement, &mut each).await?;
    Ok(all)
}

/// Rows are handed on one by one: a list of them would hold every column of a large tree twice.
pub(super) async fn for_each(
    connection: &mut PgConnection,
    statement: Statement<'_>,
    each: &mut impl FnMut(&PgRow) -> Result<()>,
) -> Result<(), Failure> {
    let mut rows = statement.fetch(connection);
    while let Some(row) = rows.next().await {
        each(&row.map_err(Failure::Statement)?).map_err(Failure::Row)?;
    }
    Ok(())
}
