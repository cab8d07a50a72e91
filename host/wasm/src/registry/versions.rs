//! Which version of a plugin serves: that of the files, unless it was rolled back or has failed its trial. Versions that have
//! served are kept and can be published again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use apflow_core::error::{Error, Result};
use apflow_core::plugin::{PluginInfo, PluginVersion};
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::allowing::live;
use super::{Changes, Entry, WasmPlugins, read};
use crate::error::{Problem, WasmError};
use crate::history::{History, Key, Pin, Served, keep};
use crate::plugin::Loaded;
use crate::record::{Failing, Trial};
use crate::source::{Package, Source, scan};

/// What is to be loaded for a name.
#[derive(Debug)]
pub(super) struct Chosen {
    /// None: what is live already.
    pub package: Option<Package>,
    /// Why it is not what the files are, if so.
    pub instead: Option<WasmError>,
}

/// Publishes the version before again, where one fails its trial, as long as the plugins are there.
pub(super) fn listen(plugins: &Arc<WasmPlugins>, mut failed: UnboundedReceiver<Failing>) {
    let plugins: Weak<WasmPlugins> = Arc::downgrade(plugins);
    tokio::spawn(async move {
        while let Some(failing) = failed.recv().await {
            let Some(plugins) = plugins.upgrade() else { return };
            plugins.end_trial(failing).await;
        }
    });
}

impl WasmPlugins {
    /// Reads what was found, and chooses what serves.
    pub(super) async fn choose(
        &self,
        entries: &mut BTreeMap<String, Entry>,
        found: BTreeMap<String, Source>,
    ) -> Vec<(String, PathBuf, Result<Chosen, WasmError>)> {
        let reads = found.into_iter().map(|(name, source)| async {
            let path = source.path();
            (name, path, read(source).await)
        });
        let mut all = Vec::new();
        for (name, path, package) in futures::future::join_all(reads).await {
            let entry = entries.entry(name.clone()).or_insert_with(|| self.entry(&name));
            all.push((name, path, package.map(|package| self.choose_one(entry, package))));
        }
        all
    }

    fn entry(&self, name: &str) -> Entry {
        let history = History::open(self.versions.folder.as_deref(), name, self.versions.keep);
        Entry { history, ..Entry::default() }
    }

    fn choose_one(&self, entry: &mut Entry, package: Package) -> Chosen {
        let key = Key::of(&package);
        // Other files than when it was rolled back: the pin has served its purpose.
        if entry.history.pin.as_ref().is_some_and(|pin| pin.instead_of.as_ref() != Some(&key)) {
            entry.history.pin = None;
            entry.history.store();
        }
        let pinned = entry.history.pin.as_ref().map(|pin| pin.key.clone());
        let refused = entry.history.refusal(&key).map(str::to_owned);
        let (wanted, problem) = match (pinned, refused) {
            (Some(pinned), _) => {
                let version = entry.history.versions.iter().find(|one| one.key == pinned);
                let version = version.map_or_else(|| "before".into(), |one| one.version.clone());
                (pinned, Problem::Pinned { version })
            }
            (None, Some(reason)) => {
                let Some(before) = entry.history.before(&key) else {
                    let problem = Problem::RolledBack { reason };
                    return self.files(entry, package, &key, Some(problem));
                };
                (before.key.clone(), Problem::RolledBack { reason })
            }
            (None, None) => return self.files(entry, package, &key, None),
        };
        let instead = Some(problem.at(&package.path));
        let serves = entry.live.as_ref().is_some_and(|live| live.key() == wanted);
        match self.kept(entry, &wanted).filter(|_| !serves) {
            Some(kept) => Chosen { package: Some(kept), instead },
            None if serves => Chosen { package: None, instead },
            None => {
                tracing::error!(digest = %wanted.digest, "a version that should serve is not kept any more; the files do");
                self.files(entry, package, &key, None)
            }
        }
    }

