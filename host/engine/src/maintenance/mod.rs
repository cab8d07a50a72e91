//! The loops beside the dispatcher, one a file.

pub(crate) mod collectors;
pub(crate) mod deadlines;
pub(crate) mod peers;
pub(crate) mod retention;
pub(crate) mod schedules;
pub(crate) mod session;
pub(crate) mod tidying;
pub(crate) mod webhooks;
