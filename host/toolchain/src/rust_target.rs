//! The Rust compiler for `wasm32-wasip2`, the target of components: one that is installed, else one that rustup can
//! download, else one made from Debian's packages by `wasm-toolchain.sh`. Called before Rust guests are built.

use crate::process::{probe, run, run_within};
use crate::workshop::{ToolMissing, Workshop};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What guests are compiled for.
pub const TARGET: &str = "wasm32-wasip2";
const SCRIPT: &str = include_str!("../wasm-toolchain.sh");
/// A download of the target is some 30 MB; a machine without a way to the server refuses at once.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(180);

/// A compiler that can build guests.
#[derive(Debug)]
pub enum RustTarget {
    /// The compiler in use has the target.
    Installed,
    /// Another compiler, unpacked in this folder.
    Unpacked(PathBuf),
}

impl RustTarget {
    /// Finds a compiler, or makes one, and says which.
    ///
    /// # Errors
    /// [`ToolMissing`] where there is no way to one, or what went wrong on the way.
    pub fn find(workshop: &Workshop) -> Result<Self> {
        let unpacked = workshop.cache.join("wasm-toolchain");
        if has_target() {
            return Ok(Self::Installed);
        }
        if is_complete(&unpacked) {
            return Ok(Self::Unpacked(unpacked));
        }
        let _lock = workshop.lock("wasm-toolchain")?;
        if is_complete(&unpacked) {
            return Ok(Self::Unpacked(unpacked));
        }
        workshop.say(&format!("this Rust has no {TARGET}: rustup target add {TARGET}"));
        let refusal = match run_within(DOWNLOAD_LIMIT, Command::new("rustup").args(["target", "add", TARGET]))
        {
            Ok(()) if has_target() => return Ok(Self::Installed),
            Ok(()) => "rustup added it to a toolchain that is not the one in use".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        workshop.say(&format!("rustup could not add it ({refusal})"));
        make(workshop, &unpacked)?;
        Ok(Self::Unpacked(unpacked))
    }

    /// Cargo for guests: the right compiler and the guests' own target folder.
    pub fn cargo(&self, workshop: &Workshop) -> Command {
        let mut cargo = workshop.cargo();
        cargo.env_remove("CARGO_BUILD_TARGET").env_remove("RUSTFLAGS");
        for (name, value) in self.environment() {
            cargo.env(name, value);
        }
        cargo
    }

    /// Whether clippy can look at guests: it comes with rustup's compiler only.
    pub fn has_clippy(&self) -> bool {
        matches!(self, Self::Installed)
    }

    /// What to set for this compiler.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        match self {
            Self::Installed => Vec::new(),
            Self::Unpacked(dir) => {
                vec![("RUSTC", dir.join("bin/rustc")), ("RUSTDOC", dir.join("bin/rustdoc"))]
            }
        }
    }
}

fn has_target() -> bool {
    let sysroot = probe(Command::new("rustc").args(["--print", "sysroot"]));
    sysroot.is_some_and(|dir| Path::new(&dir).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

// It borrows rustup's linkers, so it also has to be tried: they go away with that toolchain.
fn is_complete(dir: &Path) -> bool {
    dir.join(".complete").is_file()
        && dir.join("lib/rustlib").join(TARGET).is_dir()
        && probe(Command::new(dir.join("bin/rustc")).arg("-V")).is_some()
        && has_linker(dir)
}

fn has_linker(dir: &Path) -> bool {
    let hosts = std::fs::read_dir(dir.join("lib/rustlib")).into_iter().flatten().flatten();
    hosts.into_iter().any(|host| host.path().join("bin/rust-lld").is_file())
}

fn make(workshop: &Workshop, dir: &Path) -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg"] {
        if probe(Command::new(tool).arg("--version")).is_none() {
            return Err(ToolMissing(format!(
                "no way to a compiler for {TARGET}: run `rustup target add {TARGET}` where rustup can download it (making \
                 one needs Debian's {tool})"
            ))
            .into());
        }
    }
    if !knows_package("rustc-web") {
        workshop.say("reading Debian's package lists: apt-get update");
        debian(&["apt-get", "-qq", "update"])?;
    }
    if !knows_package("rustc-web") {
        return Err(ToolMissing(format!(
            "no way to a compiler for {TARGET}: run `rustup target add {TARGET}` where rustup can download it (this Debian \
             has no package rustc-web to make one from; 12 has it)"
        ))
        .into());
    }
    workshop.say(&format!(
        "making a compiler for {TARGET} from Debian's packages (140 MB to download, 2 minutes)"
    ));
    let script = workshop.cache.join("wasm-toolchain.sh");
    fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
    run(Command::new("bash").arg(script).arg(dir)).context("the wasm toolchain could not be made")
}

fn knows_package(name: &str) -> bool {
    probe(Command::new("apt-cache").args(["show", "--no-all-versions", name]))
        .is_some_and(|text| !text.is_empty())
}

/// Runs a Debian administration command as root, with sudo if need be.
///
/// # Errors
/// If it cannot be run, or fails.
pub fn debian(args: &[&str]) -> Result<()> {
    let is_root = probe(Command::new("id").arg("-u")).as_deref() == Some("0");
    let words: Vec<&str> = if is_root { args.to_vec() } else { [&["sudo"], args].concat() };
    run(Command::new(words[0]).args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive"))
}
