/** The placeholder for a secret, which the host replaces in requests to hosts that own it. The value is never here. */
export function placeholder(name: string): string;
