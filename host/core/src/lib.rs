//! apflow-core
