// References to secrets. Needs the `secrets` grant.
import * as host from '#host/secrets';
import { asked, refused } from '../lib/refused.js';

/** The placeholder for a secret, which the host replaces in requests to hosts that own it. The value is never here. */
export const placeholder = (name) => asked(refused, () => host.placeholder(name));
