//! What hosts of one database tell each other beside the data. Nothing depends on being heard: what is missed is found by
//! looking, within a second.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::{NodeId, TaskKey, Token, TreeKey};

/// A word to other hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerWord {
    /// There may be tasks that the sender does not take.
    Work,
    /// The tokens of these runs were revoked; whoever has one of them stops it.
    Revoked(Vec<(TaskKey, Token)>),
    /// Executions of these trees have ended; whoever waits for one looks.
    Ended(Vec<TreeKey>),
}

/// Hosts that share a database.
#[async_trait]
pub trait PeerStore: Send + Sync + fmt::Debug + 'static {
    /// Tells the other hosts, if there are any.
    async fn tell_peers(&self, from: &NodeId, word: &PeerWord) -> Result<()>;

    /// Waits for the next word, with its sender, who may be the caller. Never answers where no other host can be.
    async fn hear_peers(&self) -> Result<(NodeId, PeerWord)>;
}
