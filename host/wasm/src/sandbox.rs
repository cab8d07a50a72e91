//! The sandbox that all plugins of a host run in: wasmtime's configuration, the pool of memories, the clock that
//! interrupts guests, and threads for those that compute for long. Nothing here knows what a plugin is.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::error::Problem;

/// How often a running guest comes back to the host.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Every memory has 4 GiB of address space, so that the compiled code needs no bounds checks; 16 TiB for all of them
/// leaves most of the 128 TiB that a process has.
const MOST_INSTANCES: u32 = 4000;
/// Room for components of several modules, as interpreters are: per instance slot.
const TABLES_PER_SLOT: u32 = 4;
/// How much of a used memory is written over with its first content where the kernel can say which pages were touched
/// (Linux 6.7), instead of being given back: to give pages back interrupts every processor that runs a thread of ours.
const KEPT_RESIDENT: usize = 512 << 10;

/// One per host.
pub(crate) struct Sandbox {
    engine: Engine,
    slots: Arc<Semaphore>,
    most_slots: u32,
    waiting: Arc<Semaphore>,
    ticker: Ticker,
    /// Threads for guests that compute for long; started when the first one does.
    long_lane: OnceLock<Option<Runtime>>,
}

impl Sandbox {
    /// Sets everything up for `max_instances` instances at the same time; more callers queue.
    pub fn new(max_instances: u32) -> Result<Arc<Self>, Problem> {
        let slots = max_instances.clamp(1, MOST_INSTANCES);
        if slots != max_instances {
            tracing::warn!(
                "{max_instances} instances are not possible, {slots} are: see sandbox.max_instances"
            );
        }
        let engine = Engine::new(&config(slots)).map_err(|error| Problem::Sandbox(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine)?;
        Ok(Arc::new(Self {
            engine,
            slots: Arc::new(Semaphore::new(slots as usize)),
            most_slots: slots,
            waiting: Arc::new(Semaphore::new((slots as usize / 2).max(1))),
            ticker,
            long_lane: OnceLock::new(),
        }))
    }

    /// wasmtime's side of it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What compiled code depends on besides the component; part of the name of cached files.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    /// How many slots of the pool an instance of this component takes.
    pub fn slots_for(&self, component: &Component) -> u32 {
        let Some(needs) = component.resources_required() else { return 1 };
        needs.num_memories.max(needs.num_tables.div_ceil(TABLES_PER_SLOT)).clamp(1, self.most_slots)
    }

    /// Permits for calls that wait for other calls: half of all instances, so that those can run.
    pub fn waiting(&self) -> &Arc<Semaphore> {
        &self.waiting
    }

    /// Waits for room in the pool, in the order of asking.
    pub async fn room(&self, slots: u32) -> Result<Room, Problem> {
        let permit = Arc::clone(&self.slots).acquire_many_owned(slots).await;
        permit.map(|permit| Room { _permit: permit }).map_err(|_| Problem::Sandbox("it is closed".into()))
    }

    /// Keeps the ticker ticking while it is held.
    pub fn running(self: &Arc<Self>) -> Running {
        self.ticker.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.ticker.shared.asleep.load(Ordering::SeqCst) {
            self.ticker.thread.unpark();
        }
        Running(Arc::clone(self))
    }

    /// Threads apart from the caller's, for guests that compute for long; none where they cannot be started.
    pub fn long_lane(&self) -> Option<&Handle> {
        let start = || {
            let threads = thread::available_parallelism().map_or(1, usize::from);
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads).thread_name("apflow-guests").enable_all();
            builder.build().inspect_err(|error| tracing::warn!(%error, "no threads for long guests")).ok()
        };
        self.long_lane.get_or_init(start).as_ref().map(Runtime::handle)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("free_slots", &self.slots.available_permits()).finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A runtime must not be waited for in async code, and its guests have lost their callers already.
        if let Some(runtime) = self.long_lane.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// Room in the pool for one instance, given back on drop.
#[derive(Debug)]
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// A call that is running.
#[derive(Debug)]
pub(crate) struct Running(Arc<Sandbox>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ticker.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn config(slots: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // Core instances and stacks are only counted; memories and tables take address space.
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(64))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(slots.saturating_mul(2))
        .max_memory_size(1 << 32)
        .table_elements(100_000)
        .max_tables_per_module(16)
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(16 << 20);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(KEPT_RESIDENT)
            .table_keep_resident(KEPT_RESIDENT);
    }
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .memory_init_cow(true)
        // CPython and QuickJS recurse deeply; the rest of the stack is for host functions.
        .max_wasm_stack(1 << 20)
        .async_stack_size(2 << 20)
        // Growth of shared memories does not ask the limiter.
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .native_unwind_info(false);
    config
}

/// The thread that moves wasmtime's epoch on, so that guests notice that time passes. It sleeps while no guest runs.
struct Ticker {
    shared: Arc<TickerState>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct TickerState {
    running: AtomicU32,
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    fn start(engine: &Engine) -> Result<Self, Problem> {
        let shared = Arc::new(TickerState::default());
        let (state, engine) = (Arc::clone(&shared), engine.clone());
        let tick = move || {
            while !state.stop.load(Ordering::SeqCst) {
                state.asleep.store(true, Ordering::SeqCst);
                // Whoever starts to run after this check sees `asleep` and unparks.
                if state.running.load(Ordering::SeqCst) == 0 && !state.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                state.asleep.store(false, Ordering::SeqCst);
                thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        };
        let handle = thread::Builder::new()
            .name("apflow-ticker".into())
            .spawn(tick)
            .map_err(|error| Problem::Sandbox(format!("no thread: {error}")))?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // It has nothing to panic with.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_ticker_sleeps_while_nothing_runs_and_stops_on_drop() {
        let sandbox = Sandbox::new(2).unwrap();
        let state = Arc::downgrade(&sandbox.ticker.shared);
        let running = sandbox.running();
        assert_eq!(state.upgrade().unwrap().running.load(Ordering::SeqCst), 1);
        drop(running);
        assert_eq!(state.upgrade().unwrap().running.load(Ordering::SeqCst), 0);
        drop(sandbox);
        assert!(state.upgrade().is_none(), "the thread has ended and let go of its state");
    }

    #[tokio::test]
    async fn callers_queue_for_room() {
        let sandbox = Sandbox::new(2).unwrap();
        let all = sandbox.room(2).await.unwrap();
        assert!(sandbox.room(1).now_or_never().is_none());
        drop(all);
        assert!(sandbox.room(1).now_or_never().is_some());
    }
}
