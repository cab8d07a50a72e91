export { report } from 'apflow:plugin/progress@0.1.0';
