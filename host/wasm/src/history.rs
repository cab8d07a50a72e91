//! Versions of a plugin that have served: an index with when and how well, and their bytes in folders by digest, so that an
//! old one can be published again. Without a folder all of it lasts as long as the host.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use apflow_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::loader::manifest_digest;
use crate::source::{Package, hex};

const INDEX: &str = "index.toml";
/// Refused versions that are remembered.
const REFUSALS: usize = 20;

/// What makes a version: its component and its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// SHA-256 of the component in hex.
    pub digest: String,
    /// SHA-256 of the manifest in hex; empty without one.
    pub manifest: String,
}

impl Key {
    /// That of a package.
    pub fn of(package: &Package) -> Self {
        Self { digest: package.digest.clone(), manifest: manifest_digest(package) }
    }

    fn folder(&self) -> String {
        let part = |text: &str, most| text.chars().take(most).collect::<String>();
        format!(
            "{}-{}",
            part(&self.digest, 32),
            if self.manifest.is_empty() { "bare".into() } else { part(&self.manifest, 8) }
        )
    }
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Served {
    /// Which.
    pub key: Key,
    /// `plugin.version`.
    pub version: String,
    /// When it went live, the last time.
    pub live_at: Timestamp,
    /// Calls before the present life of the version.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
}

/// A version that is not loaded again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// Which.
    pub key: Key,
    /// Why.
    pub reason: String,
}

/// A version that serves in place of the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// Which serves.
    pub key: Key,
    /// What the files were at that time; other files end the pin. None: there were none.
    pub instead_of: Option<Key>,
}

/// What is known of one plugin.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    /// The newest first.
    #[serde(default)]
    pub versions: Vec<Served>,
    /// What is refused.
    #[serde(default)]
    pub refused: Vec<Refusal>,
    /// What is pinned.
    pub pin: Option<Pin>,
    #[serde(skip)]
    folder: Option<PathBuf>,
    #[serde(skip)]
    keep: usize,
}

impl History {
    /// That of the plugin `name` below `folder`, of which `keep` versions are kept. What cannot be read is begun anew, and
    /// that is logged.
    pub fn open(folder: Option<&Path>, name: &str, keep: usize) -> Self {
        let folder = folder.map(|folder| folder.join(name));
        let read = folder.as_ref().map(|folder| read_index(&folder.join(INDEX)));
        let history = match read {
            Some(Ok(history)) => history,
            Some(Err(error)) => {
                tracing::warn!(plugin = name, %error, "the history of the plugin cannot be read and is begun anew");
                Self::default()
            }
            None => Self::default(),
        };
        Self { folder, keep: keep.max(1), ..history }
    }

    /// Why this version is refused, if it is.
    pub fn refusal(&self, key: &Key) -> Option<&str> {
        self.refused.iter().find(|one| one.key == *key).map(|one| one.reason.as_str())
    }

    /// Does not load it again.
    pub fn refuse(&mut self, key: Key, reason: String) {
        self.refused.retain(|one| one.key != key);
        self.refused.insert(0, Refusal { key, reason });
        self.refused.truncate(REFUSALS);
    }

    /// Adds to the counters of a version.
    pub fn add_counts(&mut self, key: &Key, (calls, failures): (u64, u64)) {
        if let Some(one) = self.versions.iter_mut().find(|one| one.key == *key) {
            one.calls = one.calls.saturating_add(calls);
            one.failures = one.failures.saturating_add(failures);
        }
    }

    /// A version serves from now on.
    pub fn went_live(&mut self, key: Key, version: &str, at: Timestamp) {
        let known = self.versions.iter().position(|one| one.key == key).map(|at| self.versions.remove(at));
        let (calls, failures) = known.map(|one| (one.calls, one.failures)).unwrap_or_default();
        self.versions.insert(0, Served { key, version: version.to_owned(), live_at: at, calls, failures });
        let pinned = self.pin.as_ref().map(|pin| pin.key.clone());
        while self.versions.len() > self.keep {
            let spare = self.versions.iter().rposition(|one| Some(&one.key) != pinned.as_ref());
            // The newest is serving; it is never spare.
            let Some(at) = spare.filter(|at| *at > 0) else { break };
            let gone = self.versions.remove(at);
            if let Some(folder) = &self.folder {
                // It may never have been kept.
                let _ = fs::remove_dir_all(folder.join(gone.key.folder()));
            }
        }
    }

    /// The newest version that is neither refused nor `other`.
    pub fn before(&self, other: &Key) -> Option<&Served> {
        self.versions.iter().find(|one| one.key != *other && self.refusal(&one.key).is_none())
    }

