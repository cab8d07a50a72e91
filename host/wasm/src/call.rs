//! One call of a plugin, whatever it is: admitted, measured, limited, interrupted, accounted for. Adapters translate
//! between core types and [`Request`] and [`Reply`].

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::id::TreeId;
use apflow_core::plugin::{Receipt, RunContext};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex as Index, ComponentNamedList, Instance, Lift, Lower, TypedFunc,
};

use crate::bindings::v0_1::{collector, executor, hooks, types};
use crate::capability::NetUse;
use crate::error::Problem;
use crate::failure;
use crate::lane;
use crate::limits::Limits;
use crate::plugin::{Code, CollectorExports, ExecutorExports, Exports, HooksExports, Plugin};
use crate::pool::Pool;
use crate::sandbox::{Room, Sandbox};
use crate::state::{Call, GuestState, Identity};
use crate::usage::Usage;

/// What a plugin is asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// Whether the exported functions have the types of the contract; calls nothing.
    Check,
    /// `executor.describe`.
    Describe,
    /// `executor.execute`.
    Execute(types::Invocation),
    /// `hooks.subscriptions`.
    Subscriptions,
    /// `hooks.on-event`.
    OnEvent(hooks::HookEvent),
    /// `collector.collect`.
    Collect(Vec<collector::Measurement>),
    /// `collector.render`.
    Render,
}

/// What it answers.
#[derive(Debug)]
pub(crate) enum Reply {
    /// To [`Request::Describe`].
    Executors(Vec<executor::ExecutorInfo>),
    /// To [`Request::Execute`] and [`Request::Render`].
    Text(String),
    /// To [`Request::Subscriptions`].
    Subscriptions(Vec<hooks::Subscription>),
    /// To [`Request::OnEvent`].
    Decision(hooks::Decision),
    /// To [`Request::Check`] and [`Request::Collect`].
    Done,
}

/// The circumstances of a call.
#[derive(Default)]
pub(crate) struct Circumstances {
    /// The task, for the log.
    pub task: String,
    /// Its tree.
    pub tree: Option<TreeId>,
    /// Its attempt.
    pub attempt: u32,
    /// The task's own timeout.
    pub timeout: Option<Duration>,
    /// The run that it is for.
    pub run: Option<Arc<dyn RunContext>>,
    /// Bytes of documents that go in.
    pub bytes_in: u64,
}

/// How a call ended, and what it used.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The reply; a guest's own failure; or that of the host.
    pub result: Result<Reply, Failed>,
    /// What it used, without the size of the result.
    pub receipt: Receipt,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The guest says so.
    Guest(types::Failure),
    /// It broke a limit, crashed, or the host could not call it.
    Host(TaskError),
}

impl Failed {
    /// The host's word on the plugin; what the guest says of itself is no failure of the plugin.
    pub fn by_host(&self) -> Option<&TaskError> {
        match self {
            Self::Host(error) => Some(error),
            Self::Guest(_) => None,
        }
    }
}

/// An instance that is not in a call.
pub(crate) struct Live {
    store: Store<GuestState>,
    instance: Instance,
    /// Calls that it has served.
    pub calls: u32,
    // Dropped after the store, whose memory is in that room.
    _room: Room,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Calls it. Dropping the future interrupts the guest and frees everything.
    pub async fn call(self: &Arc<Self>, request: Request, circumstances: Circumstances) -> Ending {
        let began = Instant::now();
        let usage = Arc::new(Usage::default());
        let identity = Arc::clone(&self.identity);
        let bytes_in = circumstances.bytes_in;
        let result = self.admitted(request, circumstances, &usage).await;
        Ending { result, receipt: receipt(&identity, &usage, began.elapsed(), bytes_in) }
    }

    async fn admitted(
        self: &Arc<Self>,
        request: Request,
        circumstances: Circumstances,
        usage: &Arc<Usage>,
    ) -> Result<Reply, Failed> {
        let identity = &self.identity;
        let most = identity.limits.input_bytes;
        if circumstances.bytes_in > most {
            let what = "was given inputs that are too large";
            return Err(Failed::Host(failure::limit(identity, "input_limit", what, "input_bytes", most)));
        }
        let admitted = Admitted(Admission::new(Arc::clone(&self.gate).acquire_owned().await.ok()));
        let _turn = self.pool(&request).turn().await;
        let _running = self.sandbox.running();
        let deadline = identity.limits.deadline();
        let own = circumstances.timeout.filter(|own| *own < deadline);
        let limit = own.unwrap_or(deadline);
        let admission = admitted.0.clone();
        let work = perform(Arc::clone(self), request, circumstances, Arc::clone(usage), limit, admission);
        let work = lane::run(&self.sandbox, Box::pin(work), usage);
        let ended = match own {
            Some(own) => tokio::time::timeout(own, work).await.ok(),
            // The plugin's own limit is about its own time.
            None => within(limit, usage, work).await,
        };
        log_end(identity, usage);
        match ended {
            Some(Ok(Ok(reply))) => Ok(reply),
            Some(Ok(Err(guest))) => Err(match failure::refused_memory(identity, usage) {
                // An interpreter that is out of memory says so in its own words, if it can say anything.
                Some(error) => Failed::Host(error),
                None => Failed::Guest(guest),
            }),
            Some(Err(error)) => Err(Failed::Host(failure::explain(&error, identity, usage, own))),
            None => Err(Failed::Host(failure::too_slow(identity, own))),
        }
    }

