import { refusing } from './refusal.js';

export const get = refusing('state');
export const put = refusing('state');
export const compareAndSet = refusing('state');
