import { refusing } from './refusal.js';

export const placeholder = refusing('secrets');
