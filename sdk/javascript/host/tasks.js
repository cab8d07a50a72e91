export { submit, awaitResult } from 'apflow:plugin/tasks@0.1.0';
