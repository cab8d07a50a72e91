//! Read-only figures of the host's machine, feature `system`. Needs the `system` grant.

use crate::Failure;
use crate::bindings::system as wit;
use crate::wire::refused;

/// The processors.
#[derive(Debug, Clone, PartialEq)]
pub struct Cpu {
    /// Operating system: `linux`, `macos`, …
    pub os: String,
    /// Machine architecture: `x86_64`, `aarch64`, …
    pub arch: String,
    /// Model name of the first processor.
    pub brand: String,
    /// Physical cores.
    pub cores: u32,
    /// Logical processors.
    pub threads: u32,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: (f64, f64, f64),
}

/// Main memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What new programs can have without swapping.
    pub available: u64,
}

/// One mounted file system, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Its type: `ext4`, …
    pub file_system: String,
    /// Its size.
    pub total: u64,
    /// Free for unprivileged users.
    pub available: u64,
}

/// Reads the processors.
pub fn cpu() -> Result<Cpu, Failure> {
    let read = border::read_cpu().map_err(refused)?;
    Ok(Cpu {
        os: read.os,
        arch: read.arch,
        brand: read.brand,
        cores: read.cores,
        threads: read.threads,
        load: read.load,
    })
}

/// Reads main memory.
pub fn memory() -> Result<Memory, Failure> {
    let read = border::read_memory().map_err(refused)?;
    Ok(Memory { total: bytes(read.total), available: bytes(read.available) })
}

/// Reads the mounted file systems, the root one first.
pub fn disks() -> Result<Vec<Disk>, Failure> {
    let read = border::read_disks().map_err(refused)?;
    Ok(read.into_iter().map(disk).collect())
}

fn disk(read: wit::DiskFigures) -> Disk {
    Disk {
        mount: read.mount,
        file_system: read.file_system,
        total: bytes(read.total),
        available: bytes(read.available),
    }
}

/// Whole numbers cross the border in `f64`; anything else would be a host's error and is cut to the nearest count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
fn bytes(count: f64) -> u64 {
    count as u64
}

/// The three imports; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use super::wit::{read_cpu, read_disks, read_memory};
}
#[cfg(not(target_family = "wasm"))]
mod border {
    use super::wit;
    use crate::bindings::types::Issue;

    pub(super) fn read_cpu() -> Result<wit::CpuFigures, Issue> {
        Err(crate::wire::no_host("system").into())
    }

    pub(super) fn read_memory() -> Result<wit::MemoryFigures, Issue> {
        Err(crate::wire::no_host("system").into())
    }

    pub(super) fn read_disks() -> Result<Vec<wit::DiskFigures>, Issue> {
        Err(crate::wire::no_host("system").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_are_exact() {
        let read = wit::DiskFigures {
            mount: "/".to_owned(),
            file_system: "ext4".to_owned(),
            total: 9_007_199_254_740_992.0,
            available: 4096.0,
            extra: "{}".to_owned(),
        };
        assert_eq!((disk(read.clone()).total, disk(read).available), (1 << 53, 4096));
    }

    #[test]
    fn outside_a_component_there_are_no_figures() {
        assert_eq!(cpu().unwrap_err().code(), "no_host");
        assert_eq!(memory().unwrap_err().code(), "no_host");
        assert_eq!(disks().unwrap_err().code(), "no_host");
    }
}
