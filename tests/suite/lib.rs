//! End-to-end tests; everything lives in the one test binary `main.rs`.
