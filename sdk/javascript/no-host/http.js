import { refusing } from './refusal.js';

export const send = refusing('http');
export const sendStreamed = refusing('http');
