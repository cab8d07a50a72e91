import { refusing } from './refusal.js';

export const submit = refusing('tasks');
export const awaitResult = refusing('tasks');
