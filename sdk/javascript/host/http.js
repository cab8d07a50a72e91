export { send, sendStreamed } from 'apflow:plugin/http@0.1.0';
