//! Programs of the host's machine, feature `process`. Needs the `process` grant for exactly this program; there is no
//! shell, no inherited environment but `PATH`, and the process ends with the call.

use std::fmt;
use std::time::Duration;

use crate::bindings::process as wit;
use crate::{Failure, wire};

/// What to run, built step by step.
///
/// ```no_run
/// use apflow_sdk::process::Command;
/// # fn run() -> Result<(), apflow_sdk::Failure> {
/// let finished = Command::new("git").args(["rev-parse", "HEAD"]).run()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Command {
    inner: wit::Command,
}

impl Command {
    /// Runs `program`, as the grant names it.
    pub fn new(program: impl Into<String>) -> Self {
        let inner = wit::Command {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            timeout_ms: None,
            extra: "{}".to_owned(),
        };
        Self { inner }
    }

    /// Adds one argument as it is.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.inner.args.push(arg.into());
        self
    }

    /// Adds arguments as they are.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.inner.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.inner.env.push((name.into(), value.into()));
        self
    }

    /// Runs in this folder, a granted one; without it in an empty one of its own.
    pub fn cwd(mut self, folder: impl Into<String>) -> Self {
        self.inner.cwd = Some(folder.into());
        self
    }

    /// Gives these bytes on standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.inner.stdin = bytes.into();
        self
    }

    /// Kills it when this time is up; the call's own deadline counts in any case.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.inner.timeout_ms = Some(wire::millis(timeout));
        self
    }

    /// Runs to the end and gives all output, whatever the exit code.
    pub fn run(&self) -> Result<Finished, Error> {
        Ok(border::run(&self.inner)?.into())
    }

    /// Starts and returns at once.
    pub fn start(&self) -> Result<Child, Error> {
        Ok(Child { inner: border::start(&self.inner)? })
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// The signal's number, where one ended it.
    pub signal: Option<i32>,
    /// Standard output, up to the output limit.
    pub stdout: Vec<u8>,
    /// Standard error, up to the output limit.
    pub stderr: Vec<u8>,
    /// Whether output over the limit was cut off.
    pub truncated: bool,
}

impl Finished {
    /// Whether it ended by itself with code 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

impl From<wit::Finished> for Finished {
    fn from(finished: wit::Finished) -> Self {
        Self {
            code: finished.code,
            signal: finished.signal,
            stdout: finished.stdout,
            stderr: finished.stderr,
            truncated: finished.truncated,
        }
    }
}

/// A running program; dropping it kills it.
#[derive(Debug)]
pub struct Child {
    inner: wit::Child,
}

impl Child {
    /// The next bytes of standard output, at most `max`; none at its end.
    pub fn read_stdout(&mut self, max: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner.read_stdout(max)?)
    }

    /// The next bytes of standard error, at most `max`; none at its end.
    pub fn read_stderr(&mut self, max: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner.read_stderr(max)?)
    }

    /// Writes to standard input; gives the number of bytes taken.
    pub fn write_stdin(&mut self, data: &[u8]) -> Result<usize, Error> {
        Ok(self.inner.write_stdin(data)? as usize)
    }

    /// Closes standard input.
    pub fn close_stdin(&mut self) -> Result<(), Error> {
        Ok(self.inner.close_stdin()?)
    }

    /// Waits for the end; holds the output that was not read.
    pub fn wait(self) -> Result<Finished, Error> {
        Ok(self.inner.wait()?.into())
    }

    /// Kills it.
    pub fn kill(&mut self) -> Result<(), Error> {
        Ok(self.inner.kill()?)
    }
}

/// Why a program did not run to its end. Each holds one sentence with the program, the rule and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No grant covers this program with these arguments.
    Denied(String),
    /// There is no such program, or it could not be started.
    Start(String),
    /// It was killed because the time was up.
    Timeout(String),
    /// Anything else: JSON text with `code` and `message`.
    Other(String),
}

impl From<wit::ProcessError> for Error {
    fn from(error: wit::ProcessError) -> Self {
        match error {
            wit::ProcessError::Denied(text) => Self::Denied(text),
            wit::ProcessError::Start(text) => Self::Start(text),
            wit::ProcessError::Timeout(text) => Self::Timeout(text),
            wit::ProcessError::Other(json) => Self::Other(json),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) | Self::Start(text) | Self::Timeout(text) | Self::Other(text) => {
                f.write_str(text)
            }
        }
    }
}

impl std::error::Error for Error {}

/// A timeout may pass; the rest will fail again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(text) => Self::permanent("process_denied", text),
            Error::Start(text) => Self::permanent("process_start", text),
            Error::Timeout(text) => Self::retryable("process_timeout", text, None),
            Error::Other(text) => wire::other_failure("process_error", &text),
        }
    }
}

/// The two imports; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use super::wit::{run, start};
}
#[cfg(not(target_family = "wasm"))]
mod border {
    use super::wit;

    pub(super) fn run(_: &wit::Command) -> Result<wit::Finished, wit::ProcessError> {
        Err(wit::ProcessError::Other(crate::wire::no_host_document("process")))
    }

    pub(super) fn start(_: &wit::Command) -> Result<wit::Child, wit::ProcessError> {
        Err(wit::ProcessError::Other(crate::wire::no_host_document("process")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_handed_over_word_by_word() {
        let command =
            Command::new("echo").arg("a b").args(["c"]).env("X", "1").timeout(Duration::from_secs(2));
        assert_eq!(command.inner.args, ["a b", "c"]);
        assert_eq!(command.inner.env, [("X".to_owned(), "1".to_owned())]);
        assert_eq!(command.inner.timeout_ms, Some(2000));
        assert_eq!(command.inner.cwd, None);
    }

    #[test]
    fn only_a_timeout_may_pass() {
        let late = Failure::from(Error::Timeout("killed after 2 s".to_owned()));
        assert!(matches!(late, Failure::Retryable { .. }), "{late:?}");
        let denied = Failure::from(Error::Denied("no grant for `rm`".to_owned()));
        assert_eq!(denied.to_string(), "process_denied: no grant for `rm`");
        assert!(matches!(denied, Failure::Permanent(_)));
    }

    #[test]
    fn success_is_code_zero_only() {
        let ended =
            |code, signal| Finished { code, signal, stdout: vec![], stderr: vec![], truncated: false };
        assert!(ended(Some(0), None).is_success());
        assert!(!ended(Some(1), None).is_success() && !ended(None, Some(9)).is_success());
    }

    #[test]
    fn outside_a_component_nothing_runs() {
        assert_eq!(Failure::from(Command::new("true").run().unwrap_err()).code(), "no_host");
    }
}