    /// What the files are.
    fn files(&self, entry: &Entry, package: Package, key: &Key, problem: Option<Problem>) -> Chosen {
        let serves = entry
            .live
            .as_ref()
            .is_some_and(|live| live.key() == *key && live.info.path == package.path.display().to_string());
        let instead = problem.map(|problem| problem.at(&package.path));
        // Refused, and nothing else to serve: at least it is said.
        Chosen { package: Some(package).filter(|_| !serves), instead }
    }

    /// The bytes of a version, from where they are kept or from inside the program.
    fn kept(&self, entry: &Entry, key: &Key) -> Option<Package> {
        entry.history.read(key).or_else(|| {
            let bundled = self.bundled.iter().filter_map(|one| Source::Bundled(*one).read().ok());
            bundled.into_iter().find(|package| Key::of(package) == *key)
        })
    }

    /// Publishes `loaded` in place of what is live, on trial if it is what the files are.
    pub(super) fn replace(&self, name: &str, entry: &mut Entry, loaded: &Arc<Loaded>, on_trial: bool) {
        let (key, at) = (loaded.key(), self.loader.clock.now());
        let previous = entry.live.replace(Arc::clone(loaded));
        if let Some(previous) = &previous {
            entry.history.add_counts(&previous.key(), previous.plugin.record.counts());
            previous.plugin.pools.clear();
        }
        entry.history.went_live(key.clone(), &loaded.info.version, at);
        let calls = u64::from(self.versions.trial_calls);
        if on_trial && calls > 0 && previous.as_ref().is_some_and(|previous| previous.key() != key) {
            let allowed = (calls as f64 * self.versions.trial_threshold).floor() as u64;
            let (report, plugin) = (self.failing.clone(), name.to_owned());
            loaded.plugin.record.begin_trial(Trial { calls, allowed, report, plugin, key });
        }
        entry.previous = previous;
    }

    /// Keeps what went live; what is inside the program need not be kept. Gives the work that is left: writing bytes.
    pub(super) fn keep(&self, entries: &BTreeMap<String, Entry>, changes: &mut Changes) -> JoinHandle<()> {
        let mut places = Vec::new();
        for (name, package) in changes.packages.drain(..) {
            let Some(entry) = entries.get(&name) else { continue };
            entry.history.store();
            let place = entry.history.place_for(&package).filter(|_| !package.path.starts_with("(bundled)"));
            places.extend(place.map(|place| (place, package)));
        }
        tokio::task::spawn_blocking(move || places.iter().for_each(|(place, package)| keep(place, package)))
    }

    async fn end_trial(&self, failing: Failing) {
        let Failing { plugin, key, calls, failures } = failing;
        let mut entries = self.entries.lock().await;
        let Some(entry) = entries.get_mut(&plugin) else { return };
        // It may have been replaced meanwhile, or reported before.
        let Some(failed) = entry.live.clone().filter(|live| live.key() == key) else { return };
        let Some(previous) = entry.previous.take() else { return };
        let version = &failed.info.version;
        let reason =
            format!("{failures} of the first {calls} calls of version {version} failed by its own fault");
        entry.history.refuse(key, reason.clone());
        let serving = previous.info.version.clone();
        self.replace(&plugin, entry, &previous, false);
        // It is not what would serve if this one were to fail.
        entry.previous = None;
        entry.problem = Some(Problem::RolledBack { reason: reason.clone() }.at(&entry.path));
        entry.history.store();
        tracing::error!(%plugin, %serving, "plugin was rolled back: {reason}");
        self.publish(&entries);
    }

