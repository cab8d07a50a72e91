//! The binary `apflow`: parses the command line, runs one command and turns its end into an exit code. Nothing heavy
//! happens before the parsing is done.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
