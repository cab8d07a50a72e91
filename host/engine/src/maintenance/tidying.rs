//! Lets the store do from time to time what it needs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::engine::Shared;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    while timeout(LOOK, stopping.wait_for(|stop| *stop)).await.is_err() {
        if let Err(error) = shared.store.tidy().await {
            tracing::debug!(%error, "the database was not tidied; trying again");
        }
    }
}
