//! What the tests of collectors send to: Prometheus from Debian, and OpenTelemetry's protocol package for Python in a virtual
//! environment of the cache, in the version that `tests/suite/receivers` pins.

use crate::layout::Layout;
use crate::process::{probe, run_quietly, say};
use anyhow::{Context, Result, bail};
use apflow_toolchain::{python_environment, python_is_here, short_digest};
use std::fs;
use std::process::Command;

/// Installs what is missing and can be installed here.
pub fn install(layout: &Layout) -> Result<()> {
    install_prometheus()?;
    let workshop = layout.workshop();
    let _lock = workshop.lock("otlp-receiver")?;
    let file = layout.root.join("tests/suite/receivers/requirements.txt");
    let requirements =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let dir = workshop.cache.join("otlp-receiver");
    let (complete, digest) = (dir.join(".complete"), short_digest(&[&requirements]));
    if fs::read_to_string(&complete).is_ok_and(|of| of == digest) {
        return Ok(());
    }
    if !python_is_here() {
        bail!("the receiver of OpenTelemetry data needs python3 (3.10 or newer) with pip");
    }
    say(&format!("pip install {} into {}", requirements.trim(), dir.display()));
    python_environment(&workshop, &dir, &requirements)?;
    fs::write(complete, digest)?;
    Ok(())
}

fn install_prometheus() -> Result<()> {
    if probe(Command::new("promtool").arg("--version")).is_some() {
        return Ok(());
    }
    let is_root = probe(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if !is_root || probe(Command::new("apt-get").arg("--version")).is_none() {
        bail!("promtool is missing: install Prometheus, on Debian with: sudo apt-get install prometheus");
    }
    say("installing Prometheus");
    run_quietly(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    // Of no use to the tests as a service of the machine, so it is not started.
    install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    run_quietly(install.args(["install", "-qy", "--no-install-recommends", "prometheus"]))
}