    fn pool(&self, request: &Request) -> &Pool {
        match request {
            Request::Check | Request::Describe | Request::Execute(_) => &self.pools.executor,
            Request::Subscriptions | Request::OnEvent(_) => &self.pools.hooks,
            Request::Collect(_) | Request::Render => &self.pools.collector,
        }
    }
}

/// A call's place among those of its plugin. Whoever has a clone may give it up for all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Admission {
    fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Mutex::new(permit)))
    }

    /// Another call may come in.
    pub fn give_up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Gives the place up when the call ends, also where an instance that is kept still knows it.
struct Admitted(Admission);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Waits for `work` as long as `limit` and what the call pauses; none if that is over.
async fn within<T>(limit: Duration, usage: &Usage, work: impl Future<Output = T>) -> Option<T> {
    let began = tokio::time::Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        let end = began + limit + usage.paused();
        match tokio::time::timeout_at(end, &mut work).await {
            Ok(done) => return Some(done),
            // A pause that goes on moves the end on with it.
            Err(_) if began + limit + usage.paused() > end => {}
            Err(_) => return None,
        }
    }
}

/// Takes an idle instance or makes one, calls it, and keeps it where that is allowed and it has behaved.
async fn perform(
    plugin: Arc<Plugin>,
    request: Request,
    circumstances: Circumstances,
    usage: Arc<Usage>,
    limit: Duration,
    admission: Admission,
) -> wasmtime::Result<Result<Reply, types::Failure>> {
    let Circumstances { task, tree, attempt, run, .. } = circumstances;
    let deadline = Instant::now() + limit;
    let call = Call { usage, deadline, run, task, attempt, processes: 0, net: NetUse::default(), admission };
    let pool = plugin.pool(&request);
    // One that sees folders or variables that are granted no longer is not used again.
    let idle = pool.take(tree.as_ref()).filter(|idle| idle.store.data().is_current());
    let mut live = match idle {
        Some(mut idle) => {
            idle.store.data_mut().begin(call);
            idle.store.set_epoch_deadline(1);
            idle
        }
        None => instantiate(&plugin.sandbox, &plugin.code, Arc::clone(&plugin.identity), call).await?,
    };
    live.calls = live.calls.saturating_add(1);
    let reply = live.ask(&plugin.code, request).await?;
    let call = &mut live.store.data_mut().call;
    call.run = None;
    if !call.usage.broke_a_limit() {
        pool.give_back(tree.as_ref(), live);
    }
    Ok(reply)
}

/// A fresh instance for a call.
pub(crate) async fn instantiate(
    sandbox: &Sandbox,
    code: &Code,
    identity: Arc<Identity>,
    call: Call,
) -> wasmtime::Result<Live> {
    let room = sandbox.room(code.slots).await?;
    let Limits { output_bytes, http_request_bytes, open_resources, .. } = identity.limits;
    let mut store = Store::new(sandbox.engine(), GuestState::new(identity, call));
    store.limiter(|state| state);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| store.data().tick());
    // The largest thing that a guest may hand over at once, and the rest of its record.
    let largest = output_bytes.max(http_request_bytes).saturating_add(64 * 1024);
    store.set_hostcall_fuel(usize::try_from(largest).unwrap_or(usize::MAX));
    store.set_max_component_handles(open_resources as usize);
    let instance = code.pre.instantiate_async(&mut store).await?;
    Ok(Live { store, instance, calls: 0, _room: room })
}

type Answer<T> = (Result<T, types::Failure>,);
type Invoked<'a> = (&'a types::Invocation,);
type Told<'a> = (&'a hooks::HookEvent,);
type Batch<'a> = (&'a [collector::Measurement],);

