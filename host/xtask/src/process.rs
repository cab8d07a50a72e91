//! Running other programs: say what is done in one line, then run it. How failures become errors is `apflow-toolchain`'s.

pub use apflow_toolchain::{line, probe, run, run_quietly};

/// One line about the step that begins.
pub fn say(step: &str) {
    eprintln!("xtask: {step}");
}