    /// Whether the bytes of a version are there.
    pub fn has_bytes(&self, key: &Key) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.join(key.folder()).join("component.wasm").is_file())
    }

    /// The bytes of a version, if they are there and are still those. Blocks.
    pub fn read(&self, key: &Key) -> Option<Package> {
        let folder = self.folder.as_ref()?.join(key.folder());
        let path = folder.join("component.wasm");
        let component = fs::read(&path).ok()?;
        let manifest = fs::read_to_string(folder.join("plugin.toml")).ok();
        let digest = {
            use sha2::{Digest as _, Sha256};
            hex(&Sha256::digest(&component))
        };
        let package =
            Package { path, component: Cow::Owned(component), digest, manifest: manifest.map(Cow::Owned) };
        (Key::of(&package) == *key).then_some(package)
    }

    /// Writes the index. That this fails is no error of the plugin. Blocks for a moment.
    pub fn store(&self) {
        let Some(folder) = &self.folder else { return };
        let write = || -> io::Result<()> {
            let text = toml::to_string(self).map_err(io::Error::other)?;
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(folder.join(INDEX))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(folder = %folder.display(), %error, "the history of a plugin cannot be kept");
        }
    }

    /// Where the bytes of a package are to be kept, if they are not there yet.
    pub fn place_for(&self, package: &Package) -> Option<PathBuf> {
        let key = Key::of(package);
        let folder = self.folder.as_ref()?.join(key.folder());
        (!self.has_bytes(&key)).then_some(folder)
    }
}

/// Keeps the bytes of a package in `folder`. That this fails is no error of the plugin. Blocks.
pub(crate) fn keep(folder: &Path, package: &Package) {
    // Always the same name, so that what an ended process has left is used up by the next one.
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = folder.with_file_name(format!(".new-{name}"));
    let write = || -> io::Result<()> {
        fs::create_dir_all(&beside)?;
        fs::write(beside.join("component.wasm"), &package.component)?;
        if let Some(manifest) = &package.manifest {
            fs::write(beside.join("plugin.toml"), manifest.as_bytes())?;
        }
        fs::rename(&beside, folder)
    };
    if let Err(error) = write() {
        tracing::warn!(folder = %folder.display(), %error, "a version of a plugin cannot be kept");
    }
}

fn read_index(path: &Path) -> Result<History, String> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| error.message().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(History::default()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(mark: u8) -> Package {
        use sha2::{Digest as _, Sha256};
        let component = vec![mark];
        let digest = hex(&Sha256::digest(&component));
        Package { path: "x".into(), component: Cow::Owned(component), digest, manifest: Some("m".into()) }
    }

    #[test]
    fn versions_come_back_until_there_are_too_many() {
        let top = tempfile::tempdir().unwrap();
        let open = || History::open(Some(top.path()), "p", 2);
        let mut history = open();
        for mark in 1..=3 {
            let package = package(mark);
            history.went_live(Key::of(&package), &mark.to_string(), Timestamp::default());
            history.store();
            keep(&history.place_for(&package).unwrap(), &package);
            assert_eq!(history.place_for(&package), None, "it is kept once");
        }
        history.add_counts(&Key::of(&package(3)), (5, 1));
        history.store();
        let history = open();
        let versions: Vec<_> = history.versions.iter().map(|one| one.version.as_str()).collect();
        assert_eq!(versions, ["3", "2"]);
        assert_eq!((history.versions[0].calls, history.versions[0].failures), (5, 1));
        assert_eq!(history.read(&Key::of(&package(2))).unwrap().component.as_ref(), [2]);
        assert!(history.read(&Key::of(&package(1))).is_none());
        assert_eq!(history.before(&Key::of(&package(3))).unwrap().version, "2");
    }

    #[test]
    fn bytes_that_have_changed_are_not_given() {
        let top = tempfile::tempdir().unwrap();
        let mut history = History::open(Some(top.path()), "p", 2);
        let package = package(1);
        let key = Key::of(&package);
        history.went_live(key.clone(), "1", Timestamp::default());
        history.store();
        keep(&history.place_for(&package).unwrap(), &package);
        fs::write(top.path().join("p").join(key.folder()).join("component.wasm"), "swapped").unwrap();
        assert!(history.read(&key).is_none());
    }

    #[test]
    fn what_is_refused_or_pinned_is_remembered() {
        let top = tempfile::tempdir().unwrap();
        let mut history = History::open(Some(top.path()), "p", 1);
        let (one, two) = (Key::of(&package(1)), Key::of(&package(2)));
        history.refuse(two.clone(), "it failed".into());
        history.pin = Some(Pin { key: one.clone(), instead_of: Some(two.clone()) });
        history.went_live(one.clone(), "1", Timestamp::default());
        history.store();
        let history = History::open(Some(top.path()), "p", 1);
        assert_eq!(history.refusal(&two), Some("it failed"));
        assert_eq!(history.pin.unwrap().key, one);
    }
}
