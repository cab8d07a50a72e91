import { refusing } from './refusal.js';

export const connect = refusing('net');
