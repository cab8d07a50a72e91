export interface Entry {
  value: any;
  /** Changes with every write; for `compareAndSet`. */
  version: string;
}

/** Undefined if the key is not set. */
export function get(key: string): Entry | undefined;
/** Writes a key whatever is there. */
export function put(key: string, value: unknown): void;
export function remove(key: string): void;
/** Writes only if the version is still `expected` (undefined: only if the key is not set); a value of undefined removes.
 * Says whether it did. */
export function compareAndSet(key: string, expected: string | undefined, value: unknown): boolean;
