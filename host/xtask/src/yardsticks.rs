//! `cargo xtask yardsticks`: installs the programs that `apflow bench --compare` measures ours against, in the versions that
//! `host/benches/yardsticks` pins, and the scripts that drive them. All of it goes into the cache.

use crate::layout::Layout;
use crate::process::say;
use anyhow::{Context, Result, bail};
use apflow_toolchain::{node_is_here, npm_packages, python_environment, python_is_here, short_digest};
use std::fs;
use std::path::Path;

const SCRIPTS: [&str; 3] = ["graphile.mjs", "restate.mjs", "original.py"];

/// Installs them; what is there already in these versions stays.
pub fn install(layout: &Layout) -> Result<()> {
    if !node_is_here() || !python_is_here() {
        bail!("the yardsticks need node (18 or newer) with npm, and python3 (3.10 or newer) with pip");
    }
    let _lock = layout.workshop().lock("yardsticks")?;
    let sources = layout.root.join("host/benches/yardsticks");
    let dir = layout.cache.join("yardsticks");
    let [package, lock, requirements] =
        ["package.json", "package-lock.json", "requirements.txt"].map(|name| read(&sources.join(name)));
    let (package, lock, requirements) = (package?, lock?, requirements?);
    let (complete, digest) = (dir.join(".complete"), short_digest(&[&package, &lock, &requirements]));
    if !fs::read_to_string(&complete).is_ok_and(|of| of == digest) {
        say(&format!("npm ci and pip install into {}", dir.display()));
        npm_packages(&dir, &package, &lock)?;
        python_environment(&layout.workshop(), &dir, &requirements)?;
        fs::write(complete, digest)?;
    }
    for name in SCRIPTS {
        fs::write(dir.join(name), read(&sources.join(name))?)?;
    }
    say(&format!("the yardsticks are in {}", dir.display()));
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
