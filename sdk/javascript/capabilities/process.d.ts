export interface Options {
  env?: Record<string, string>;
  /** A granted folder; an empty one if it is left out. */
  cwd?: string;
  stdin?: Uint8Array | string;
  timeoutMs?: number;
}

export interface Finished {
  /** The exit code; undefined where a signal ended it. */
  readonly code?: number;
  readonly signal?: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** Standard output as text. */
  readonly output: string;
  /** Standard error as text. */
  readonly errors: string;
  /** Whether output over the limit was cut off. */
  readonly truncated: boolean;
  /** Whether it ended by itself with code 0. */
  readonly ok: boolean;
}

/** A running program. */
export interface Child {
  /** The next bytes, at most `max`; undefined at the end. */
  readStdout(max?: number): Uint8Array | undefined;
  readStderr(max?: number): Uint8Array | undefined;
  /** Gives the number of bytes taken. */
  writeStdin(data: Uint8Array | string): number;
  closeStdin(): void;
  /** Waits for the end; holds the output that was not read. */
  wait(): Finished;
  kill(): void;
  /** Gives it up; a program that still runs is killed. */
  drop(): void;
}

/** Runs to the end and gives all output, whatever the exit code. */
export function run(program: string, args?: readonly unknown[], options?: Options): Finished;
/** Starts and returns at once. */
export function start(program: string, args?: readonly unknown[], options?: Options): Child;
