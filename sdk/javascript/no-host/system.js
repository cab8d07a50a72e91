import { refusing } from './refusal.js';

export const readCpu = refusing('system');
export const readMemory = refusing('system');
export const readDisks = refusing('system');
