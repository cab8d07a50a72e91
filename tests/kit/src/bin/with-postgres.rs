//! Runs a command with `--database-url URL` at its end, where URL is an empty database on a PostgreSQL server that is there
//! for that command only: `with-postgres PROGRAM [ARGUMENT]…`. Ends with the command's exit code.

use std::process::{Command, ExitCode};

use apflow_testkit::postgres::Server;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("with-postgres: name the program to run");
        return ExitCode::from(2);
    };
    let server = Server::own();
    let database = server.database();
    let status = Command::new(&program).args(words).arg("--database-url").arg(&database.url).status();
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("with-postgres: {} cannot be started: {error}", program.display());
            ExitCode::from(3)
        }
    }
}
