/** Submits a tree as children of the running task; gives the root's id. The same key, the same tree. */
export function submit(tree: readonly object[], idempotencyKey: string): string;
/** Waits for a submitted tree. */
export function awaitResult(rootId: string): { status: string; result?: any; error?: any };
