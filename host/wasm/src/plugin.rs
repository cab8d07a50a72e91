//! One loaded version of a plugin: its compiled code ready to be instantiated, what it exports, and how its calls are
//! admitted. Immutable; a changed file or policy makes a new one, and running calls keep the one they began with.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use apflow_core::plugin::{ExecutorInfo, PluginInfo, Subscription};
use tokio::sync::Semaphore;
use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::grants::HookPolicy;
use crate::history::Key;
use crate::pool::{Pool, Sharing};
use crate::record::Record;
use crate::sandbox::Sandbox;
use crate::source::Package;
use crate::state::{GuestState, Identity};

/// A plugin that can be called.
pub(crate) struct Plugin {
    /// Who it is and what it may do.
    pub identity: Arc<Identity>,
    /// Where it runs.
    pub sandbox: Arc<Sandbox>,
    /// Compiled, linked and checked.
    pub code: Code,
    /// Idle instances for each kind, where they are shared.
    pub pools: Pools,
    /// Admits `limits.concurrent_calls` calls.
    pub gate: Arc<Semaphore>,
    /// How its calls ended.
    pub record: Record,
}

/// Code that can be instantiated.
#[derive(Clone)]
pub(crate) struct Code {
    /// With all imports resolved.
    pub pre: InstancePre<GuestState>,
    /// What it exports.
    pub exports: Exports,
    /// Slots of the sandbox's pool that an instance takes.
    pub slots: u32,
}

/// The functions of the interfaces that a component exports.
#[derive(Clone, Copy, Default)]
pub(crate) struct Exports {
    /// `executor`.
    pub executor: Option<ExecutorExports>,
    /// `hooks`.
    pub hooks: Option<HooksExports>,
    /// `collector`.
    pub collector: Option<CollectorExports>,
}

/// Where the functions of `executor` are.
#[derive(Clone, Copy)]
pub(crate) struct ExecutorExports {
    /// `describe`.
    pub describe: ComponentExportIndex,
    /// `execute`.
    pub execute: ComponentExportIndex,
}

/// Where the functions of `hooks` are.
#[derive(Clone, Copy)]
pub(crate) struct HooksExports {
    /// `subscriptions`.
    pub subscriptions: ComponentExportIndex,
    /// `on-event`.
    pub on_event: ComponentExportIndex,
}

/// Where the functions of `collector` are.
#[derive(Clone, Copy)]
pub(crate) struct CollectorExports {
    /// `collect`.
    pub collect: ComponentExportIndex,
    /// `render`.
    pub render: ComponentExportIndex,
}

impl Exports {
    /// The names of what is there, as in `plugin.toml`.
    pub fn kinds(&self) -> Vec<String> {
        let all = [
            ("executor", self.executor.is_some()),
            ("hooks", self.hooks.is_some()),
            ("collector", self.collector.is_some()),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()).collect()
    }
}

/// Idle instances of one plugin.
#[derive(Debug)]
pub(crate) struct Pools {
    /// For `execute`.
    pub executor: Pool,
    /// For `on-event`.
    pub hooks: Pool,
    /// For `collect` and `render`: one instance, because its memory is the measurements.
    pub collector: Pool,
}

impl Pools {
    /// Pools that share as the operator says; `None` stands for the usual way of each kind, up to `reuse` calls.
    pub fn new(chosen: Option<Sharing>, reuse: Option<NonZeroU32>) -> Self {
        Self {
            executor: Pool::new(chosen.unwrap_or(Sharing::None)),
            hooks: Pool::new(chosen.unwrap_or(Sharing::All { reuse })),
            collector: Pool::new(Sharing::One),
        }
    }
}

impl Pools {
    /// Lets go of idle instances: nobody calls the plugin for now.
    pub fn clear(&self) {
        [&self.executor, &self.hooks, &self.collector].into_iter().for_each(Pool::clear);
    }
}

impl Plugin {
    /// The same code for somebody else, with no instances of the old one. Without `sharing` instances are shared as kinds
    /// usually do.
    pub fn afresh(&self, identity: Identity, sharing: Option<Sharing>) -> Arc<Self> {
        let gate = Arc::new(Semaphore::new(identity.limits.concurrent_calls.max(1) as usize));
        Arc::new(Self {
            identity: Arc::new(identity),
            sandbox: Arc::clone(&self.sandbox),
            code: self.code.clone(),
            pools: Pools::new(sharing, None),
            gate,
            record: Record::default(),
        })
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.identity.name, self.identity.version)
    }
}

/// A loaded plugin with what it said of itself.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Its executors.
    pub executors: Vec<ExecutorInfo>,
    /// What its hooks want to hear of; none if it has no hooks.
    pub subscriptions: Option<Vec<Subscription>>,
    /// Whether it has a collector.
    pub collects: bool,
    /// Its place among hooks.
    pub hooks: HookPolicy,
    /// For listings.
    pub info: PluginInfo,
    /// Digest of `plugin.toml`, to notice changes.
    pub manifest_digest: String,
    /// What it was made of, until that is kept.
    pub package: Option<Package>,
}

impl Loaded {
    /// Which version it is.
    pub fn key(&self) -> Key {
        Key { digest: self.info.digest.clone(), manifest: self.manifest_digest.clone() }
    }

    /// For listings, with what the operator allows at present.
    pub fn listed(&self, problem: Option<String>) -> PluginInfo {
        let granted = serde_json::to_value(self.plugin.identity.grants.get().allowed()).unwrap_or_default();
        PluginInfo { problem, granted, ..self.info.clone() }
    }
}
