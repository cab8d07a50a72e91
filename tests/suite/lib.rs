//! The long trials: programs that run real hosts for minutes, and prove at the end that nothing was lost. The suite runs
//! each of them in a short form; `cargo xtask campaign` and `cargo xtask soak` run them at length.

pub mod trial;
