export { write } from 'apflow:plugin/log@0.1.0';
