//! What one call uses: counters that the guest's side writes and the caller's side reads, also after the guest was
//! interrupted and its store is gone. Limits are checked by those who count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::http::Budget;
use crate::stdio::Captured;

/// Shared by both sides of one call.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    busy_ns: AtomicU64,
    host_calls: AtomicU64,
    peak_memory: AtomicU64,
    log_lines: AtomicU64,
    /// Growth of memories was refused because of the limit.
    pub memory_refused: AtomicBool,
    /// Growth of tables was refused because of the limit.
    pub tables_refused: AtomicBool,
    http: OnceLock<Arc<Budget>>,
    output: OnceLock<Arc<Captured>>,
    pauses: Mutex<Pauses>,
}

/// Times in which the call waited for what others do.
#[derive(Debug, Default)]
struct Pauses {
    over: Duration,
    since: Option<Instant>,
}

/// A pause that lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Pause<'u>(&'u Usage);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut pauses = self.0.pauses();
        if let Some(since) = pauses.since.take() {
            pauses.over += since.elapsed();
        }
    }
}

impl Usage {
    /// The guest has been computing for so long.
    pub fn add_busy(&self, span: Duration) {
        self.busy_ns.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How long the guest has been computing.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_ns.load(Relaxed))
    }

    /// The call waits for what others do.
    pub fn pause(&self) -> Pause<'_> {
        self.pauses().since = Some(Instant::now());
        Pause(self)
    }

    /// How long the call has waited for others so far.
    pub fn paused(&self) -> Duration {
        let pauses = self.pauses();
        pauses.over + pauses.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest calls the host; gives how often it has.
    pub fn add_host_call(&self) -> u64 {
        self.host_calls.fetch_add(1, Relaxed) + 1
    }

    /// How often the guest has called the host.
    pub fn host_calls(&self) -> u64 {
        self.host_calls.load(Relaxed)
    }

    /// The guest writes a line to the log; gives how many it has.
    pub fn add_log_line(&self) -> u64 {
        self.log_lines.fetch_add(1, Relaxed) + 1
    }

    /// How many lines the guest has written, those dropped included.
    pub fn log_lines(&self) -> u64 {
        self.log_lines.load(Relaxed)
    }

    /// The guest's memories have `total` bytes.
    pub fn see_memory(&self, total: u64) {
        self.peak_memory.fetch_max(total, Relaxed);
    }

    /// The most bytes that the guest's memories had.
    pub fn peak_memory(&self) -> u64 {
        self.peak_memory.load(Relaxed)
    }

    /// Whether growth was refused.
    pub fn broke_a_limit(&self) -> bool {
        self.memory_refused.load(Relaxed) || self.tables_refused.load(Relaxed)
    }

    /// What the call may send and receive over HTTP; made when it first does.
    pub fn http(&self, make: impl FnOnce() -> Budget) -> &Arc<Budget> {
        self.http.get_or_init(|| Arc::new(make()))
    }

    /// The peers (`host:port`) that were contacted.
    pub fn hosts(&self) -> Vec<String> {
        self.http.get().map(|budget| budget.contacted()).unwrap_or_default()
    }

    /// The guest's standard output and error go there.
    pub fn capture(&self, output: &Arc<Captured>) {
        let _ = self.output.set(Arc::clone(output));
    }

    /// The last lines that the guest wrote; empty if there are none.
    pub fn last_output(&self) -> String {
        self.output.get().map(|captured| captured.text()).unwrap_or_default()
    }
}
