/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A JSON Schema (2020-12), as a plain object. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

type Simplify<T> = { [K in keyof T]: T[K] } & {};
type Members<P, R> = Simplify<
  { -readonly [K in keyof P as K extends R ? K : never]: FromSchema<P[K]> } &
  { -readonly [K in keyof P as K extends R ? never : K]?: FromSchema<P[K]> }
>;
type Named<T> = T extends 'string' ? string
  : T extends 'number' | 'integer' ? number
  : T extends 'boolean' ? boolean
  : T extends 'null' ? null
  : unknown;

/** The type of what a schema describes, for schemas of `type`, `properties`, `required`, `items`, `enum`, `const`. */
export type FromSchema<S> =
  S extends { readonly const: infer C } ? C
  : S extends { readonly enum: readonly (infer E)[] } ? E
  : S extends { readonly type: readonly (infer T)[] } ? Named<T>
  : S extends { readonly type: 'array'; readonly items: infer I } ? FromSchema<I>[]
  : S extends { readonly type: 'array' } ? unknown[]
  : S extends { readonly properties: infer P }
    ? Members<P, S extends { readonly required: readonly (infer R)[] } ? R : never>
  : S extends { readonly type: 'object' } ? Record<string, unknown>
  : S extends { readonly type: infer T } ? Named<T>
  : unknown;

/** What an executor knows about its call beside the inputs. */
export interface Context {
  readonly executor: string;
  readonly taskId: string;
  readonly treeId: string;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
  /** The same for every attempt at this task in one execution: give it to the outside world. */
  readonly idempotencyKey: string;
  /** How long this call may take, in milliseconds; undefined where there is no limit. */
  readonly timeoutMs?: number;
  /** W3C `traceparent`, if the task is traced. */
  readonly traceParent?: string;
  /** The task's params, without `executor_id`. */
  readonly params: Record<string, unknown>;
  /** Reports that `fraction` (0 to 1) is done, with one short sentence, and output that is already worth reading. */
  progress(fraction: number, message?: string, partial?: unknown): void;
}

/** One executor. The type of `inputs` follows from `inputSchema`, or is stated at the parameter. */
export interface ExecutorDefinition<S = JsonSchema> {
  /** What tasks name: lower case, digits and `_`, at most 100 characters. */
  id: string;
  /** A title for people. */
  name?: string;
  /** One paragraph: what it does and what it needs. */
  description?: string;
  /** Words to find it by. */
  tags?: readonly string[];
  /** Example inputs, each satisfying the schema. */
  examples?: readonly object[];
  /** JSON Schema of the inputs; the host checks every call against it. Without one, any object. */
  inputSchema?: S;
  /** JSON Schema of the result. */
  outputSchema?: JsonSchema;
  /** Whether an interrupted call leaves the outside world whole. */
  cancelable?: boolean;
  /** Whether running it twice with the same idempotency key has the effect of running it once. */
  idempotent?: boolean;
  /** The result to give in demo mode, or a function that makes it when the component is loaded. */
  demoResult?: unknown;
  /** Runs one attempt; synchronously. What is thrown fails it: a `Failure` as it says, anything else permanently. */
  execute(inputs: FromSchema<S>, context: Context): unknown;
}

/** The export `executor`. */
export interface ExecutorExport {
  describe(): object[];
  execute(call: object): string;
}

/** The object to export as `executor`: all executors of this component. */
export function executor<const S extends readonly unknown[]>(
  ...definitions: { [K in keyof S]: ExecutorDefinition<S[K]> }
): ExecutorExport;

export type FailureKind = 'bad-input' | 'retryable' | 'permanent' | 'cancelled';

