//! What the host keeps for one instance of a plugin: who it is, what the present call may and does use, and what WASI
//! needs, made only when the guest first asks for it. The capabilities work on this.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use apflow_core::clock::Timestamp;
use apflow_core::plugin::RunContext;
use apflow_core::plugin::services::PluginState;
use tokio::sync::Semaphore;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

use crate::call::Admission;
use crate::capability::NetUse;
use crate::clocks::{Steps, Wall};
use crate::grants::{Grants, LiveGrants, Mode};
use crate::http::HttpClient;
use crate::limits::Limits;
use crate::net::NetClient;
use crate::settings::Settings;
use crate::stdio::{Captured, GuestOutput};
use crate::usage::Usage;

/// What is the same for all calls of one version of a plugin.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the component, the first 16 hex digits.
    pub digest: String,
    /// Limits of every call.
    pub limits: Limits,
    /// What it may do.
    pub grants: LiveGrants,
    /// What the operator has set for it.
    pub settings: Settings,
    /// The way out; one for all plugins.
    pub http: Arc<HttpClient>,
    /// The time that its clocks stand at; the real one if there is none.
    pub time: Option<Timestamp>,
    /// State, secrets and streams; one for all plugins.
    pub services: Services,
    /// Lets calls of all plugins wait for others, but not all of them.
    pub waiting: Arc<Semaphore>,
}

/// What the host does for plugins beside HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    /// Key-value state.
    pub state: Arc<dyn PluginState>,
    /// Connections of `net`.
    pub net: Arc<NetClient>,
}

/// The present call.
pub(crate) struct Call {
    /// What it uses.
    pub usage: Arc<Usage>,
    /// When it must have ended.
    pub deadline: Instant,
    /// The run that it is for; only executors have one.
    pub run: Option<Arc<dyn RunContext>>,
    /// The task, for the log; empty where there is none.
    pub task: String,
    /// The attempt, for the log.
    pub attempt: u32,
    /// Programs so far.
    pub processes: u32,
    /// What it uses of `net`.
    pub net: NetUse,
    /// Its place among the calls of its plugin.
    pub admission: Admission,
}

/// Why the host ends a call from inside; found again in the error that the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ended {
    /// The time is up.
    #[error("the deadline has passed")]
    Deadline,
    /// The guest has called the host too often.
    #[error("too many calls to the host")]
    HostCalls,
    /// It holds a folder or a variable that is granted no longer.
    #[error("a grant was revoked")]
    Revoked,
}

/// The data of an instance's store.
pub(crate) struct GuestState {
    /// Whose instance it is.
    pub identity: Arc<Identity>,
    /// What it is doing.
    pub call: Call,
    /// Host resources that the guest holds.
    pub table: ResourceTable,
    memory: Memory,
    wasi: Option<Box<Wasi>>,
    /// State of `wasi:http`.
    pub wasi_http: crate::capability::WasiHttpState,
}

struct Wasi {
    ctx: WasiCtx,
    output: Arc<Captured>,
    /// What its folders and variables were granted by.
    grants: Arc<Grants>,
}

impl GuestState {
    /// The state of a new instance for its first call.
    pub fn new(identity: Arc<Identity>, call: Call) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(identity.limits.open_resources as usize);
        let wasi_http = crate::capability::WasiHttpState::default();
        Self { identity, call, table, memory: Memory::default(), wasi: None, wasi_http }
    }

    /// The instance begins another call.
    pub fn begin(&mut self, call: Call) {
        call.usage.see_memory(self.memory.bytes);
        if let Some(wasi) = &self.wasi {
            wasi.output.clear();
            call.usage.capture(&wasi.output);
        }
        self.call = call;
    }

    /// Whether the instance sees the folders and variables that one would see that begins now.
    pub fn is_current(&self) -> bool {
        let present = self.identity.grants.get();
        self.wasi.as_ref().is_none_or(|wasi| wasi.grants.sets_up_like(&present))
    }

    /// Counts a call from guest to host.
    pub fn enter(&mut self) -> Result<(), Ended> {
        let calls = self.call.usage.add_host_call();
        if calls > self.identity.limits.host_calls { Err(Ended::HostCalls) } else { Ok(()) }
    }

    /// Whether the guest may go on; asked at every tick of the sandbox's clock.
    pub fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        if Instant::now() >= self.call.deadline {
            return Err(Ended::Deadline.into());
        }
        // Calls through WASI are counted where no error can be returned, so they are judged here.
        if self.call.usage.host_calls() > self.identity.limits.host_calls {
            return Err(Ended::HostCalls.into());
        }
        let present = self.identity.grants.get();
        let set_up =
            self.wasi.as_ref().map(|wasi| &wasi.grants).filter(|grants| !Arc::ptr_eq(grants, &present));
        if set_up.is_some_and(|grants| grants.exceeds(&present)) {
            return Err(Ended::Revoked.into());
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

impl Wasi {
    fn new(identity: &Identity, call: &Call) -> Box<Self> {
        let output = Arc::new(Captured::default());
        call.usage.capture(&output);
        let grants = identity.grants.get();
        Box::new(Self { ctx: wasi_ctx(identity, &grants, &output), output, grants })
    }
}

/// Clocks and random numbers for all; settings as set; variables and folders as granted; sockets for none (they are there, because
/// interpreters import them, and refuse every address).
fn wasi_ctx(identity: &Identity, grants: &Grants, output: &Arc<Captured>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    if let Some(time) = identity.time {
        builder.wall_clock(Wall(time)).monotonic_clock(Steps::default());
    }
    builder.stdout(GuestOutput(Arc::clone(output))).stderr(GuestOutput(Arc::clone(output)));
    builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    for (name, value) in grants.env(|name| std::env::var(name).ok()) {
        builder.env(name, value);
    }
    for (name, value) in &identity.settings.variables {
        builder.env(name, value);
    }
    for folder in grants.folders() {
        let perms = match folder.mode {
            Mode::ReadOnly => FsPerms::ReadOnly,
            Mode::ReadWrite => FsPerms::ReadWrite,
        };
        if let Err(error) = builder.preopened_dir(&folder.host, &folder.guest, perms) {
            let host = folder.host.display();
            tracing::warn!(plugin = grants.plugin(), %host, %error, "a granted folder cannot be opened and is left out");
        }
    }
    builder.build()
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.call.usage.add_host_call();
        let Self { identity, call, wasi, table, .. } = self;
        let wasi = wasi.get_or_insert_with(|| Wasi::new(identity, call));
        WasiCtxView { ctx: &mut wasi.ctx, table }
    }
}

// Types only; nothing to call.
impl crate::bindings::v0_1::types::Host for GuestState {}

/// Sums over all memories and tables of an instance.
#[derive(Debug, Default)]
struct Memory {
    bytes: u64,
    elements: u64,
}

impl ResourceLimiter for GuestState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if most.is_some_and(|most| desired > most) {
            return Ok(true); // It will fail by the memory's own limit, so it must not be counted.
        }
        let total = self.memory.bytes.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.identity.limits.memory_bytes {
            self.call.usage.memory_refused.store(true, Relaxed);
            return Ok(false);
        }
        self.memory.bytes = total;
        self.call.usage.see_memory(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if most.is_some_and(|most| desired > most) {
            return Ok(true);
        }
        let total = self.memory.elements.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.identity.limits.table_elements {
            self.call.usage.tables_refused.store(true, Relaxed);
            return Ok(false);
        }
        self.memory.elements = total;
        Ok(true)
    }
}
