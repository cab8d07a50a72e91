//! apflow-host
