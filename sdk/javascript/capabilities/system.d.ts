export interface Cpu {
  os: string;
  arch: string;
  brand: string;
  cores: number;
  threads: number;
  /** Load averages over 1, 5 and 15 minutes. */
  load: [number, number, number];
}

export interface Memory {
  total: number;
  available: number;
}

export interface Disk {
  mount: string;
  fileSystem: string;
  total: number;
  available: number;
}

/** The processors. */
export function cpu(): Cpu;
/** Main memory, in bytes. */
export function memory(): Memory;
/** The mounted file systems, in bytes, the root one first. */
export function disks(): Disk[];
