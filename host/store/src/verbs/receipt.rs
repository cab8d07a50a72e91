//! `insert_once` and `receipt`. The receipt is written before the tree: of requests that come at the same time one has the
//! key, and the others wait for what becomes of its tree.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{TaskId, TreeId, TreeKey};
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::store::{Inserted, InsertedOnce};
use apflow_core::tree::NewTree;

use super::insert::{beside, not_written};
use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::rows::{Cells, at, time};

/// The owner of trees that have none, in the table.
const NOBODY: &str = "";

/// The receipt `$1`, `$2` (owner, key).
const TEXT: &str = "
SELECT k.key, k.digest, k.tree, x.id, r.id, k.created_at
  FROM receipts k JOIN trees x ON x.n = k.tree JOIN tasks r ON r.n = x.root
 WHERE k.owner = $1 AND k.key = $2";

pub(crate) async fn insert(
    database: &impl Database,
    tree: &NewTree,
    receipt: &NewReceipt,
    execute: bool,
    now: Timestamp,
) -> Result<InsertedOnce> {
    loop {
        if let Some(done) = replayed(|| once(database, tree, receipt, execute, now)).await? {
            return Ok(done);
        }
    }
}

/// None if the tree that the key was used for has just been deleted, so that the key is free again.
async fn once<D: Database>(
    database: &D,
    tree: &NewTree,
    receipt: &NewReceipt,
    execute: bool,
    now: Timestamp,
) -> Result<Option<InsertedOnce>> {
    let owner = tree.user_id.as_deref().unwrap_or(NOBODY);
    let mut work = database.begin().await?;
    match take_key(&mut work, owner, receipt, now).await {
        Ok(true) => {}
        Ok(false) => {
            let outcome = known(&mut work, owner, receipt).await;
            return work.end(outcome).await;
        }
        Err(error) => return work.end(Err(error)).await,
    }
    let key = match work.insert(tree, execute, now).await {
        Ok(key) => key,
        Err(failure) => return Err(not_written(database, work, tree, failure).await),
    };
    let outcome = use_key(&mut work, owner, receipt, tree, key).await;
    work.end(outcome).await?;
    let receipt = Receipt {
        key: receipt.key.clone(),
        digest: receipt.digest.clone(),
        tree: key,
        tree_id: tree.id.clone(),
        root: tree.root().clone(),
        created_at: now,
    };
    let inserted = Some(Inserted { tree: key, execution: execute.then_some(1) });
    Ok(Some(InsertedOnce { receipt, inserted }))
}

/// Whether the key was free; then it is this transaction's.
async fn take_key(work: &mut impl Work, owner: &str, receipt: &NewReceipt, now: Timestamp) -> Result<bool> {
    let mut was_free = false;
    let arguments = arguments![now, owner, receipt.key.as_str(), receipt.digest.as_str()];
    let note = |_: &_| {
        was_free = true;
        Ok(())
    };
    work.step(Step::TakeKey, arguments, note).await?;
    Ok(was_free)
}

async fn use_key(
    work: &mut impl Work,
    owner: &str,
    receipt: &NewReceipt,
    tree: &NewTree,
    key: TreeKey,
) -> Result<()> {
    beside(work, key, tree).await?;
    work.step(Step::UseKey, arguments![owner, receipt.key.as_str(), key.0], |_| Ok(())).await
}

/// What the key was used for, if that was the same request.
async fn known(work: &mut impl Work, owner: &str, request: &NewReceipt) -> Result<Option<InsertedOnce>> {
    let found = work.rows(sql(TEXT), arguments![owner, request.key.as_str()], view).await?.pop();
    let Some(receipt) = found else { return Ok(None) };
    receipt.check(request)?;
    Ok(Some(InsertedOnce { receipt, inserted: None }))
}

pub(crate) async fn find(
    database: &impl Database,
    owner: Option<&str>,
    key: &str,
) -> Result<Option<Receipt>> {
    Ok(database.read(sql(TEXT), arguments![owner.unwrap_or(NOBODY), key], view).await?.pop())
}

fn view(row: &impl Cells) -> Result<Receipt> {
    Ok(Receipt {
        key: at(row, 0)?,
        digest: at(row, 1)?,
        tree: TreeKey(at(row, 2)?),
        tree_id: TreeId::from(at::<&str>(row, 3)?),
        root: TaskId::from(at::<&str>(row, 4)?),
        created_at: time(row, 5)?,
    })
}
