//! Where things are: the checkout, the cache outside it, the target folders. Every other file asks here, and cargo is
//! only ever started from here, so that all builds share one set of target folders.

use crate::process::say;
use anyhow::{Context, Result};
use apflow_toolchain::Workshop;
use std::ffi::OsString;
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
        let cache = Workshop::find(say)?.cache;
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| cache.join("target"), |dir| root.join(dir));
        Ok(Self { root, cache, target })
    }

    /// Cargo for host crates, in the checkout's root.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Where plugins are built.
    pub fn workshop(&self) -> Workshop {
        Workshop { cache: self.cache.clone(), say }
    }

    /// The built `apflow` of a profile folder (`debug`, `release`).
    pub fn apflow(&self, profile: &str) -> PathBuf {
        self.program(profile, "apflow")
    }

    /// Another built program of the workspace.
    pub fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}
