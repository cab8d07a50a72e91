export { load, save } from 'apflow:plugin/checkpoint@0.1.0';
