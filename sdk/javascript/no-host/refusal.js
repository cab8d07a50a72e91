// What a capability answers in unit tests under Node.
import { Failure } from '../lib/failure.js';

export const refusing = (capability) => () => {
  throw Failure.permanent('no_host', `\`${capability}\` exists only inside a host; test the parts that do not need it`);
};
