//! Signals that ask a command to stop. Registered once, before the work begins, so that none is missed; from then on
//! they end nothing by themselves.

use super::errors::Failure;

/// Interrupts (Ctrl-C) and, on Unix, terminations.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over. Needs a runtime.
    #[cfg(unix)]
    pub fn register() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let take = |kind| {
            signal(kind).map_err(|error| {
                Failure::missing("signal_error", format!("Signals cannot be taken over: {error}"))
            })
        };
        Ok(Self { interrupt: take(SignalKind::interrupt())?, terminate: take(SignalKind::terminate())? })
    }

    /// Takes the signals over. Needs a runtime.
    #[cfg(not(unix))]
    pub fn register() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Waits for the next one and gives its name.
    #[cfg(unix)]
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Waits for the next one and gives its name.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> &'static str {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "signals cannot be taken over");
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
