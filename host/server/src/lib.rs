//! apflow-server
