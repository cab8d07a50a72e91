import { refusing } from './refusal.js';

export const run = refusing('process');
export const start = refusing('process');
