//! `log`: lines for the host's log, with plugin, task and attempt added. Lines over the limit are dropped and counted;
//! the call goes on, and its end says how many (`call`).

use wasmtime::Result;

use crate::bindings::convert::cut;
use crate::bindings::v0_1::log::Host;
use crate::state::GuestState;

/// What the operator filters by.
pub(crate) const TARGET: &str = "apflow::plugin";

impl Host for GuestState {
    fn write(&mut self, level: String, message: String) -> Result<()> {
        self.enter()?;
        let limits = &self.identity.limits;
        if self.call.usage.add_log_line() > u64::from(limits.log_lines) {
            return Ok(());
        }
        let message = cut(message, limits.log_line_bytes as usize);
        let (plugin, task, attempt) = (&*self.identity.name, &*self.call.task, self.call.attempt);
        match level.as_str() {
            "trace" => tracing::trace!(target: TARGET, plugin, task, attempt, "{message}"),
            "debug" => tracing::debug!(target: TARGET, plugin, task, attempt, "{message}"),
            "warn" => tracing::warn!(target: TARGET, plugin, task, attempt, "{message}"),
            "error" => tracing::error!(target: TARGET, plugin, task, attempt, "{message}"),
            _ => tracing::info!(target: TARGET, plugin, task, attempt, "{message}"),
        }
        Ok(())
    }
}
