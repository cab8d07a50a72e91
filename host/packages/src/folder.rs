//! A plugins folder and what the commands do in it. A package is written whole beside, and exchanged with the old one in one
//! step, so that a host that watches the folder sees the one or the other; whatever fails before that changes nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::archive::read_folder;
use crate::error::{PackageError, Result};
use crate::lock::{Lock, Locked};
use crate::package::{MANIFEST, Package, SIGNATURE};

/// Where held updates wait. Hosts do not look into folders that begin with a dot.
const PENDING: &str = ".pending";
/// What the lock will say of a held update.
const ENTRY: &str = "entry.toml";

/// A folder with plugins.
#[derive(Debug, Clone)]
pub struct PluginsFolder {
    path: PathBuf,
}

/// How the files of an installed plugin stand to the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// As they were installed.
    None,
    /// The component is another.
    Component,
    /// `plugin.toml` is another.
    Manifest,
    /// Files are missing.
    Missing,
}

impl Drift {
    /// The text in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Component => "component",
            Self::Manifest => "manifest",
            Self::Missing => "missing",
        }
    }
}

impl PluginsFolder {
    /// The folder at `path`; it is made when something is installed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is installed.
    ///
    /// # Errors
    /// `file_error` if the lock cannot be read.
    pub fn lock(&self) -> Result<Lock> {
        Lock::read(&self.path)
    }

    /// Writes a package into its place and `entry` into the lock. What was held for that name is dropped.
    ///
    /// # Errors
    /// `file_error`; then the folder is as it was.
    pub fn install(&self, package: &Package, entry: Locked) -> Result<()> {
        let _guard = self.guard()?;
        let mut lock = self.lock()?;
        let staged = self.stage(package, None)?;
        self.exchange(staged.path(), &self.path.join(&package.name))?;
        self.drop_pending(&package.name);
        lock.put(entry);
        lock.write(&self.path)
    }

    /// Keeps a package beside the one that serves, until somebody approves it.
    ///
    /// # Errors
    /// `file_error`.
    pub fn hold(&self, package: &Package, entry: &Locked) -> Result<()> {
        let _guard = self.guard()?;
        let pending = self.path.join(PENDING);
        fs::create_dir_all(&pending).map_err(|error| PackageError::file(&pending, error))?;
        let staged = self.stage(package, Some(entry))?;
        self.exchange(staged.path(), &pending.join(&package.name))
    }

    /// The update that is held for `name`.
    ///
    /// # Errors
    /// `not_installed` if there is none, `file_error` or `package_malformed` if it cannot be read.
    pub fn pending(&self, name: &str) -> Result<(Package, Locked)> {
        let folder = self.path.join(PENDING).join(name);
        let known = !name.contains(['/', '.']) && folder.is_dir();
        if !known {
            let problem = format!("No update of '{name}' is held in {}", self.path.display());
            return Err(PackageError::NotInstalled { problem });
        }
        let path = folder.join(ENTRY);
        let text = fs::read_to_string(&path).map_err(|error| PackageError::file(&path, error))?;
        let entry: Locked =
            toml::from_str(&text).map_err(|error| PackageError::file(&path, error.message()))?;
        let package = read_folder(&folder)?;
        let expected = [&entry.component_sha256, &entry.manifest_sha256];
        for (expected, actual) in
            expected.into_iter().zip([package.component_sha256(), package.manifest_sha256()])
        {
            if *expected != actual {
                let (what, expected) = (folder.display().to_string(), expected.clone());
                return Err(PackageError::DigestMismatch { what, expected, actual });
            }
        }
        Ok((package, entry))
    }

    /// The names that updates are held for.
    pub fn held(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path.join(PENDING)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Removes an installed plugin, its entry in the lock and what is held for it.
    ///
    /// # Errors
    /// `not_installed` if the lock does not know it, `file_error`.
    pub fn remove(&self, name: &str) -> Result<Locked> {
        let _guard = self.guard()?;
        let mut lock = self.lock()?;
        let entry = lock.get(name).cloned().ok_or_else(|| self.not_installed(name))?;
        let folder = self.path.join(name);
        // Out of sight in one step; then it does not matter how long the rest takes.
        let aside = tempfile::Builder::new().prefix(".removed-").tempdir_in(&self.path);
        let aside = aside.map_err(|error| PackageError::file(&self.path, error))?;
        match fs::rename(&folder, aside.path().join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(PackageError::file(&folder, error));
            }
            _ => {}
        }
        self.drop_pending(name);
        lock.remove(name);
        lock.write(&self.path)?;
        Ok(entry)
    }

    /// Compares the files of an installed plugin with the lock.
    pub fn drift(&self, entry: &Locked) -> Drift {
        match read_folder(&self.path.join(&entry.name)) {
            Ok(package) if package.component_sha256() != entry.component_sha256 => Drift::Component,
            Ok(package) if package.manifest_sha256() != entry.manifest_sha256 => Drift::Manifest,
            Ok(_) => Drift::None,
            Err(PackageError::Malformed { .. }) if self.path.join(&entry.name).join(MANIFEST).is_file() => {
                let component = self.path.join(&entry.name).join(format!("{}.wasm", entry.name));
                if component.is_file() { Drift::Manifest } else { Drift::Missing }
            }
            Err(_) => Drift::Missing,
        }
    }

    /// The error for a name that the lock does not know.
    pub fn not_installed(&self, name: &str) -> PackageError {
        let problem = format!(
            "'{name}' was not installed into {}; `apflow plugin list` shows what is there",
            self.path.display()
        );
        PackageError::NotInstalled { problem }
    }

