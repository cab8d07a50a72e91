//! Reading the log while several hosts write to it. A position is handed out before the commit, so one that is not there
//! yet may still come although a higher one is there. A position is *final* when nothing can come before it any more:
//!
//! 1. read the highest position that was handed out, M;
//! 2. afterwards, in another statement, take a transaction id X;
//! 3. as soon as no transaction older than X runs, every position up to M is final, because whoever took one had its
//!    transaction id before (see the migration).
//!
//! Step 3 counts transactions that write anything, anywhere in the same server. It mostly holds at once.

use std::time::Duration;

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::Event;
use apflow_core::id::Seq;
use apflow_core::store::EventQuery;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::PostgresStore;
use crate::database::{Database as _, arguments, sql};
use crate::rows::at;
use crate::verbs::events;

/// How long to wait for step 3.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest time between two looks.
const LONGEST_LOOK: Duration = Duration::from_millis(20);

/// What is known of the log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The highest position known to be final; none before the first look.
    known: Mutex<Option<Seq>>,
}

impl Log {
    /// Reads events that are final; all that were committed before the call are among them.
    pub async fn events(&self, store: &PostgresStore, query: &EventQuery) -> Result<Vec<Event>> {
        match self.settle(store).await? {
            Settled::All(last) => events::events(store, query, last).await,
            Settled::Only(_) => Err(stalled()),
        }
    }

    /// The newest final position. If others hold the log up, that is an older one.
    pub async fn last_seq(&self, store: &PostgresStore) -> Result<Seq> {
        match self.settle(store).await? {
            Settled::All(last) | Settled::Only(Some(last)) => events::newest(store, last).await,
            Settled::Only(None) => Err(stalled()),
        }
    }

    async fn settle(&self, store: &PostgresStore) -> Result<Settled> {
        let mut known = self.known.lock().await;
        let highest = Seq(number(store, "SELECT newest()").await?);
        if known.is_some_and(|known| known >= highest) {
            return Ok(Settled::All(highest));
        }
        let barrier = number(store, "SELECT pg_current_xact_id()::text::bigint").await?;
        let (mut waited, mut look) = (Duration::ZERO, Duration::from_millis(1));
        while number(store, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").await? < barrier {
            if waited >= PATIENCE {
                return Ok(Settled::Only(*known));
            }
            sleep(look).await;
            waited += look;
            look = (2 * look).min(LONGEST_LOOK);
        }
        *known = Some(highest);
        Ok(Settled::All(highest))
    }
}

/// How far the log is final.
enum Settled {
    /// Whatever was committed before the question.
    All(Seq),
    /// Not all of it; what was final earlier.
    Only(Option<Seq>),
}

fn stalled() -> Error {
    let text = format!(
        "The log of events stands still: for {} seconds another transaction of the database server has been writing without \
         an end. Look for it in pg_stat_activity (backend_xid) and end it",
        PATIENCE.as_secs()
    );
    Error::new(ErrorCode::StoreUnavailable, text)
}

async fn number(store: &PostgresStore, text: &'static str) -> Result<i64> {
    let rows = store.read(sql(text), arguments![], |row| at(row, 0)).await?;
    rows.first().copied().ok_or_else(|| crate::error::internal(&"no answer to a question about the log"))
}
