import { refusing } from './refusal.js';

export const load = refusing('checkpoint');
export const save = refusing('checkpoint');
