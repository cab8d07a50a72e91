//! What all databases do alike: the verbs whose decisions are made in Rust, the reading, what goes into a turn and what
//! comes out of it. SQL stands here only where one text does for all.

pub(crate) mod answer;
pub(crate) mod cancel;
pub(crate) mod clone;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod execute;
pub(crate) mod expire;
pub(crate) mod finished;
pub(crate) mod gates;
pub(crate) mod insert;
pub(crate) mod plugins;
pub(crate) mod query;
pub(crate) mod receipt;
pub(crate) mod schedules;
pub(crate) mod session;
pub(crate) mod skeleton;
pub(crate) mod update;
pub(crate) mod view;
pub(crate) mod webhooks;
