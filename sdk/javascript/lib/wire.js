// JSON text to values and back, and bytes to text: the border between JavaScript and the documents of the contract.

/** Reads JSON text; what is none is what `otherwise` gives or throws. */
export function parse(text, otherwise) {
  try {
    return JSON.parse(text);
  } catch (error) {
    return otherwise(error);
  }
}

/** UTF-8. Half of a surrogate pair becomes U+FFFD. */
export function encode(text) {
  const escaped = encodeURIComponent(String(text).toWellFormed());
  const bytes = [];
  for (let at = 0; at < escaped.length; at += 1) {
    if (escaped[at] === '%') {
      bytes.push(parseInt(escaped.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(escaped.charCodeAt(at));
    }
  }
  return Uint8Array.from(bytes);
}

/** Text of UTF-8 bytes; what is none becomes U+FFFD, once for each longest broken piece (the WHATWG's rule). */
export function decode(bytes) {
  const pieces = [];
  let units = [];
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at++];
    const more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : -1;
    let point = more < 0 ? 0xfffd : more === 0 ? lead : lead & (0x3f >> more);
    // The second byte's range rules out overlong forms, surrogates and what is above U+10FFFF.
    let low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    let high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    for (let left = more; left > 0; left -= 1) {
      if (!(bytes[at] >= low && bytes[at] <= high)) {
        point = 0xfffd;
        break;
      }
      point = (point << 6) | (bytes[at++] & 0x3f);
      [low, high] = [0x80, 0xbf];
    }
    units.push(point);
    if (units.length === 4096) {
      pieces.push(String.fromCodePoint(...units));
      units = [];
    }
  }
  return pieces.join('') + String.fromCodePoint(...units);
}

/** Bytes of a body: bytes as they are, text as UTF-8. */
export function bytes(body) {
  if (body == null) return new Uint8Array();
  return typeof body === 'string' ? encode(body) : body;
}

/** Names and values as the contract has them: of an object, or of pairs. */
export function pairs(given = []) {
  const list = Array.isArray(given) ? given : Object.entries(given);
  return list.map(([name, value]) => [String(name), String(value)]);
}
