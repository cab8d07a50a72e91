//! The part of the contract that is about limits across trees. The key of a task is written with it
//! ([`crate::tree::NewTask::concurrency_key`]) or by an owner's edit; [`super::Store::turn`] looks at the gates when it
//! claims.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::gate::{Gate, GateRule};

/// Durable gates.
#[async_trait]
pub trait GateStore: Send + Sync + fmt::Debug + 'static {
    /// Replaces the rules; they hold for all hosts of the database from the next turn on, also for what is parked. What
    /// runs goes on. Gives whether they differ from those that were in force.
    async fn set_gate_rules(&self, rules: &[GateRule], now: Timestamp) -> Result<bool>;

    /// Reads the gates, by scope and name: of every executor that a rule speaks of, and of every key that was used.
    async fn gates(&self) -> Result<Vec<Gate>>;
}