/** A failure that says what the host shall do next. Throw it. */
export class Failure extends Error {
  private constructor();
  readonly kind: FailureKind;
  /** Stable, lower case, words joined by `_`. */
  readonly code: string;
  /** Where in the inputs it is, as a JSON pointer (RFC 6901). */
  readonly pointer?: string;
  /** More data for programs. */
  readonly extra: Record<string, unknown>;
  /** The shortest wait before the next attempt, in milliseconds. */
  readonly afterMs?: number;
  /** The inputs break the executor's contract at `pointer`. Never retried. */
  static badInput(code: string, message: string, pointer?: string, extra?: Record<string, unknown>): Failure;
  /** May pass if the call is made again. Retried as the task's retry policy says. */
  static retryable(code: string, message: string, options?: { afterMs?: number; extra?: Record<string, unknown> }): Failure;
  /** Will fail again. Never retried. */
  static permanent(code: string, message: string, extra?: Record<string, unknown>): Failure;
  /** Stopped on request. */
  static cancelled(): Failure;
}

/** Points in the life of trees and tasks. */
export type Point =
  | 'tree.created' | 'tree.started' | 'tree.completed' | 'tree.failed'
  | 'task.ready' | 'task.before-run' | 'task.after-run'
  | 'webhook.verify' | 'placement';

/** Something that happened or is about to. */
export interface HookEvent {
  readonly point: Point;
  /** RFC 3339, UTC. */
  readonly at: string;
  readonly treeId: string;
  readonly taskId?: string;
  readonly executor?: string;
  /** From 1; 0 where there is no attempt. */
  readonly attempt: number;
  /** The resolved inputs, at `task.before-run` and `task.after-run`. */
  readonly inputs?: Record<string, any>;
  /** At `task.after-run`. */
  readonly outcome?: { status: string; result?: any; error?: any; duration_ms?: number };
  /** Name, owner, params, priority and metadata of the task, or of the root at `tree.*` points. */
  readonly subject: Record<string, any>;
}

declare const decided: unique symbol;
/** What the host shall do; made by the functions of `Decision`. */
export interface Decision {
  readonly [decided]: true;
}
export const Decision: {
  /** Go on; at every point. */
  proceed(): Decision;
  /** Run with these inputs instead; at `task.before-run`. */
  replaceInputs(inputs: object): Decision;
  /** Do not run; this is the result; at `task.before-run`. */
  supplyResult(result: unknown): Decision;
  /** Run later, in so many milliseconds at the earliest; at `task.ready` and `task.before-run`. */
  delay(ms: number): Decision;
  /** Refuse, with a reason; at `tree.created`, `task.before-run`, `webhook.verify` and `placement`. */
  veto(code: string, message: string, extra?: Record<string, unknown>): Decision;
};

/** The export `hooks`. */
export interface HookExport {
  subscriptions(): object[];
  onEvent(event: object): object;
}

/** The object to export as `hooks`. A hook that returns nothing means to proceed. */
export function hook(definition: {
  /** What to hear of: a point, or a point for tasks of some executors. */
  subscriptions: readonly (Point | { point: Point; executors?: readonly string[] })[];
  onEvent(event: HookEvent): Decision | void;
}): HookExport;

/** One finished attempt or tree. */
export interface Measurement {
  /** `task.completed`, `task.failed`, `task.cancelled`, `task.retrying`, `tree.completed`, `tree.failed`, `tree.cancelled`. */
  readonly kind: string;
  /** Number in the event log; a batch that is sent again carries the same numbers. */
  readonly sequence: number;
  /** RFC 3339, UTC. */
  readonly at: string;
  readonly treeId: string;
  readonly taskId?: string;
  readonly executor?: string;
  /** From 1; 0 for trees. */
  readonly attempt: number;
  readonly durationMs: number;
  /** The error code, where it failed. */
  readonly code?: string;
  /** CPU time, memory, bytes of the attempt. */
  readonly receipt: Record<string, any>;
}

/** The export `collector`. */
export interface CollectorExport {
  collect(batch: object[]): void;
  render(): string;
}

/** The object to export as `collector`. Variables of the module are the state: they live as long as the host keeps the
 * instance. */
export function collector(definition: {
  /** Takes a batch; it comes at least once. */
  collect(batch: Measurement[]): void;
  /** The present figures for backends that pull. */
  render?(): string;
}): CollectorExport;

/** Lines for the host's log; what is no text is written as JSON. */
export const log: Record<'trace' | 'debug' | 'info' | 'warn' | 'error', (...parts: unknown[]) => void>;
