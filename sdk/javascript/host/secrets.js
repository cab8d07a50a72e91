export { placeholder } from 'apflow:plugin/secrets@0.1.0';
