export { readCpu, readMemory, readDisks } from 'apflow:plugin/system@0.1.0';
