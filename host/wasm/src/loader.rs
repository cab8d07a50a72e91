//! From bytes to a plugin that can be called: check what it is, compile it or take its code from the cache, resolve its
//! imports, let it describe itself with nothing granted, and check what it says. Every step has its own error, and
//! nothing is published here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use apflow_core::clock::Clock;
use apflow_core::plugin::{ExecutorInfo, PluginInfo, Subscription};
use serde_json::Value;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};

use crate::bindings::v0_1::VERSION;
use crate::cache::Cache;
use crate::call::{Circumstances, Reply, Request};
use crate::describe;
use crate::error::{Problem, WasmError};
use crate::grants::{Grants, GrantsFile, Isolation, LiveGrants, PluginPolicy};
use crate::http::HttpClient;
use crate::limits::Limits;
use crate::linker;
use crate::manifest::Manifest;
use crate::plugin::{Code, CollectorExports, ExecutorExports, Exports, HooksExports, Loaded, Plugin, Pools};
use crate::pool::Sharing;
use crate::record::Record;
use crate::sandbox::Sandbox;
use crate::settings::Settings;
use crate::source::Package;
use crate::state::{GuestState, Identity, Services};

/// Loads plugins into one sandbox.
pub(crate) struct Loader {
    /// Where they run.
    pub sandbox: Arc<Sandbox>,
    /// What they may import.
    pub linker: Linker<GuestState>,
    /// Where compiled code is kept.
    pub cache: Option<Cache>,
    /// Limits of all plugins.
    pub limits: Limits,
    /// The operator's word on single plugins.
    pub policies: BTreeMap<String, PluginPolicy>,
    /// What was granted and revoked since.
    pub grants: GrantsFile,
    /// The way out.
    pub http: Arc<HttpClient>,
    /// What the host does for plugins beside.
    pub services: Services,
    /// When something went live.
    pub clock: Arc<dyn Clock>,
}

impl Loader {
    /// Loads a package as the plugin `name`.
    pub async fn load(self: &Arc<Self>, name: &str, package: Package) -> Result<Loaded, WasmError> {
        let path = package.path.clone();
        let loader = Arc::clone(self);
        let loaded = match prepare(name, &package) {
            Ok(manifest) => {
                let compile = tokio::task::spawn_blocking(move || loader.compile(package));
                match compile.await {
                    Ok(Ok(compiled)) => self.finish(name, manifest, compiled).await,
                    Ok(Err(problem)) => Err(problem),
                    Err(lost) => Err(Problem::Sandbox(lost.to_string())),
                }
            }
            Err(problem) => Err(problem),
        };
        loaded.map_err(|problem| problem.at(&path))
    }

    /// Compiles, or takes from the cache, and links. Blocks.
    fn compile(&self, package: Package) -> Result<Compiled, Problem> {
        let component = self.component(&package)?;
        let engine = self.sandbox.engine();
        let imports = linker::imports(&component, engine);
        let exports = exports(&component).ok_or_else(|| {
            let all = component.component_type();
            let names: Vec<_> = all.exports(engine).map(|(name, _)| format!("`{name}`")).collect();
            Problem::WrongWorld(if names.is_empty() { "nothing".into() } else { names.join(", ") })
        })?;
        let pre = linker::link(&self.linker, &component, &imports)?;
        let slots = self.sandbox.slots_for(&component);
        Ok(Compiled { package, imports, code: Code { pre, exports, slots } })
    }

    fn component(&self, package: &Package) -> Result<Component, Problem> {
        let engine = self.sandbox.engine();
        let cached = self.cache.as_ref().and_then(|cache| cache.load(engine, &package.digest));
        if let Some(component) = cached {
            return Ok(component);
        }
        let component = Component::new(engine, &package.component)
            .map_err(|error| Problem::Malformed(error.root_cause().to_string()))?;
        if let Some(cache) = &self.cache {
            match component.serialize() {
                Ok(code) => cache.store(&package.digest, &code),
                Err(error) => tracing::warn!(%error, "compiled code cannot be kept"),
            }
        }
        Ok(component)
    }

