/** The newest checkpoint of this task; undefined if there is none. */
export function load(): any;
/** Replaces the checkpoint. It is durable when this returns. */
export function save(data: unknown): void;
