//! All plugins of a host: loads what the folders hold, keeps what works, reports what does not, and publishes each
//! change as a whole new snapshot. Whoever has a snapshot keeps it; old versions go when the last call lets go of them.

mod allowing;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use apflow_core::clock::{Clock, SystemClock};
use apflow_core::error::{Error, TaskError};
use apflow_core::plugin::services::{NoServices, PluginState, SecretSource};
use apflow_core::plugin::{
    Catalog, Collector, Executor, GrantChange, Hook, PluginGrants, PluginInfo, PluginVersion, Plugins,
};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, watch};

use crate::adapter::{PluginCollector, PluginExecutor, PluginHook};
use crate::cache::Cache;
use crate::error::{Problem, WasmError};
use crate::grants::GrantsFile;
use crate::history::History;
use crate::http::{HttpClient, HttpClientOptions};
use crate::limits::Limits;
use crate::linker;
use crate::loader::{Loader, name_for};
use crate::net::NetClient;
use crate::plugin::Loaded;
use crate::record::Failing;
use crate::sandbox::Sandbox;
use crate::source::{BundledPlugin, Package, Source, scan, source_at};
use crate::state::Services;
use crate::watch::Watcher;
use versions::Chosen;

/// What a set of plugins is made of.
#[derive(Debug, Clone)]
pub struct WasmOptions {
    /// Folders with plugins; later ones win over earlier ones, and all over what is bundled.
    pub folders: Vec<PathBuf>,
    /// Plugins inside the program.
    pub bundled: Vec<BundledPlugin>,
    /// Where compiled code is kept; none means that everything is compiled at each start.
    pub cache: Option<PathBuf>,
    /// Limits of every call.
    pub limits: Limits,
    /// What the operator says about single plugins, by name.
    pub policies: BTreeMap<String, crate::grants::PluginPolicy>,
    /// Whether changed files are loaded by themselves.
    pub watch: bool,
    /// Instances at the same time, of all plugins together; more calls wait.
    pub max_instances: u32,
    /// Where the time of loading comes from.
    pub clock: Arc<dyn Clock>,
    /// What plugins keep over calls.
    pub state: Arc<dyn PluginState>,
    /// Where the values of secrets come from.
    pub secrets: Arc<dyn SecretSource>,
    /// Where grants that change are kept; without it they last as long as the host.
    pub grants_file: Option<PathBuf>,
    /// What becomes of versions that are replaced.
    pub versions: VersionOptions,
}

/// What becomes of versions that are replaced.
#[derive(Debug, Clone)]
pub struct VersionOptions {
    /// Where the versions that have served are kept; without it they cannot be published again after a restart.
    pub folder: Option<PathBuf>,
    /// How many of a plugin.
    pub keep: usize,
    /// The first calls of a version that has replaced another are its trial; 0: there is none.
    pub trial_calls: u32,
    /// The share of them, from 0 to 1, that it may fail before the other is published again.
    pub trial_threshold: f64,
}

impl Default for VersionOptions {
    fn default() -> Self {
        Self { folder: None, keep: 5, trial_calls: 20, trial_threshold: 0.5 }
    }
}

impl Default for WasmOptions {
    fn default() -> Self {
        Self {
            folders: Vec::new(),
            bundled: Vec::new(),
            cache: None,
            limits: Limits::default(),
            policies: BTreeMap::new(),
            watch: false,
            max_instances: 1000,
            clock: Arc::new(SystemClock),
            state: Arc::new(NoServices),
            secrets: Arc::new(NoServices),
            grants_file: None,
            versions: VersionOptions::default(),
        }
    }
}

/// Plugins that run in a sandbox; what the engine asks for executors, hooks and collectors.
pub struct WasmPlugins {
    folders: Vec<PathBuf>,
    bundled: Vec<BundledPlugin>,
    loader: Arc<Loader>,
    /// Held while something is loaded, so that loads do not overtake each other.
    entries: Mutex<BTreeMap<String, Entry>>,
    catalog: RwLock<Arc<Catalog>>,
    generation: watch::Sender<u64>,
    versions: VersionOptions,
    /// Where versions that fail their trial are reported.
    failing: UnboundedSender<Failing>,
    watcher: std::sync::Mutex<Option<Watcher>>,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Entry {
    path: PathBuf,
    live: Option<Arc<Loaded>>,
    problem: Option<WasmError>,
    history: History,
    /// What served before, to be published again if the present version fails its trial.
    previous: Option<Arc<Loaded>>,
}

/// What loading one name gave.
#[derive(Debug)]
enum Load {
    /// What is live is what should be.
    Same,
    /// A version to publish.
    New(Box<Loaded>),
}

/// What loading changed, by name.
#[derive(Debug, Default)]
struct Changes {
    loaded: Vec<String>,
    removed: Vec<String>,
    failed: Vec<WasmError>,
    /// What went live, to be kept.
    packages: Vec<(String, Package)>,
}

impl fmt::Debug for WasmPlugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmPlugins").field("folders", &self.folders).finish_non_exhaustive()
    }
}

