//! `system`: read-only figures of the machine, for plugins that have the `system` grant.

use std::path::Path;

use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};
use wasmtime::Result;

use crate::bindings::v0_1::system::{CpuFigures, DiskFigures, Host, MemoryFigures};
use crate::bindings::v0_1::types::Issue;
use crate::grants::Denied;
use crate::state::GuestState;

impl Host for GuestState {
    async fn read_cpu(&mut self) -> Result<Result<CpuFigures, Issue>> {
        self.read_figures(cpu).await
    }

    async fn read_memory(&mut self) -> Result<Result<MemoryFigures, Issue>> {
        self.read_figures(memory).await
    }

    async fn read_disks(&mut self) -> Result<Result<Vec<DiskFigures>, Issue>> {
        self.read_figures(disks).await
    }
}

impl GuestState {
    async fn read_figures<T: Send + 'static>(&mut self, read: fn() -> T) -> Result<Result<T, Issue>> {
        self.enter()?;
        if let Err(denied) = self.identity.grants.get().system() {
            return Ok(Err(refusal(&denied)));
        }
        // Figures come from files of the kernel and, for disks, from file systems that may be slow.
        Ok(Ok(tokio::task::spawn_blocking(read).await?))
    }
}

fn refusal(denied: &Denied) -> Issue {
    Issue { code: denied.code().into(), message: denied.to_string(), pointer: None, extra: "{}".into() }
}

fn cpu() -> CpuFigures {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let threads = system.cpus().len();
    let load = System::load_average();
    CpuFigures {
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        brand: system.cpus().first().map(|cpu| cpu.brand().to_owned()).unwrap_or_default(),
        cores: count(System::physical_core_count().unwrap_or(threads)),
        threads: count(threads),
        load: (load.one, load.five, load.fifteen),
        extra: "{}".into(),
    }
}

fn memory() -> MemoryFigures {
    let refresh = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(refresh);
    MemoryFigures {
        total: system.total_memory() as f64,
        available: system.available_memory() as f64,
        extra: "{}".into(),
    }
}

fn disks() -> Vec<DiskFigures> {
    let disks = Disks::new_with_refreshed_list();
    let mut figures: Vec<_> = disks
        .iter()
        .map(|disk| DiskFigures {
            mount: disk.mount_point().display().to_string(),
            file_system: disk.file_system().to_string_lossy().into_owned(),
            total: disk.total_space() as f64,
            available: disk.available_space() as f64,
            extra: "{}".into(),
        })
        .collect();
    figures.sort_by_key(|figure| (Path::new(&figure.mount) != Path::new("/"), figure.mount.clone()));
    figures
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_figures() {
        let cpu = cpu();
        assert!(cpu.threads >= 1 && cpu.cores >= 1 && !cpu.os.is_empty());
        let memory = memory();
        assert!(memory.total > 0.0 && memory.available <= memory.total);
    }
}
