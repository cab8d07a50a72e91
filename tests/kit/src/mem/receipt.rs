//! `insert_once` and `receipt`.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::receipt::{NewReceipt, Receipt};
use apflow_core::store::InsertedOnce;
use apflow_core::tree::NewTree;

use super::insert;
use super::rows::{ReceiptRow, State};

pub(super) fn insert(
    state: &mut State,
    tree: &NewTree,
    receipt: &NewReceipt,
    execute: bool,
    now: Timestamp,
) -> Result<InsertedOnce> {
    let (owner, key) = (tree.user_id.clone(), receipt.key.clone());
    if let Some(known) = find(state, owner.as_deref(), &key) {
        known.check(receipt)?;
        return Ok(InsertedOnce { receipt: known, inserted: None });
    }
    let inserted = insert::insert(state, tree, execute, now)?;
    let row = ReceiptRow { digest: receipt.digest.clone(), tree: inserted.tree, created_at: now };
    let known = view(state, &key, &row);
    state.receipts.insert((owner, key), row);
    Ok(InsertedOnce { receipt: known, inserted: Some(inserted) })
}

pub(super) fn find(state: &State, owner: Option<&str>, key: &str) -> Option<Receipt> {
    let row = state.receipts.get(&(owner.map(str::to_owned), key.to_owned()))?;
    Some(view(state, key, row))
}

fn view(state: &State, key: &str, row: &ReceiptRow) -> Receipt {
    let tree = &state.trees[row.tree];
    Receipt {
        key: key.into(),
        digest: row.digest.clone(),
        tree: row.tree,
        tree_id: tree.id.clone(),
        root: state.tasks[tree.root].id.clone(),
        created_at: row.created_at,
    }
}
