"""Read-only figures of the host's machine. Needs the `system` grant."""

from dataclasses import dataclass

from ._border import capability
from ._refused import asked, refused

_host = capability("system")


@dataclass
class Cpu:
    """The processors."""

    os: str
    arch: str
    brand: str
    cores: int
    threads: int
    #: Load averages over 1, 5 and 15 minutes.
    load: tuple[float, float, float]


@dataclass
class Memory:
    """Main memory, in bytes."""

    total: int
    available: int


@dataclass
class Disk:
    """One mounted file system, in bytes."""

    mount: str
    file_system: str
    total: int
    available: int


def cpu() -> Cpu:
    """Reads the processors."""
    read = asked(refused, lambda: _host.read_cpu())
    return Cpu(read.os, read.arch, read.brand, read.cores, read.threads, read.load)


def memory() -> Memory:
    """Reads main memory."""
    read = asked(refused, lambda: _host.read_memory())
    return Memory(int(read.total), int(read.available))


def disks() -> list[Disk]:
    """Reads the mounted file systems, the root one first."""
    read = asked(refused, lambda: _host.read_disks())
    return [Disk(one.mount, one.file_system, int(one.total), int(one.available)) for one in read]