impl Live {
    async fn ask(
        &mut self,
        code: &Code,
        request: Request,
    ) -> wasmtime::Result<Result<Reply, types::Failure>> {
        let Exports { executor, hooks, collector } = &code.exports;
        let executor = |at: fn(&ExecutorExports) -> Index| executor.as_ref().map(at);
        let hooks = |at: fn(&HooksExports) -> Index| hooks.as_ref().map(at);
        let collector = |at: fn(&CollectorExports) -> Index| collector.as_ref().map(at);
        Ok(match request {
            Request::Check => self.check(&code.exports).map(|()| Ok(Reply::Done))?,
            Request::Describe => {
                let function = self.typed::<(), Answer<Vec<_>>>(executor(|one| one.describe))?;
                function.call_async(&mut self.store, ()).await?.0.map(Reply::Executors)
            }
            Request::Execute(call) => {
                let function = self.typed::<Invoked<'_>, Answer<String>>(executor(|one| one.execute))?;
                function.call_async(&mut self.store, (&call,)).await?.0.map(Reply::Text)
            }
            Request::Subscriptions => {
                let function = self.typed::<(), Answer<Vec<_>>>(hooks(|one| one.subscriptions))?;
                function.call_async(&mut self.store, ()).await?.0.map(Reply::Subscriptions)
            }
            Request::OnEvent(event) => {
                let function = self.typed::<Told<'_>, Answer<_>>(hooks(|one| one.on_event))?;
                function.call_async(&mut self.store, (&event,)).await?.0.map(Reply::Decision)
            }
            Request::Collect(batch) => {
                let function = self.typed::<Batch<'_>, Answer<()>>(collector(|one| one.collect))?;
                function.call_async(&mut self.store, (&batch,)).await?.0.map(|()| Reply::Done)
            }
            Request::Render => {
                let function = self.typed::<(), Answer<String>>(collector(|one| one.render))?;
                function.call_async(&mut self.store, ()).await?.0.map(Reply::Text)
            }
        })
    }

    fn check(&mut self, exports: &Exports) -> wasmtime::Result<()> {
        if let Some(one) = exports.executor {
            self.typed::<(), Answer<Vec<executor::ExecutorInfo>>>(Some(one.describe))?;
            self.typed::<Invoked<'_>, Answer<String>>(Some(one.execute))?;
        }
        if let Some(one) = exports.hooks {
            self.typed::<(), Answer<Vec<hooks::Subscription>>>(Some(one.subscriptions))?;
            self.typed::<Told<'_>, Answer<hooks::Decision>>(Some(one.on_event))?;
        }
        if let Some(one) = exports.collector {
            self.typed::<Batch<'_>, Answer<()>>(Some(one.collect))?;
            self.typed::<(), Answer<String>>(Some(one.render))?;
        }
        Ok(())
    }

    /// A function of the instance, its type checked.
    fn typed<Params, Results>(&mut self, at: Option<Index>) -> wasmtime::Result<TypedFunc<Params, Results>>
    where
        Params: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let at = at.ok_or_else(|| Problem::WrongWorld("nothing that was asked for".into()))?;
        self.instance.get_typed_func(&mut self.store, at)
    }
}

fn receipt(identity: &Identity, usage: &Usage, wall: Duration, bytes_in: u64) -> Receipt {
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Receipt {
        plugin: identity.name.clone(),
        version: identity.version.clone(),
        digest: identity.digest.clone(),
        wall_us: micros(wall),
        cpu_us: micros(usage.busy()),
        peak_memory_bytes: usage.peak_memory(),
        host_calls: usage.host_calls(),
        bytes_in,
        bytes_out: 0,
        hosts: usage.hosts(),
    }
}

fn log_end(identity: &Identity, usage: &Usage) {
    let (lines, most) = (usage.log_lines(), u64::from(identity.limits.log_lines));
    if lines > most {
        let (plugin, dropped) = (&identity.name, lines - most);
        tracing::warn!(
            %plugin,
            dropped,
            "{dropped} of {lines} log lines were dropped: the limit plugins.{plugin}.limits.log_lines is {most}"
        );
    }
}

/// A plugin's own failure where the engine knows only errors.
impl From<Failed> for TaskError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Host(error) => error,
            Failed::Guest(failure) => crate::bindings::convert::failure(failure).error,
        }
    }
}

/// What came back is not what was asked for; a defect of this crate.
pub(crate) fn unexpected() -> TaskError {
    TaskError::new(FailureKind::Plugin, "internal", "The reply does not belong to the request")
}

/// Measures how long a future computes, and does nothing else.
pub(crate) struct Measured<F> {
    inner: Pin<Box<F>>,
    usage: Arc<Usage>,
}

impl<F> Measured<F> {
    /// Adds the time inside polls of `inner` to `usage`.
    pub fn new(inner: Pin<Box<F>>, usage: Arc<Usage>) -> Self {
        Self { inner, usage }
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = Instant::now();
        let poll = self.inner.as_mut().poll(context);
        self.usage.add_busy(began.elapsed());
        poll
    }
}