    /// One command at a time.
    fn guard(&self) -> Result<File> {
        fs::create_dir_all(&self.path).map_err(|error| PackageError::file(&self.path, error))?;
        let path = self.path.join(".lock");
        let file = File::create(&path).map_err(|error| PackageError::file(&path, error))?;
        file.lock().map_err(|error| PackageError::file(&path, error))?;
        Ok(file)
    }

    /// The files of a package in a folder of their own, on the disk.
    fn stage(&self, package: &Package, entry: Option<&Locked>) -> Result<tempfile::TempDir> {
        let staged = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.path);
        let staged = staged.map_err(|error| PackageError::file(&self.path, error))?;
        let folder = staged.path();
        write_synced(&folder.join(package.component_name()), &package.component)?;
        write_synced(&folder.join(MANIFEST), package.manifest.as_bytes())?;
        if let Some(signature) = &package.signature {
            write_synced(&folder.join(SIGNATURE), signature.as_bytes())?;
        }
        if let Some(entry) = entry {
            let path = folder.join(ENTRY);
            let text = toml::to_string(entry).map_err(|error| PackageError::file(&path, error))?;
            write_synced(&path, text.as_bytes())?;
        }
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .map_err(|error| PackageError::file(folder, error))?;
        Ok(staged)
    }

    /// Puts `staged` into `place`; what was there goes with the staged folder.
    fn exchange(&self, staged: &Path, place: &Path) -> Result<()> {
        let failed = |error: std::io::Error| PackageError::file(place, error);
        if !place.exists() {
            return fs::rename(staged, place).map_err(failed);
        }
        if renameat_with(CWD, staged, CWD, place, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
        // Not every file system can exchange; then there is a moment without the plugin, and a host keeps what it has.
        let aside = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.path).map_err(failed)?;
        let old = aside.path().join("old");
        fs::rename(place, &old).map_err(failed)?;
        fs::rename(staged, place).map_err(|error| {
            let _ = fs::rename(&old, place);
            failed(error)
        })
    }

    fn drop_pending(&self, name: &str) {
        // Usually there is none.
        let _ = fs::remove_dir_all(self.path.join(PENDING).join(name));
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| PackageError::file(path, error))
}

/// Writes a file whole: beside, then in its place.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| PackageError::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::sample;

    fn entry(package: &Package) -> Locked {
        Locked {
            name: package.name.clone(),
            version: package.version.clone(),
            source: "somewhere".into(),
            component_sha256: package.component_sha256(),
            manifest_sha256: package.manifest_sha256(),
            signer: None,
            installed_at: "2026-01-02T03:04:05Z".into(),
            approved: toml::from_str("system = true").unwrap(),
        }
    }

    fn visible(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_package_is_installed_replaced_and_removed() {
        let top = tempfile::tempdir().unwrap();
        let folder = PluginsFolder::new(top.path().join("plugins"));
        for version in ["1", "2"] {
            let package = sample(version);
            folder.install(&package, entry(&package)).unwrap();
            assert_eq!(read_folder(&folder.path().join("sample")).unwrap(), package);
            let lock = folder.lock().unwrap();
            assert_eq!(lock.plugins, [entry(&package)]);
            assert_eq!(folder.drift(&lock.plugins[0]), Drift::None);
        }
        assert_eq!(visible(folder.path()), ["plugins.lock", "sample"]);
        folder.remove("sample").unwrap();
        assert_eq!(visible(folder.path()), ["plugins.lock"]);
        assert_eq!(folder.remove("sample").unwrap_err().code(), "not_installed");
    }

    #[test]
    fn an_update_that_is_held_leaves_what_serves() {
        let top = tempfile::tempdir().unwrap();
        let folder = PluginsFolder::new(top.path());
        let (one, two) = (sample("1"), sample("2"));
        folder.install(&one, entry(&one)).unwrap();
        folder.hold(&two, &entry(&two)).unwrap();
        assert_eq!(read_folder(&top.path().join("sample")).unwrap(), one);
        assert_eq!(folder.held(), ["sample"]);
        assert_eq!(folder.pending("sample").unwrap(), (two.clone(), entry(&two)));
        fs::write(top.path().join(".pending/sample/sample.wasm"), "swapped").unwrap();
        assert_eq!(folder.pending("sample").unwrap_err().code(), "digest_mismatch");
        folder.install(&two, entry(&two)).unwrap();
        assert!(folder.held().is_empty());
        assert_eq!(folder.pending("../sample").unwrap_err().code(), "not_installed");
    }

    #[test]
    fn files_that_differ_from_the_lock_are_noticed() {
        let top = tempfile::tempdir().unwrap();
        let folder = PluginsFolder::new(top.path());
        let package = sample("1");
        folder.install(&package, entry(&package)).unwrap();
        let at = |name: &str| top.path().join("sample").join(name);
        fs::write(at("plugin.toml"), format!("{}# more\n", package.manifest)).unwrap();
        assert_eq!(folder.drift(&entry(&package)), Drift::Manifest);
        fs::write(at("sample.wasm"), "other").unwrap();
        assert_eq!(folder.drift(&entry(&package)), Drift::Component);
        fs::remove_file(at("sample.wasm")).unwrap();
        assert_eq!(folder.drift(&entry(&package)), Drift::Missing);
    }

    #[test]
    fn a_lock_of_another_form_is_refused() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("plugins.lock"), "version = 9\n").unwrap();
        assert!(PluginsFolder::new(top.path()).lock().unwrap_err().to_string().contains("version = 9"));
        fs::write(top.path().join("plugins.lock"), "version = 1\nplugins = []\n").unwrap();
        assert!(PluginsFolder::new(top.path()).lock().unwrap_err().to_string().contains("unknown field"));
    }
}
