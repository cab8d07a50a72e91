//! Keeps the lease of this node's session, stops the node's runs before the lease can have expired elsewhere, and
//! rescues the runs of nodes whose lease has expired.

use std::sync::Arc;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::ErrorCode;
use tokio::time::timeout;

use crate::engine::Shared;

/// The lease as this node knows it.
struct Lease {
    shared: Arc<Shared>,
    /// When the last renewal was sent that is known to have worked.
    renewed: Timestamp,
    /// Whether this node has stopped its runs since: they still belong to the session, and nobody runs them.
    stopped: bool,
}

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    let mut lease = Lease { renewed: shared.now(), shared, stopped: false };
    loop {
        if timeout(lease.step(), stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        lease.tick().await;
    }
}

impl Lease {
    /// How long to wait, or to let the store try: never longer than this node may go on without a renewal.
    fn step(&self) -> Duration {
        let policy = self.shared.options.lease;
        if self.stopped {
            return policy.renew_every();
        }
        let left = policy.stop_at(self.renewed).since(self.shared.now());
        policy.renew_every().min(left.max(Duration::from_millis(1)))
    }

    /// One look.
    async fn tick(&mut self) {
        let policy = self.shared.options.lease;
        // Anchored before the attempt: the lease may count from any moment of it.
        let asked = self.shared.now();
        if self.renew(asked).await {
            self.renewed = asked;
            self.rescue().await;
        } else if !self.stopped && policy.must_stop(self.renewed, self.shared.now()) {
            tracing::error!(
                "the lease cannot be renewed; all runs of this node are stopped before others take them over"
            );
            self.shared.runs.abort_all();
            self.stopped = true;
        }
    }

    async fn renew(&mut self, asked: Timestamp) -> bool {
        let session = self.shared.session();
        let renewal = self.shared.store.renew_session(&session, self.shared.options.lease.until(asked));
        let is_lost = match timeout(self.step(), renewal).await {
            Ok(Ok(())) => false,
            Ok(Err(error)) if error.code == ErrorCode::LeaseLost => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease was not renewed");
                return false;
            }
            Err(_) => {
                tracing::warn!("the lease was not renewed in time");
                return false;
            }
        };
        // Where nobody has taken the stopped runs over, they are given back by a new session.
        if is_lost || self.stopped {
            if let Err(error) = self.shared.reopen_session().await {
                tracing::error!(%error, "no new session could be opened");
                return false;
            }
            self.stopped = false;
        }
        true
    }

    async fn rescue(&self) {
        match timeout(self.step(), self.shared.store.rescue(self.shared.now())).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => {
                tracing::warn!(count, "runs of nodes whose lease expired are ready again");
                self.shared.work_appeared();
            }
            Ok(Err(error)) => tracing::warn!(%error, "expired leases were not looked at"),
            Err(_) => tracing::warn!("expired leases were not looked at in time"),
        }
    }
}