impl WasmPlugins {
    /// Sets up a sandbox and loads everything into it. A plugin that cannot be loaded is reported (in the log and in the
    /// catalog's list) and left out.
    ///
    /// # Errors
    /// If the sandbox cannot be set up or a folder cannot be read.
    pub async fn open(options: WasmOptions) -> Result<Arc<Self>, WasmError> {
        let WasmOptions { folders, bundled, cache, limits, policies, watch, max_instances, clock, .. } =
            options;
        let grants = GrantsFile::open(options.grants_file).map_err(|error| Problem::Grants(error.message))?;
        let folders = folders.iter().map(|folder| absolute(folder)).collect::<Result<Vec<_>, _>>()?;
        let sandbox = Sandbox::new(max_instances)?;
        let linker = linker::linker(sandbox.engine())?;
        let cache = cache.and_then(|folder| open_cache(&folder, sandbox.fingerprint()));
        let way_out = HttpClientOptions { secrets: options.secrets, ..HttpClientOptions::default() };
        let no_tls = |error| Problem::Sandbox(format!("no TLS: {error}"));
        let net = Arc::new(NetClient::new(&way_out).map_err(no_tls)?);
        let http = Arc::new(HttpClient::new(way_out).map_err(no_tls)?);
        let services = Services { state: options.state, net };
        let loader = Loader { sandbox, linker, cache, limits, policies, grants, http, services, clock };
        let (failing, failed) = unbounded_channel();
        let plugins = Arc::new(Self {
            folders,
            bundled,
            loader: Arc::new(loader),
            entries: Mutex::default(),
            catalog: RwLock::default(),
            generation: watch::Sender::new(0),
            versions: options.versions,
            failing,
            watcher: std::sync::Mutex::default(),
        });
        if watch {
            // First watch, then look: nothing is missed in between.
            let watcher = Watcher::start(&plugins.folders, Arc::downgrade(&plugins))?;
            *plugins.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
        }
        plugins.refresh(None).await?;
        versions::listen(&plugins, failed);
        Ok(plugins)
    }

    /// Goes up with every published change of the catalog; for those who wait for one.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Loads the plugin at `path` (a component, or the folder of a plugin) as far as describing itself, and publishes
    /// nothing.
    ///
    /// # Errors
    /// Why it would not be loaded.
    pub async fn inspect_file(&self, path: &Path) -> Result<PluginInfo, WasmError> {
        Ok(self.load_file(path).await?.info)
    }

    /// The same, ready to be called.
    pub(crate) async fn load_file(&self, path: &Path) -> Result<Loaded, WasmError> {
        let path = absolute(path)?;
        let (name, source) = match source_at(&path) {
            Some(found) => found,
            None => (name_for(&path), Source::Files { component: path.clone(), manifest: None }),
        };
        // A component inside its plugin's folder is looked at with the manifest beside it.
        let beside = path.with_file_name("plugin.toml");
        let source = match source {
            Source::Files { component, manifest: None } if beside.is_file() => {
                Source::Files { component, manifest: Some(beside) }
            }
            other => other,
        };
        let package = read(source).await?;
        self.loader.load(&name, package).await
    }

