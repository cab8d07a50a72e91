//! What the trials are made of: host processes that may die at any moment ([`host`]), a client that lives with that
//! ([`client`]), trees of many shapes ([`shapes`]), callers that keep a record of what they were told ([`callers`]), readers
//! of the log ([`readers`]), the databases ([`database`]), the campaign of crashes ([`campaign`]) and the soak ([`soak`]).

pub mod callers;
pub mod campaign;
pub mod client;
pub mod database;
pub mod host;
pub mod misfortune;
pub mod readers;
pub mod shapes;
pub mod soak;
pub mod verdict;
