export { connect } from 'apflow:plugin/net@0.1.0';