    /// Looks at the folders and loads what is new or changed: the plugins called `only`, or all.
    pub(crate) async fn refresh(
        &self,
        only: Option<&BTreeSet<String>>,
    ) -> Result<Map<String, Value>, WasmError> {
        let mut entries = self.entries.lock().await;
        let first = *self.generation.borrow() == 0;
        // Commands without a server change the grants, too.
        self.reread_grants(&mut entries)?;
        let mut found = scan(&self.bundled, &self.folders)?;
        let concerned = |name: &String| only.is_none_or(|only| only.contains(name));
        found.retain(|name, _| concerned(name));
        let mut changes = Changes::default();
        let gone: Vec<String> =
            entries.keys().filter(|name| concerned(name) && !found.contains_key(*name)).cloned().collect();
        for name in gone {
            entries.remove(&name);
            changes.removed.push(name);
        }
        let before = problems(&entries);
        let loads = self.choose(&mut entries, found).await.into_iter().map(|(name, path, chosen)| async {
            let loaded = match chosen {
                Err(error) => Err(error),
                Ok(Chosen { package: None, instead }) => Ok((Load::Same, instead)),
                Ok(Chosen { package: Some(package), instead }) => {
                    let loaded = self.loader.load(&name, package).await;
                    loaded.map(|loaded| (Load::New(Box::new(loaded)), instead))
                }
            };
            (name, path, loaded)
        });
        for (name, path, loaded) in futures::future::join_all(loads).await {
            self.accept(&mut entries, name, path, loaded, &mut changes);
        }
        if !changes.loaded.is_empty() || !changes.removed.is_empty() || before != problems(&entries) {
            self.publish(&entries);
        }
        let kept = self.keep(&entries, &mut changes);
        // A start need not wait for copies of files that are there.
        if !first && let Err(error) = kept.await {
            tracing::warn!(%error, "versions of plugins were not kept");
        }
        Ok(changes.report())
    }

    fn publish(&self, entries: &BTreeMap<String, Entry>) {
        let catalog = Arc::new(catalog(entries));
        let old = {
            let mut current = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, catalog)
        };
        drop(old);
        self.generation.send_modify(|generation| *generation += 1);
    }
}

#[async_trait]
impl Plugins for WasmPlugins {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn reload(&self) -> Result<Map<String, Value>, TaskError> {
        Ok(self.refresh(None).await?)
    }

    async fn policy(&self, plugin: &str) -> Result<PluginGrants, Error> {
        self.policy_of(plugin).await
    }

    async fn change_grants(&self, plugin: &str, change: GrantChange) -> Result<PluginGrants, Error> {
        self.change_grants_of(plugin, change).await
    }

    async fn history(&self, plugin: &str) -> Result<Vec<PluginVersion>, Error> {
        self.versions_of(plugin).await
    }

    async fn roll_back(&self, plugin: &str, version: Option<&str>) -> Result<PluginInfo, Error> {
        self.roll_back_to(plugin, version).await
    }

    async fn unpin(&self, plugin: &str) -> Result<Map<String, Value>, Error> {
        self.unpin_files(plugin).await
    }
}

impl WasmPlugins {
    /// Takes one load's outcome into `entries`. A failure leaves what is live.
    fn accept(
        &self,
        entries: &mut BTreeMap<String, Entry>,
        name: String,
        path: PathBuf,
        loaded: Result<(Load, Option<WasmError>), WasmError>,
        changes: &mut Changes,
    ) {
        let loaded = loaded.and_then(|loaded| match &loaded.0 {
            Load::New(new) => check_owners(entries, &name, new).map(|()| loaded),
            Load::Same => Ok(loaded),
        });
        let Some(entry) = entries.get_mut(&name) else { return };
        entry.path = path;
        match loaded {
            Ok((Load::Same, instead)) => entry.problem = instead,
            Ok((Load::New(mut loaded), instead)) => {
                let (version, digest) = (&loaded.info.version, &loaded.plugin.identity.digest);
                tracing::info!(plugin = %name, %version, %digest, "plugin is live");
                warn_unmet(&loaded);
                if !loaded.info.unset.is_empty() {
                    let unset = loaded.info.unset.join(", ");
                    tracing::info!(plugin = %name, %unset, "the plugin is not used before plugins.{name}.settings has what it needs");
                }
                changes.packages.extend(loaded.package.take().map(|package| (name.clone(), package)));
                self.replace(&name, entry, &Arc::new(*loaded), instead.is_none());
                entry.problem = instead;
                changes.loaded.push(name);
            }
            Err(error) => {
                let serving = entry.live.as_ref().map(|live| live.info.version.as_str()).unwrap_or("none");
                tracing::error!(plugin = %name, code = error.code(), serving, "plugin was not loaded: {error}");
                changes.failed.push(error.clone());
                entry.problem = Some(error);
            }
        }
    }
}

