//! apflow-engine
