//! Compiled code on disk: one file for each component, wasmtime version and configuration, mapped into memory instead of
//! being compiled again. The folder is private, because what is in it is run as it is.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;

/// The version of wasmtime in this build; part of every file's name.
const WASMTIME: &str = "48.0.8";
/// Bytes of compiled code that are kept; older files go first.
const KEPT: u64 = 2 << 30;

/// A folder of compiled components.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
    fingerprint: u64,
}

impl Cache {
    /// Opens the folder, making it if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, is not this user's, or others can write to it.
    pub fn open(folder: &Path, fingerprint: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = folder.canonicalize()?;
        let metadata = fs::metadata(&folder)?;
        check_private(&metadata)?;
        if metadata.permissions().mode() & 0o777 != 0o700 {
            fs::set_permissions(&folder, PermissionsExt::from_mode(0o700))?;
        }
        Ok(Self { folder, fingerprint })
    }

    /// The code of the component with this digest, if it is there and fits.
    pub fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() || check_private(&metadata).is_err() {
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "deserializing trusts the file. Only this user can have written it: folder (mode 700) and file (mode \
                      600) are this user's, checked here and when opening, and whoever can write as this user can \
                      replace this program as well. It was written whole (synced, then renamed) by `store`, under a name \
                      made of the component's SHA-256, wasmtime's version and the hash of everything in the configuration \
                      that code depends on; wasmtime checks the last two again"
        )]
        let component = unsafe { Component::deserialize_file(engine, &path) };
        component
            .inspect_err(|error| tracing::debug!(path = %path.display(), %error, "compiled code is not used"))
            .ok()
    }

    /// Keeps the code of a component. Failing to is not an error of the plugin: it is compiled again next time.
    pub fn store(&self, digest: &str, code: &[u8]) {
        if let Err(error) = self.write(digest, code) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code cannot be kept");
        }
        self.prune();
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{WASMTIME}-{:016x}.cwasm", self.fingerprint))
    }

    fn write(&self, digest: &str, code: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{digest}-{}-{number}", std::process::id()));
        let written = write_synced(&temporary, code).and_then(|()| fs::rename(&temporary, self.path(digest)));
        if written.is_err() {
            // It may not even exist; what matters is said by the error.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes the oldest files until what is left is small enough. Files that are mapped live on until they are not.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
        let mut total = 0;
        for (_, size, path) in files {
            total += size;
            if total > KEPT {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn write_synced(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(code)?;
    file.sync_all()
}

fn check_private(metadata: &Metadata) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        return Err(io::Error::other(format!("it belongs to user {}, not to {own}", metadata.uid())));
    }
    if metadata.permissions().mode() & 0o022 != 0 {
        return Err(io::Error::other("others can write to it; take that right away (chmod go-w)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component without anything in it.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_is_private_and_files_come_back() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("a/b");
        let engine = Engine::default();
        let cache = Cache::open(&folder, 1).unwrap();
        assert_eq!(mode(&folder), 0o700);
        assert!(cache.load(&engine, "d").is_none());
        let code = Component::new(&engine, EMPTY).unwrap().serialize().unwrap();
        cache.store("d", &code);
        assert!(cache.load(&engine, "d").is_some());
        assert_eq!(mode(&cache.path("d")), 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn damaged_and_foreign_files_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = Cache::open(folder.path(), 1).unwrap();
        cache.store("d", b"not code");
        assert!(cache.load(&engine, "d").is_none());
        let code = Component::new(&engine, EMPTY).unwrap().serialize().unwrap();
        cache.store("d", &code);
        fs::set_permissions(cache.path("d"), PermissionsExt::from_mode(0o666)).unwrap();
        assert!(cache.load(&engine, "d").is_none());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(Cache::open(folder.path(), 1).unwrap_err().to_string().contains("chmod go-w"));
    }

    #[test]
    fn the_version_in_file_names_is_that_of_wasmtime() {
        let manifest =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("wasmtime = {{ version = \"={WASMTIME}\"")), "WASMTIME is stale");
    }
}
