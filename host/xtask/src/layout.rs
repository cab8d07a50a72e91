//! Where things are: the checkout, the cache outside it, the target folders. Every other file asks here, and cargo is
//! only ever started from here, so that all builds share one set of target folders.

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders that the commands work in.
pub struct Layout {
    /// The checkout.
    pub root: PathBuf,
    /// `$XDG_CACHE_HOME/apflow` or `~/.cache/apflow`: toolchains and target folders, safe to delete.
    pub cache: PathBuf,
    /// Target folder of host crates: `CARGO_TARGET_DIR` if set, else `target` in the cache.
    pub target: PathBuf,
}

impl Layout {
    /// Finds the checkout that this program was compiled in, and the caches.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().context("the checkout that xtask was built in is gone")?;
        let cache = cache_home()?.join("apflow");
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| cache.join("target"), |dir| root.join(dir));
        fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
        Ok(Self { root, cache, target })
    }

    /// Cargo for host crates, in the checkout's root.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Target folder of guests. Apart from the hosts', because another compiler may build them.
    pub fn guest_target(&self) -> PathBuf {
        self.cache.join("target-guest")
    }

    /// The built `apflow` of a profile folder (`debug`, `release`).
    pub fn apflow(&self, profile: &str) -> PathBuf {
        self.program(profile, "apflow")
    }

    /// Another built program of the workspace.
    pub fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Holds a lock file of the cache until the returned file is dropped: two runs must not make the same toolchain or
    /// plugin at once. Says so if it has to wait.
    pub fn lock(&self, name: &str) -> Result<File> {
        let path = self.cache.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            crate::process::say(&format!("waiting for another run that holds {}", path.display()));
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

fn cache_home() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::home_dir().context("no home folder: set HOME or XDG_CACHE_HOME")?;
    Ok(home.join(".cache"))
}
