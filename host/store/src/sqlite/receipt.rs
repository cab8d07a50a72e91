//! `insert_once` and `receipt`.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{TaskId, TreeId, TreeKey};
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::store::{Inserted, InsertedOnce};
use apflow_core::tree::NewTree;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::insert::{self, Frame};
use super::transaction::{Statement, Writing};
use crate::rows::{at, time};

/// The owner of trees that have none, in the table.
const NOBODY: &str = "";

pub(super) async fn insert(
    store: &SqliteStore,
    tree: &NewTree,
    receipt: &NewReceipt,
    execute: bool,
    now: Timestamp,
) -> Result<InsertedOnce> {
    let owner = tree.user_id.as_deref();
    let mut writing = store.write().await;
    writing.begin().await?;
    let known = match writing.rows(statement(owner, &receipt.key), view).await {
        Ok(mut known) => known.pop(),
        Err(error) => return writing.end(Err(error)).await,
    };
    if let Some(known) = known {
        let outcome = known.check(receipt).map(|()| InsertedOnce { receipt: known, inserted: None });
        return writing.end(outcome).await;
    }
    let key = match insert::write(&mut writing, tree, execute, now, Frame::Part).await {
        Ok(key) => key,
        Err(failure) => {
            drop(writing);
            return Err(insert::refused(store, tree, failure).await);
        }
    };
    let outcome = note(&mut writing, owner, receipt, key, now).await;
    writing.end(outcome).await?;
    let inserted = Some(Inserted { tree: key, execution: execute.then_some(1) });
    let receipt = Receipt {
        key: receipt.key.clone(),
        digest: receipt.digest.clone(),
        tree: key,
        tree_id: tree.id.clone(),
        root: tree.root().clone(),
        created_at: now,
    };
    Ok(InsertedOnce { receipt, inserted })
}

async fn note(
    writing: &mut Writing<'_>,
    owner: Option<&str>,
    receipt: &NewReceipt,
    tree: TreeKey,
    now: Timestamp,
) -> Result<()> {
    let text = "INSERT INTO receipts (owner, key, digest, tree, created_at) VALUES ($1, $2, $3, $4, $5)";
    let statement = sqlx::query(text)
        .bind(owner.unwrap_or(NOBODY).to_owned())
        .bind(receipt.key.clone())
        .bind(receipt.digest.clone())
        .bind(tree.0)
        .bind(now.as_micros());
    Ok(writing.step(statement, |_| Ok(())).await?)
}

pub(super) async fn find(store: &SqliteStore, owner: Option<&str>, key: &str) -> Result<Option<Receipt>> {
    Ok(store.read(statement(owner, key), view).await?.pop())
}

fn statement(owner: Option<&str>, key: &str) -> Statement {
    let text = "
SELECT k.key, k.digest, k.tree, x.id, r.id, k.created_at
  FROM receipts k CROSS JOIN trees x ON x.n = k.tree CROSS JOIN tasks r ON r.n = x.root
 WHERE k.owner = $1 AND k.key = $2";
    sqlx::query(text).bind(owner.unwrap_or(NOBODY).to_owned()).bind(key.to_owned())
}

fn view(row: &SqliteRow) -> Result<Receipt> {
    Ok(Receipt {
        key: at(row, 0)?,
        digest: at(row, 1)?,
        tree: TreeKey(at(row, 2)?),
        tree_id: TreeId::from(at::<&str>(row, 3)?),
        root: TaskId::from(at::<&str>(row, 4)?),
        created_at: time(row, 5)?,
    })
}
