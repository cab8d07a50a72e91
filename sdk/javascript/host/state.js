export { get, put, compareAndSet } from 'apflow:plugin/state@0.1.0';
