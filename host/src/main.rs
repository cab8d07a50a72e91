//! The binary `apflow`: parses the command line, runs one command and turns its end into an exit code. Nothing heavy
//! happens before the parsing is done.

mod cli;

use std::process::ExitCode;

/// A task passes through several threads (door, engine, store), each of which frees what another allocated; mimalloc does
/// that without a lock (docs/performance.md, "What was wasted").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