    /// Lets it describe itself and puts everything together.
    async fn finish(
        &self,
        name: &str,
        manifest: Option<Manifest>,
        compiled: Compiled,
    ) -> Result<Loaded, Problem> {
        let Compiled { package, imports, code } = compiled;
        let kinds = code.exports.kinds();
        let said = manifest.as_ref().map(|manifest| check_kinds(manifest, &kinds)).transpose()?;
        let mut policy = PluginPolicy::of(name, &self.policies);
        if let Some(own) = self.grants.of(name) {
            policy.grants = own;
        }
        let requested = manifest.as_ref().map(|manifest| manifest.requests.clone()).unwrap_or_default();
        let grants = Grants::new(name, requested, policy.grants.clone());
        let known = manifest.as_ref().map(|manifest| manifest.settings.clone()).unwrap_or_default();
        let settings = Settings::join(&grants, &known, &policy.settings).map_err(Problem::UnknownSetting)?;
        let identity = Identity {
            name: name.to_owned(),
            version: said.unwrap_or_else(|| "0.0.0".into()),
            digest: package.digest.chars().take(16).collect(),
            limits: self.limits.with(&policy.limits),
            grants: LiveGrants::new(grants),
            settings,
            http: Arc::clone(&self.http),
            time: None,
            services: self.services.clone(),
            waiting: Arc::clone(self.sandbox.waiting()),
        };
        let described = self.describe(&identity, &code).await?;
        let info = self.info(&identity, &package, kinds, imports, &described);
        let gate = Arc::new(Semaphore::new(identity.limits.concurrent_calls.max(1) as usize));
        let pools = Pools::new(sharing(&policy), policy.reuse);
        let sandbox = Arc::clone(&self.sandbox);
        let record = Record::default();
        let plugin = Arc::new(Plugin { identity: Arc::new(identity), sandbox, code, pools, gate, record });
        let Described { executors, subscriptions, collects } = described;
        let manifest_digest = manifest_digest(&package);
        let (hooks, package) = (policy.hooks, Some(package));
        Ok(Loaded { plugin, executors, subscriptions, collects, hooks, info, manifest_digest, package })
    }

    /// Asks everything that is asked once, with tight limits and nothing granted.
    async fn describe(&self, identity: &Identity, code: &Code) -> Result<Described, Problem> {
        let bare = Identity {
            name: identity.name.clone(),
            version: identity.version.clone(),
            digest: identity.digest.clone(),
            limits: identity.limits.for_describe(),
            grants: LiveGrants::new(Grants::nothing(identity.name.clone())),
            settings: Settings::default(),
            http: Arc::clone(&identity.http),
            time: None,
            services: identity.services.clone(),
            waiting: Arc::clone(&identity.waiting),
        };
        let plugin = Arc::new(Plugin {
            identity: Arc::new(bare),
            sandbox: Arc::clone(&self.sandbox),
            code: code.clone(),
            pools: Pools::new(Some(Sharing::None), None),
            gate: Arc::new(Semaphore::new(1)),
            record: Record::default(),
        });
        if let Err(error) = ask(&plugin, Request::Check, "the component").await {
            let Problem::Describe { problem, .. } = error else { return Err(error) };
            return Err(Problem::WrongTypes(problem));
        }
        let provided_by = format!("{}@{}", identity.name, identity.version);
        let mut described = Described::default();
        if code.exports.executor.is_some()
            && let Reply::Executors(all) = ask(&plugin, Request::Describe, "executor.describe").await?
        {
            described.executors = describe::executors(all, &provided_by)?;
        }
        if code.exports.hooks.is_some()
            && let Reply::Subscriptions(all) =
                ask(&plugin, Request::Subscriptions, "hooks.subscriptions").await?
        {
            described.subscriptions = Some(describe::subscriptions(all)?);
        }
        if code.exports.collector.is_some() {
            ask(&plugin, Request::Render, "collector.render").await?;
            described.collects = true;
        }
        Ok(described)
    }

    fn info(
        &self,
        identity: &Identity,
        package: &Package,
        kinds: Vec<String>,
        imports: Vec<String>,
        described: &Described,
    ) -> PluginInfo {
        let grants = identity.grants.get();
        let value = |side| serde_json::to_value(side).unwrap_or(Value::Null);
        let points = described.subscriptions.iter().flatten().map(|one| one.point.as_str().to_owned());
        PluginInfo {
            name: identity.name.clone(),
            version: identity.version.clone(),
            digest: package.digest.clone(),
            size_bytes: package.component.len() as u64,
            kinds,
            executors: described.executors.iter().map(|one| one.id.clone()).collect(),
            hook_points: points.collect(),
            imports,
            requested: value(grants.requested()),
            granted: value(grants.allowed()),
            unset: identity.settings.missing.clone(),
            path: package.path.display().to_string(),
            loaded_at: self.clock.now(),
            problem: None,
        }
    }
}

struct Compiled {
    package: Package,
    imports: Vec<String>,
    code: Code,
}

#[derive(Default)]
struct Described {
    executors: Vec<ExecutorInfo>,
    subscriptions: Option<Vec<Subscription>>,
    collects: bool,
}

