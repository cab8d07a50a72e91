//! End-to-end tests: they start the real `apflow` binary on free loopback ports and talk to it as a user or client
//! would. One module an area; [`harness`] holds what they share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#![expect(clippy::needless_pass_by_value, reason = "tests hand over JSON as they write it")]

mod authors;
mod bench;
mod black_box;
mod black_box_clone;
mod black_box_create;
mod black_box_execute;
mod children;
mod cli;
mod collectors;
mod crash;
mod docs;
mod examples;
mod faults;
mod harness;
mod hooks;
mod hostile;
mod languages;
mod limits;
mod on_postgres;
mod packages;
mod peers;
mod reload;
mod schedules;
mod site;
mod tidy;
mod trials;
mod webhooks;
