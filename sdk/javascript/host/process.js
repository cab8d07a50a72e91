export { run, start } from 'apflow:plugin/process@0.1.0';
