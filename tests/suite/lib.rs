//! End-to-end tests of the real binary. Everything lives in the one test binary `main.rs`; this library is empty.
