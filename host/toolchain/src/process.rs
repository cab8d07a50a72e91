//! Running other programs, and turning a failure into an error that names the command.

use anyhow::{Context, Result, bail};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Runs to the end with the terminal shared; anything but exit code 0 is an error.
///
/// # Errors
/// If it cannot be started, or does not end well.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs to the end in silence; its output is shown only in the error.
///
/// # Errors
/// If it cannot be started, or does not end well.
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("{} ended with {}:\n{}", line(command), output.status, String::from_utf8_lossy(&text).trim());
    }
    Ok(())
}

/// Standard output, trimmed; anything but exit code 0 is an error that holds what it wrote.
///
/// # Errors
/// If it cannot be started, or does not end well.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", line(command), output.status, text.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Standard output, trimmed, of a program that may be missing or fail: then none.
pub fn probe(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs in silence for at most `limit`, then kills it. The error is what it wrote, or that the time was up.
///
/// # Errors
/// If it cannot be started, or does not end well.
pub fn run_within(limit: Duration, command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", line(command)))?;
    let mut stderr = child.stderr.take().context("the error output is not piped")?;
    let (sender, ended) = mpsc::channel();
    // The pipe closes when the program ends, so reading it to the end is waiting for the program.
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        let _ = sender.send(text);
    });
    let Ok(text) = ended.recv_timeout(limit) else {
        child.kill()?;
        child.wait()?;
        bail!("{} took longer than {} s", line(command), limit.as_secs());
    };
    if !child.wait()?.success() {
        bail!("{}", text.lines().last().unwrap_or("it failed without a word"));
    }
    Ok(())
}

/// The command as a person would type it.
pub fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(name.into()).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_at_the_limit() {
        let error = run_within(Duration::from_millis(50), Command::new("sleep").arg("600")).unwrap_err();
        assert_eq!(error.to_string(), "sleep 600 took longer than 0 s");
    }

    #[test]
    fn a_failure_gives_the_last_line_it_wrote() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo last >&2; exit 3"]);
        assert_eq!(run_within(Duration::from_secs(60), &mut command).unwrap_err().to_string(), "last");
        let error = run_quietly(&mut command).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("first"), "{error}");
        let error = read(&mut command).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("last"), "{error}");
    }
}
