//! Where work is done: the cache outside every checkout and project, with its toolchains and target folders, and how
//! steps are told to whoever waits.

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// A tool that a language needs is not there, and cannot be fetched from here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ToolMissing(pub String);

/// The folder of toolchains, and a voice.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Toolchains and target folders; safe to delete.
    pub cache: PathBuf,
    /// Told one line about each step that begins.
    pub say: fn(&str),
}

impl Workshop {
    /// The workshop in `$XDG_CACHE_HOME/apflow` or `~/.cache/apflow`.
    ///
    /// # Errors
    /// If there is no home folder, or the cache cannot be made.
    pub fn find(say: fn(&str)) -> Result<Self> {
        let home = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let home = home.or_else(|| Some(std::env::home_dir()?.join(".cache")));
        let cache = home.context("no home folder: set HOME or XDG_CACHE_HOME")?.join("apflow");
        fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
        Ok(Self { cache, say })
    }

    /// Tells that a step begins.
    pub fn say(&self, step: &str) {
        (self.say)(step);
    }

    /// Cargo for guests; the compiler is for [`RustTarget`](crate::RustTarget) to choose.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.env("CARGO_TARGET_DIR", self.guest_target());
        command
    }

    /// Target folder of guests. Apart from the hosts', because another compiler may build them.
    pub fn guest_target(&self) -> PathBuf {
        self.cache.join("target-guest")
    }

    /// Holds a lock file of the cache until the returned file is dropped: two runs must not make the same toolchain or
    /// plugin at once. Says so if it has to wait.
    ///
    /// # Errors
    /// If the lock file cannot be written or locked.
    pub fn lock(&self, name: &str) -> Result<File> {
        let path = self.cache.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            self.say(&format!("waiting for another run that holds {}", path.display()));
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}
