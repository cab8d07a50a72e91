//! x
pub(crate) mod v0_1;
