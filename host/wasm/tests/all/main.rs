//! The sandbox with real components, in one binary: `loading` what is and is not a plugin, `calls` and their receipts,
//! `limits` and crashes, `cancelling`, `capability` by capability, `sharing` of instances, `reloading` while calls run, `allowing` more and less meanwhile.
//! Components are built by `cargo xtask plugins`; without them every test fails with that command.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod allowing;
mod calls;
mod cancelling;
mod capability;
mod deciding;
mod every_call;
mod harness;
mod limits;
mod loading;
mod reloading;
mod sharing;