    pub(super) async fn versions_of(&self, plugin: &str) -> Result<Vec<PluginVersion>> {
        let entries = self.entries.lock().await;
        let Some(entry) = entries.get(plugin) else {
            return live(&entries, plugin).map(|_| Vec::new());
        };
        let serving = entry.live.as_ref().map(|live| (live.key(), live.plugin.record.counts()));
        let view = |one: &Served| {
            let present = serving.as_ref().filter(|(key, _)| *key == one.key);
            let (calls, failures) = present.map(|(_, counts)| *counts).unwrap_or_default();
            PluginVersion {
                version: one.version.clone(),
                digest: one.key.digest.clone(),
                live_at: one.live_at,
                calls: one.calls.saturating_add(calls),
                failures: one.failures.saturating_add(failures),
                serving: present.is_some(),
                pinned: entry.history.pin.as_ref().is_some_and(|pin| pin.key == one.key),
                refused: entry.history.refusal(&one.key).map(str::to_owned),
                kept: entry.history.has_bytes(&one.key) || self.kept(entry, &one.key).is_some(),
            }
        };
        Ok(entry.history.versions.iter().map(view).collect())
    }

    pub(super) async fn roll_back_to(&self, plugin: &str, version: Option<&str>) -> Result<PluginInfo> {
        let mut entries = self.entries.lock().await;
        let present = live(&entries, plugin)?.key();
        let source = scan(&self.bundled, &self.folders)?.remove(plugin);
        let files = match source {
            Some(source) => Some(Key::of(&read(source).await?)),
            None => None,
        };
        let Some(entry) = entries.get_mut(plugin) else {
            return Err(Error::invalid_params("name", format!("no plugin '{plugin}' is loaded")));
        };
        let target = target(&entry.history, &present, version)?;
        let package = self.kept(entry, &target.key).ok_or_else(|| {
            let problem = format!("the bytes of {} are not kept any more; install it again", target.version);
            Error::invalid_params("version", problem)
        })?;
        let pin = Pin { key: target.key.clone(), instead_of: files };
        let loaded = self.loader.load(plugin, package).await?;
        let Some(entry) = entries.get_mut(plugin) else {
            return Err(Error::invalid_params("name", format!("no plugin '{plugin}' is loaded")));
        };
        self.replace(plugin, entry, &Arc::new(loaded), false);
        entry.history.pin = Some(pin);
        let problem = Problem::Pinned { version: target.version.clone() }.at(&entry.path);
        entry.problem = Some(problem.clone());
        entry.history.store();
        tracing::info!(target: "apflow::audit", plugin, version = %target.version, "plugin was rolled back by request");
        self.publish(&entries);
        Ok(live(&entries, plugin)?.listed(Some(problem.to_string())))
    }

    pub(super) async fn unpin_files(&self, plugin: &str) -> Result<Map<String, Value>> {
        {
            let mut entries = self.entries.lock().await;
            live(&entries, plugin)?;
            if let Some(entry) = entries.get_mut(plugin) {
                let had = entry.history.pin.take().is_some() | !entry.history.refused.is_empty();
                entry.history.refused.clear();
                entry.history.store();
                tracing::info!(target: "apflow::audit", plugin, had, "plugin was unpinned");
            }
        }
        Ok(self.refresh(Some(&BTreeSet::from([plugin.to_owned()]))).await?)
    }
}

/// The version that somebody named: by version, or by at least six digits of its digest.
fn target(history: &History, present: &Key, named: Option<&str>) -> Result<Served> {
    let found = match named {
        None => history.before(present),
        Some(named) => history.versions.iter().filter(|one| one.key != *present).find(|one| {
            one.version == named || (named.len() >= 6 && one.key.digest.starts_with(&named.to_lowercase()))
        }),
    };
    found.cloned().ok_or_else(|| {
        let others = history.versions.iter().filter(|one| one.key != *present);
        let known: Vec<String> = others
            .map(|one| format!("{} ({})", one.version, one.key.digest.chars().take(12).collect::<String>()))
            .collect();
        let known = if known.is_empty() { "no other has served".into() } else { known.join(", ") };
        let problem = match named {
            Some(named) => format!("'{named}' is none of the versions that have served before: {known}"),
            None => format!("there is no version to go back to: {known}"),
        };
        Error::invalid_params("version", problem)
    })
}