/// What can be said before compiling: the manifest holds, and the bytes begin like a component.
fn prepare(name: &str, package: &Package) -> Result<Option<Manifest>, Problem> {
    let manifest = match &package.manifest {
        None => None,
        Some(text) => Some(Manifest::parse(text).map_err(|error| Problem::BadManifest(error.to_string()))?),
    };
    if let Some(manifest) = &manifest
        && manifest.plugin.name != name
    {
        return Err(Problem::NameMismatch { manifest: manifest.plugin.name.clone(), folder: name.into() });
    }
    check_header(&package.component)?;
    Ok(manifest)
}

fn check_header(bytes: &[u8]) -> Result<(), Problem> {
    match bytes {
        [] => Err(Problem::NotAComponent("the file is empty; build it again")),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Problem::NotAComponent(
            "it is a core module; build for wasm32-wasip2, or wrap it with `wasm-tools component new`",
        )),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', ..] => {
            Err(Problem::NotAComponent("its version is not one that this host knows; build it again"))
        }
        _ => {
            Err(Problem::NotAComponent("the file does not begin like one; give the .wasm file of the build"))
        }
    }
}

/// The version, if the kinds that the manifest names are those that are exported.
fn check_kinds(manifest: &Manifest, exports: &[String]) -> Result<String, Problem> {
    let said: Vec<_> = manifest.plugin.kind.iter().map(|kind| kind.as_str()).collect();
    if exports.iter().all(|one| said.contains(&one.as_str())) && said.len() == exports.len() {
        return Ok(manifest.plugin.version.clone());
    }
    Err(Problem::KindMismatch { manifest: said.join(" and "), exports: exports.join(" and ") })
}

/// Digest of a package's manifest; empty without one.
pub(crate) fn manifest_digest(package: &Package) -> String {
    use sha2::{Digest, Sha256};
    package
        .manifest
        .as_ref()
        .map(|text| crate::source::hex(&Sha256::digest(text.as_bytes())))
        .unwrap_or_default()
}

fn exports(component: &Component) -> Option<Exports> {
    let interface = |name: &str| component.get_export_index(None, format!("apflow:plugin/{name}@{VERSION}"));
    let function = |interface, name: &str| component.get_export_index(Some(&interface), name);
    let exports = Exports {
        executor: interface("executor").and_then(|at| {
            Some(ExecutorExports { describe: function(at, "describe")?, execute: function(at, "execute")? })
        }),
        hooks: interface("hooks").and_then(|at| {
            Some(HooksExports {
                subscriptions: function(at, "subscriptions")?,
                on_event: function(at, "on-event")?,
            })
        }),
        collector: interface("collector").and_then(|at| {
            Some(CollectorExports { collect: function(at, "collect")?, render: function(at, "render")? })
        }),
    };
    (!exports.kinds().is_empty()).then_some(exports)
}

async fn ask(plugin: &Arc<Plugin>, request: Request, function: &'static str) -> Result<Reply, Problem> {
    let ending = plugin.call(request, Circumstances::default()).await;
    ending.result.map_err(|failed| {
        let error = apflow_core::error::TaskError::from(failed);
        let output = error.data.get("output").and_then(Value::as_str).unwrap_or_default();
        let separator = if output.is_empty() { "" } else { "\n" };
        Problem::Describe { function, problem: format!("{error}{separator}{output}") }
    })
}

fn sharing(policy: &PluginPolicy) -> Option<Sharing> {
    let reuse = policy.reuse;
    policy.isolation.map(|isolation| match isolation {
        Isolation::Call => Sharing::None,
        Isolation::Tree => Sharing::Tree { reuse },
        Isolation::Shared => Sharing::All { reuse },
    })
}

/// What a path is called as a plugin, for files that are looked at and not loaded.
pub(crate) fn name_for(path: &Path) -> String {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("plugin").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        for (bytes, part) in [
            (&b""[..], "is empty"),
            (b"this is text", "does not begin like one"),
            (b"\0asm\x01\0\0\0rest", "core module"),
            (b"\0asm\x0d\0\x07\0", "version"),
        ] {
            let problem = check_header(bytes).unwrap_err();
            assert_eq!(problem.code(), "not_a_component");
            assert!(problem.to_string().contains(part), "{problem}");
        }
        assert_eq!(check_header(b"\0asm\x0d\0\x01\0"), Ok(()));
    }

    #[test]
    fn kinds_must_be_those_that_are_exported() {
        let text = "[plugin]\nname = \"a\"\nversion = \"1.2\"\nkind = [\"hooks\", \"executor\"]\n";
        let manifest = Manifest::parse(text).unwrap();
        let exported = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(check_kinds(&manifest, &exported(&["executor", "hooks"])), Ok("1.2".to_owned()));
        for wrong in [
            exported(&["executor"]),
            exported(&["executor", "hooks", "collector"]),
            exported(&["collector", "hooks"]),
        ] {
            assert_eq!(check_kinds(&manifest, &wrong).unwrap_err().code(), "kind_mismatch");
        }
    }
}