/// Two plugins cannot have executors of the same id; who has it keeps it.
fn check_owners(entries: &BTreeMap<String, Entry>, name: &str, new: &Loaded) -> Result<(), WasmError> {
    let others = entries.iter().filter(|(other, _)| *other != name);
    for (owner, live) in others.filter_map(|(owner, entry)| Some((owner, entry.live.as_ref()?))) {
        if let Some(id) = new.info.executors.iter().find(|id| live.info.executors.contains(id)) {
            let problem = Problem::DuplicateExecutor { id: id.clone(), owner: owner.clone() };
            return Err(problem.at(Path::new(&new.info.path)));
        }
    }
    Ok(())
}

fn warn_unmet(loaded: &Loaded) {
    let grants = loaded.plugin.identity.grants.get();
    let unmet = grants.unmet();
    if !unmet.is_empty() {
        let unmet = serde_json::to_string(&unmet).unwrap_or_default();
        tracing::warn!(plugin = grants.plugin(), %unmet, "the plugin asks for more than the operator allows");
    }
}

fn problems(entries: &BTreeMap<String, Entry>) -> Vec<(String, Option<WasmError>)> {
    entries.iter().map(|(name, entry)| (name.clone(), entry.problem.clone())).collect()
}

fn catalog(entries: &BTreeMap<String, Entry>) -> Catalog {
    let mut catalog = Catalog::default();
    for (name, entry) in entries {
        let problem = entry.problem.as_ref().map(ToString::to_string);
        let Some(live) = &entry.live else {
            catalog.plugins.push(unloaded(name, &entry.path, problem));
            continue;
        };
        catalog.plugins.push(live.listed(problem));
        if !live.info.unset.is_empty() {
            continue;
        }
        let plugin = &live.plugin;
        for info in &live.executors {
            let executor = PluginExecutor::new(info.clone(), Arc::clone(plugin));
            catalog.executors.insert(info.id.clone(), Arc::new(executor) as Arc<dyn Executor>);
        }
        if let Some(subscriptions) = &live.subscriptions {
            let hook = PluginHook::new(Arc::clone(plugin), subscriptions.clone(), live.hooks);
            catalog.hooks.push(Arc::new(hook) as Arc<dyn Hook>);
        }
        if live.collects {
            catalog.collectors.push(Arc::new(PluginCollector(Arc::clone(plugin))) as Arc<dyn Collector>);
        }
    }
    catalog.hooks.sort_by(|a, b| a.order().cmp(&b.order()).then_with(|| a.name().cmp(b.name())));
    catalog
}

/// A plugin that never worked, for listings.
fn unloaded(name: &str, path: &Path, problem: Option<String>) -> PluginInfo {
    PluginInfo {
        name: name.to_owned(),
        version: String::new(),
        digest: String::new(),
        size_bytes: 0,
        kinds: Vec::new(),
        executors: Vec::new(),
        hook_points: Vec::new(),
        imports: Vec::new(),
        requested: json!({}),
        granted: json!({}),
        unset: Vec::new(),
        path: path.display().to_string(),
        loaded_at: apflow_core::clock::Timestamp::default(),
        problem,
    }
}

impl Changes {
    fn report(self) -> Map<String, Value> {
        let failed: Vec<Value> = self
            .failed
            .iter()
            .map(|error| {
                let path = error.path.as_ref().map(|path| path.display().to_string());
                json!({"path": path, "code": error.code(), "error": error.to_string()})
            })
            .collect();
        Map::from_iter([
            ("loaded".to_owned(), self.loaded.into()),
            ("removed".to_owned(), self.removed.into()),
            ("failed".to_owned(), failed.into()),
        ])
    }
}

async fn read(source: Source) -> Result<Package, WasmError> {
    let path = source.path();
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    read.unwrap_or_else(|lost| Err(Problem::Sandbox(lost.to_string()).at(&path)))
}

fn absolute(path: &Path) -> Result<PathBuf, WasmError> {
    path.canonicalize().map_err(|error| Problem::Unreadable(error.to_string()).at(path))
}

fn open_cache(folder: &Path, fingerprint: u64) -> Option<Cache> {
    Cache::open(folder, fingerprint)
        .inspect_err(|error| {
            tracing::warn!(folder = %folder.display(), %error, "compiled code is not kept: the cache folder is not usable");
        })
        .ok()
}
