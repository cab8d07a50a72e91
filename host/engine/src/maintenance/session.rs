//! Keeps the lease of this node's session, stops the node's runs before the lease can have expired elsewhere, and
//! rescues the runs of nodes whose lease has expired.

use std::sync::Arc;

use apflow_core::clock::Timestamp;
use apflow_core::error::ErrorCode;
use tokio::time::timeout;

use crate::engine::Shared;

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let policy = shared.options.lease;
    let mut stopping = shared.stopping();
    let mut renewed = shared.now();
    loop {
        if timeout(policy.renew_every(), stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        renewed = tick(&shared, renewed).await;
    }
}

/// One look; gives the time of the last renewal that is known to have worked.
pub(crate) async fn tick(shared: &Arc<Shared>, renewed: Timestamp) -> Timestamp {
    let policy = shared.options.lease;
    // Anchored before the attempt: the lease may count from any moment of it.
    let asked = shared.now();
    let session = shared.session();
    let renewal = shared.store.renew_session(&session, policy.until(asked));
    let renewed = match timeout(policy.renew_every(), renewal).await {
        Ok(Ok(())) => asked,
        Ok(Err(error)) if error.code == ErrorCode::LeaseLost => match shared.reopen_session().await {
            Ok(()) => asked,
            Err(error) => {
                tracing::error!(%error, "no new session could be opened");
                renewed
            }
        },
        Ok(Err(error)) => {
            tracing::warn!(%error, "the lease was not renewed");
            renewed
        }
        Err(_) => {
            tracing::warn!("the lease was not renewed in time");
            renewed
        }
    };
    if policy.must_stop(renewed, shared.now()) {
        tracing::error!(
            "the lease cannot be renewed; all runs of this node are stopped before others take them over"
        );
        shared.runs.abort_all();
    }
    match shared.store.rescue(shared.now()).await {
        Ok(0) => {}
        Ok(count) => {
            tracing::warn!(count, "runs of nodes whose lease expired are ready again");
            shared.work_appeared();
        }
        Err(error) => tracing::warn!(%error, "expired leases were not looked at"),
    }
    renewed
}
