// Read-only figures of the host's machine. Needs the `system` grant. Byte counts are whole numbers.
import * as host from '#host/system';
import { asked, refused } from '../lib/refused.js';

const plain = ({ extra, ...figures }) => figures;

/** The processors. */
export const cpu = () => plain(asked(refused, () => host.readCpu()));

/** Main memory, in bytes. */
export const memory = () => plain(asked(refused, () => host.readMemory()));

/** The mounted file systems, in bytes, the root one first. */
export const disks = () => asked(refused, () => host.readDisks()).map(plain);
