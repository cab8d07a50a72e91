// What packages expect of a browser or of Node and QuickJS does not have. `import 'apflow-plugin/globals';` first in the
// entry file, for packages that want it.
import * as log from './lib/log.js';
import { decode, encode } from './lib/wire.js';

globalThis.console ??= { trace: log.trace, debug: log.debug, log: log.info, info: log.info, warn: log.warn, error: log.error };

globalThis.TextEncoder ??= class TextEncoder {
  get encoding() { return 'utf-8'; }
  encode(text = '') { return encode(text); }
};

globalThis.TextDecoder ??= class TextDecoder {
  get encoding() { return 'utf-8'; }
  decode(bytes = new Uint8Array()) {
    const view = bytes.buffer ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes);
    const text = decode(view);
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  }
};
