//! apflow-store
