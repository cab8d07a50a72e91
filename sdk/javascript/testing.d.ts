import type { ExecutorExport, Point } from './index.js';

/** Runs an executor once, JSON in and JSON out. A failure is thrown as the host sees it: `{tag, val}`. */
export function call(executor: ExecutorExport, id: string, inputs: object, params?: object): any;

/** An event for `hooks.onEvent`: documents are given as values, what is left out is not there. */
export function event(given: {
  point: Point;
  executor?: string;
  attempt?: number;
  inputs?: object;
  outcome?: object;
  subject?: object;
}): object;

/** A measurement for `collector.collect`. */
export function measurement(given?: {
  kind?: string;
  sequence?: string;
  executor?: string;
  attempt?: number;
  durationMs?: number;
  code?: string;
  extra?: string;
}): object;
