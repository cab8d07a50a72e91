//! apflow-wasm
