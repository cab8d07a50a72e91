// Lines for the host's log. The host adds plugin, task and attempt, and limits the number and length of lines a call.
import { write } from '#host/log';

const line = (level) => (...parts) => write(level, parts.map(shown).join(' ').toWellFormed());

function shown(part) {
  if (typeof part === 'string') return part;
  try {
    return JSON.stringify(part) ?? String(part);
  } catch {
    return String(part);
  }
}

export const trace = line('trace');
export const debug = line('debug');
export const info = line('info');
export const warn = line('warn');
export const error = line('error');
