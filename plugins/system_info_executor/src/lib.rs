//! `system_info_executor`: processors, memory and disks of the host's machine. All figures come from the host's
//! read-only `system` interface; this plugin only gives them the names and units that users of this executor know.

use apflow_sdk::prelude::*;
use apflow_sdk::system;

mod size;

/// Which figures to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Resource {
    Cpu,
    Memory,
    Disk,
    #[default]
    All,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Which figures to read.
    #[serde(default)]
    resource: Resource,
    /// Seconds; accepted for compatibility. Reading takes no time worth limiting.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "part of the contract, without effect")]
    timeout: u32,
}

fn thirty() -> u32 {
    30
}

/// Either the figures of one resource, or those of all of them by resource.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Figures {
    Cpu(Cpu),
    Memory(Memory),
    Disk(Disk),
    All { cpu: Cpu, memory: Memory, disk: Disk },
}

#[derive(Debug, Serialize, JsonSchema)]
struct Cpu {
    /// Operating system: `Linux`, `Darwin`, `Windows`, …
    system: String,
    /// Model name of the first processor.
    brand: String,
    /// Physical cores.
    cores: u32,
    /// Logical processors.
    threads: u32,
    /// Machine architecture.
    arch: String,
    /// Load averages over 1, 5 and 15 minutes.
    load: (f64, f64, f64),
}

#[derive(Debug, Serialize, JsonSchema)]
struct Memory {
    /// Operating system.
    system: String,
    /// All of it, for people: `31Gi`.
    total: String,
    /// All of it in GiB, two digits.
    total_gb: f64,
    /// All of it in bytes.
    total_bytes: u64,
    /// What new programs can have without swapping, in bytes.
    available_bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Disk {
    /// Operating system.
    system: String,
    /// Where the file system is mounted.
    mount: String,
    /// Its size, for people: `98G`.
    total: String,
    /// What is taken.
    used: String,
    /// What is free for unprivileged users.
    available: String,
    /// `42%`.
    used_percent: String,
    /// Its size in bytes.
    total_bytes: u64,
    /// What is free in bytes.
    available_bytes: u64,
}

struct SystemInfo;

impl Executor for SystemInfo {
    const ID: &'static str = "system_info_executor";
    const NAME: &'static str = "System information";
    const DESCRIPTION: &'static str = "Reads the machine's processors, main memory and root file system. Runs no programs. Needs the `system` grant.";
    const TAGS: &'static [&'static str] = &["system", "info", "safe"];
    const CANCELABLE: bool = true;
    const IDEMPOTENT: bool = true;
    type Input = Query;
    type Output = Figures;

    fn execute(query: Query, _ctx: &Context) -> Result<Figures, Failure> {
        Ok(match query.resource {
            Resource::Cpu => Figures::Cpu(cpu(system::cpu()?)),
            Resource::Memory => Figures::Memory(memory(&system_name()?, system::memory()?)),
            Resource::Disk => Figures::Disk(disk(&system_name()?, root(system::disks()?)?)),
            Resource::All => {
                let cpu = cpu(system::cpu()?);
                let memory = memory(&cpu.system, system::memory()?);
                let disk = disk(&cpu.system, root(system::disks()?)?);
                Figures::All { cpu, memory, disk }
            }
        })
    }

    fn examples() -> Vec<Value> {
        vec![json!({}), json!({"resource": "cpu"})]
    }

    fn demo_result() -> Option<Figures> {
        let machine = demo_machine();
        let cpu = cpu(machine.0);
        let memory = memory(&cpu.system, machine.1);
        let disk = disk(&cpu.system, machine.2);
        Some(Figures::All { cpu, memory, disk })
    }
}

apflow_sdk::export_executors!(SystemInfo);

fn system_name() -> Result<String, Failure> {
    Ok(name(&system::cpu()?.os))
}

/// The operating system as `uname` writes it, which users of this executor compare with.
fn name(os: &str) -> String {
    match os {
        "linux" => "Linux".to_owned(),
        "macos" => "Darwin".to_owned(),
        "windows" => "Windows".to_owned(),
        other => other.to_owned(),
    }
}

fn cpu(read: system::Cpu) -> Cpu {
    Cpu {
        system: name(&read.os),
        brand: read.brand,
        cores: read.cores,
        threads: read.threads,
        arch: read.arch,
        load: read.load,
    }
}

fn memory(system: &str, read: system::Memory) -> Memory {
    Memory {
        system: system.to_owned(),
        total: size::binary(read.total),
        total_gb: size::gib(read.total),
        total_bytes: read.total,
        available_bytes: read.available,
    }
}

fn disk(system: &str, read: system::Disk) -> Disk {
    let used = read.total.saturating_sub(read.available);
    Disk {
        system: system.to_owned(),
        mount: read.mount,
        total: size::short(read.total),
        used: size::short(used),
        available: size::short(read.available),
        used_percent: size::percent(used, read.total),
        total_bytes: read.total,
        available_bytes: read.available,
    }
}

/// The host gives the root file system first.
fn root(disks: Vec<system::Disk>) -> Result<system::Disk, Failure> {
    let none =
        || Failure::permanent("no_disk", "the host sees no mounted file system; ask for `cpu` or `memory`");
    disks.into_iter().next().ok_or_else(none)
}

fn demo_machine() -> (system::Cpu, system::Memory, system::Disk) {
    let cpu = system::Cpu {
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        brand: "Demo processor".to_owned(),
        cores: 4,
        threads: 8,
        load: (0.5, 0.4, 0.3),
    };
    let memory = system::Memory { total: 16 << 30, available: 10 << 30 };
    let disk = system::Disk {
        mount: "/".to_owned(),
        file_system: "ext4".to_owned(),
        total: 500 << 30,
        available: 300 << 30,
    };
    (cpu, memory, disk)
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::call;

    use super::*;

    #[test]
    fn figures_have_the_known_names() {
        let demo = serde_json(SystemInfo::demo_result());
        assert_eq!(demo["cpu"]["system"], "Linux");
        assert_eq!(demo["cpu"]["cores"], 4);
        assert_eq!(demo["memory"]["total"], "16Gi");
        assert_eq!(demo["memory"]["total_gb"], 16.0);
        assert_eq!(demo["disk"]["used"], "200G");
        assert_eq!(demo["disk"]["used_percent"], "40%");
    }

    #[test]
    fn an_unknown_resource_is_bad_input_and_names_the_choices() {
        let failure = call::<SystemInfo>(json!({"resource": "gpu"})).unwrap_err();
        let issue = failure.issue().unwrap();
        assert_eq!(issue.pointer.as_deref(), Some("/resource"));
        assert!(issue.message.contains("`cpu`, `memory`, `disk`, `all`"), "{}", issue.message);
    }

    #[test]
    fn without_a_host_there_are_no_figures() {
        assert_eq!(call::<SystemInfo>(json!({})).unwrap_err().code(), "no_host");
    }

    fn serde_json(value: impl Serialize) -> Value {
        apflow_sdk::serde_json::to_value(value).unwrap()
    }
}
