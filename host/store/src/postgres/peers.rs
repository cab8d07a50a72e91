//! What hosts of one database know of each other: a lock for each name of a node that is in use, and words over
//! LISTEN/NOTIFY. A notification is sent only when another host is there, by whoever has something to say, and never in
//! a turn: commits that notify wait for each other.

use std::collections::HashSet;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::{NodeId, TaskKey, Token, TreeKey};
use apflow_core::store::PeerWord;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::PostgresStore;
use super::connect::Role;
use crate::error::store;
use crate::rows::{from_json, to_json};

/// The channel of notifications, and the first half of the advisory locks of nodes; "node" in ASCII.
const CHANNEL: &str = "apflow";
const NODE_LOCK: i32 = 0x6e6f_6465;
/// Runs or trees that one notification names; its text may have 8,000 bytes.
const MOST: usize = 100;
/// How long the lock of a process that is gone may still be seen, and how often to look.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// The names of nodes that this process has, and its ear.
#[derive(Debug, Default)]
pub(super) struct Peers {
    names: Mutex<Names>,
    listener: Mutex<Option<PgListener>>,
}

/// Locks last as long as the connection does.
#[derive(Debug, Default)]
struct Names {
    connection: Option<PgConnection>,
    held: HashSet<NodeId>,
}

/// A word on its way: runs as `[task, token]`, or trees; with neither it is about work.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    from: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<(i64, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ended: Vec<i64>,
}

/// Takes the name of a node for this process.
///
/// # Errors
/// `InvalidParams` if a host that is alive has it.
pub(super) async fn take_name(postgres: &PostgresStore, node: &NodeId, now: Timestamp) -> Result<()> {
    let mut names = postgres.peers.names.lock().await;
    let began = Instant::now();
    loop {
        if names.lock(postgres, node).await? {
            return Ok(());
        }
        // A machine that lost its power leaves a connection behind that the server takes for alive, but no lease.
        let at = now.plus(began.elapsed());
        if !names.has_lease(node, at).await? {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(taken(node));
        }
        sleep(AGAIN).await;
    }
}

fn taken(node: &NodeId) -> Error {
    Error::new(
        ErrorCode::InvalidParams,
        format!(
            "engine.node is '{node}': another host of this database has that name and is alive. Give each host a name of its own"
        ),
    )
    .with("field", "engine.node")
    .with("value", node.as_str())
}

impl Names {
    /// Whether this process has the name now.
    async fn lock(&mut self, postgres: &PostgresStore, node: &NodeId) -> Result<bool> {
        if let Some(connection) = &mut self.connection
            && connection.ping().await.is_err()
        {
            self.connection = None;
            self.held.clear();
        }
        if self.held.contains(node) {
            return Ok(true);
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(postgres.target.connect(Role::Reader).await.map_err(store)?),
        };
        let text = "SELECT pg_try_advisory_lock($1, hashtext($2))";
        let question = sqlx::query_scalar(text).bind(NODE_LOCK).bind(node.as_str());
        let locked: bool = question.fetch_one(connection).await.map_err(store)?;
        if locked {
            self.held.insert(node.clone());
        }
        Ok(locked)
    }

    async fn has_lease(&mut self, node: &NodeId, now: Timestamp) -> Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let text = "SELECT EXISTS (SELECT 1 FROM sessions WHERE node = $1 AND ended = 0 AND until > $2)";
        let question = sqlx::query_scalar(text).bind(node.as_str()).bind(now.as_micros());
        question.fetch_one(connection).await.map_err(store)
    }
}

/// Sends a word, if there is anyone to hear it.
pub(super) async fn tell(postgres: &PostgresStore, from: &NodeId, word: &PeerWord) -> Result<()> {
    let text =
        "SELECT pg_notify($1, $2) WHERE EXISTS (SELECT 1 FROM sessions WHERE ended = 0 AND node <> $3)";
    for message in messages(from, word) {
        let message = to_json("word to other hosts", &message)?;
        let statement = sqlx::query(text).bind(CHANNEL).bind(message).bind(from.as_str());
        statement.execute(&postgres.writers).await.map_err(store)?;
    }
    Ok(())
}

fn messages(from: &NodeId, word: &PeerWord) -> Vec<Message> {
    let message = |revoked, ended| Message { from: from.to_string(), revoked, ended };
    match word {
        PeerWord::Work => vec![message(Vec::new(), Vec::new())],
        PeerWord::Revoked(runs) => {
            let pair = |(key, token): &(TaskKey, Token)| (key.0, token.0);
            runs.chunks(MOST).map(|runs| message(runs.iter().map(pair).collect(), Vec::new())).collect()
        }
        PeerWord::Ended(trees) => {
            let keys = |trees: &[TreeKey]| trees.iter().map(|key| key.0).collect();
            trees.chunks(MOST).map(|trees| message(Vec::new(), keys(trees))).collect()
        }
    }
}

/// Waits for the next word.
pub(super) async fn hear(postgres: &PostgresStore) -> Result<(NodeId, PeerWord)> {
    let mut listener = postgres.peers.listener.lock().await;
    let ear = match &mut *listener {
        Some(ear) => ear,
        none => {
            let mut ear = PgListener::connect_with(&postgres.ears).await.map_err(store)?;
            ear.listen(CHANNEL).await.map_err(store)?;
            none.insert(ear)
        }
    };
    let heard = ear.recv().await;
    if heard.is_err() {
        *listener = None;
    }
    let Message { from, revoked, ended } =
        from_json("word of another host", heard.map_err(store)?.payload())?;
    let word = match (revoked.is_empty(), ended.is_empty()) {
        (true, true) => PeerWord::Work,
        (true, false) => PeerWord::Ended(ended.into_iter().map(TreeKey).collect()),
        (false, _) => {
            PeerWord::Revoked(revoked.into_iter().map(|(key, token)| (TaskKey(key), Token(token))).collect())
        }
    };
    Ok((NodeId::from(from), word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_word_is_several_messages_and_none_is_too_long() {
        let runs = (0..250).map(|i| (TaskKey(i64::MAX - i), Token(i64::MAX - i))).collect();
        let messages = messages(&NodeId::from("n".repeat(255)), &PeerWord::Revoked(runs));
        assert_eq!(messages.iter().map(|one| one.revoked.len()).collect::<Vec<_>>(), [100, 100, 50]);
        let trees = PeerWord::Ended((0..101).map(|i| TreeKey(i64::MAX - i)).collect());
        let ended = super::messages(&NodeId::from("n".repeat(255)), &trees);
        assert_eq!(ended.iter().map(|one| one.ended.len()).collect::<Vec<_>>(), [100, 1]);
        for message in messages.iter().chain(&ended) {
            assert!(to_json("word", message).unwrap().len() < 8_000);
        }
    }
}
