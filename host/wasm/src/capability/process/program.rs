//! Starts one program, feeds it, waits for it and ends it. A program gets a process group of its own, so that what it
//! has started ends with it. Whether it may be started at all was decided before.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child as Process, ChildStdin, Command as Builder};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::output::Output;
use crate::bindings::v0_1::process::{Command, Finished, ProcessError};
use crate::grants::Grants;

/// How long output may still come after the end, from programs that left the group and hold the pipes.
const LATE_OUTPUT: Duration = Duration::from_secs(1);

/// A running program; dropping it kills it.
#[derive(Debug)]
pub struct Child {
    program: String,
    process: Process,
    group: Option<Pid>,
    stdin: Stdin,
    deadline: Option<Instant>,
    /// All of standard output.
    pub stdout: Output,
    /// All of standard error.
    pub stderr: Output,
    ended: Option<ExitStatus>,
    /// Where it runs, if no folder was given.
    _scratch: Option<TempDir>,
}

impl Child {
    /// Starts `cmd` in `folder`, or in an empty one of its own, keeping at most `cap` bytes of each output.
    pub fn start(cmd: Command, folder: Option<&Path>, cap: usize) -> Result<Self, ProcessError> {
        let Command { program, args, env, cwd: _, stdin, timeout_ms, extra: _ } = cmd;
        let failed = |problem: String| ProcessError::Start(format!("`{program}` did not start: {problem}"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let file =
            find(&program, &path).ok_or_else(|| failed("no such program in the host's PATH".into()))?;
        let scratch = match folder {
            Some(_) => None,
            None => Some(TempDir::with_prefix("apflow-").map_err(|error| failed(error.to_string()))?),
        };
        let folder = folder.or(scratch.as_ref().map(TempDir::path));
        let mut builder = Builder::new(file);
        builder
            .args(&args)
            .env_clear()
            .env("PATH", &path)
            .envs(env)
            .current_dir(folder.unwrap_or(Path::new("/")));
        builder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        builder.process_group(0).kill_on_drop(true);
        let mut process = builder.spawn().map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            group: process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
            stdin: Stdin::open(process.stdin.take(), stdin),
            deadline: timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms.into())),
            stdout: Output::pump(process.stdout.take(), cap),
            stderr: Output::pump(process.stderr.take(), cap),
            process,
            program,
            ended: None,
            _scratch: scratch,
        })
    }

    /// What is left of the time that was given at the start.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Writes to standard input and gives the number of bytes taken.
    pub async fn write_stdin(&mut self, data: &[u8]) -> Result<u32, ProcessError> {
        let problem = |error| {
            ProcessError::Other(serde_json::json!({"code": "stdin_closed", "message": error}).to_string())
        };
        let Some(pipe) = &self.stdin.pipe else {
            return Err(problem("standard input was closed".to_owned()));
        };
        let mut pipe = pipe.lock().await;
        let Some(pipe) = pipe.as_mut() else { return Err(problem("the program takes no input".to_owned())) };
        let taken = pipe.write(data).await.map_err(|error| problem(error.to_string()))?;
        Ok(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// Closes standard input once everything before has been written.
    pub fn close_stdin(&mut self) {
        self.stdin.pipe = None;
    }

    /// Waits for the end, at most `limit`; then it is killed.
    pub async fn finish(&mut self, limit: Option<Duration>) -> Result<Finished, ProcessError> {
        self.stdout.discard_overflow();
        self.stderr.discard_overflow();
        let status = match (self.ended, limit) {
            (Some(status), _) => status,
            (None, None) => self.process.wait().await.map_err(|error| self.lost(&error))?,
            (None, Some(limit)) => match tokio::time::timeout(limit, self.process.wait()).await {
                Ok(status) => status.map_err(|error| self.lost(&error))?,
                Err(_) => {
                    self.kill();
                    return Err(ProcessError::Timeout(format!(
                        "`{}` was killed after {} ms (timeout-ms)",
                        self.program,
                        limit.as_millis()
                    )));
                }
            },
        };
        self.ended = Some(status);
        self.kill_group();
        let both = async { (self.stdout.rest().await, self.stderr.rest().await) };
        let late = tokio::time::timeout(LATE_OUTPUT, both).await;
        let ((stdout, cut_out), (stderr, cut_err)) =
            late.unwrap_or_else(|_| (self.stdout.so_far(), self.stderr.so_far()));
        let truncated = cut_out || cut_err;
        let (code, signal) = (status.code(), status.signal());
        Ok(Finished { code, signal, stdout, stderr, truncated, extra: "{}".into() })
    }

    /// Kills it and what it has started.
    pub fn kill(&mut self) {
        self.kill_group();
        // It may have ended already, and then there is nothing to kill.
        let _ = self.process.start_kill();
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn lost(&self, error: &std::io::Error) -> ProcessError {
        let message = format!("`{}` cannot be waited for: {error}", self.program);
        ProcessError::Other(serde_json::json!({"code": "wait_failed", "message": message}).to_string())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// Standard input: first what came with the command, in the background, then what the guest writes.
#[derive(Debug)]
struct Stdin {
    pipe: Option<Arc<Mutex<Option<ChildStdin>>>>,
    first: AbortHandle,
}

impl Stdin {
    fn open(pipe: Option<ChildStdin>, first: Vec<u8>) -> Self {
        let pipe = Arc::new(Mutex::new(pipe));
        let own = Arc::clone(&pipe);
        // Locked before anyone else can, so that nothing overtakes it.
        let locked = own.try_lock_owned();
        let first = tokio::spawn(async move {
            if let Ok(mut pipe) = locked
                && let Some(stdin) = pipe.as_mut()
                && stdin.write_all(&first).await.is_err()
            {
                *pipe = None; // The program does not read; that is its business.
            }
        });
        Self { pipe: Some(pipe), first: first.abort_handle() }
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        self.first.abort();
    }
}

/// The file of a program: an absolute path as it is, a bare name as the host's `PATH` has it.
fn find(program: &str, path: &OsString) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(program.into());
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The folder of the host behind a path of the guest, if it lies in a granted one, links resolved.
pub(crate) fn granted_folder(grants: &Grants, guest: &str) -> Result<PathBuf, ProcessError> {
    let denied = || {
        let plugin = grants.plugin();
        ProcessError::Denied(format!(
            "Plugin '{plugin}' may not run programs in `{guest}`: it lies in no granted folder. To permit it, write in \
             plugin.toml under [requests] and in apflow.toml under [plugins.{plugin}.grants] fs = [{{ guest = \"{guest}\" }}]"
        ))
    };
    let within = |folder: crate::grants::Folder| {
        let below = Path::new(guest).strip_prefix(&folder.guest).ok()?;
        let top = folder.host.canonicalize().ok()?;
        let place = top.join(below).canonicalize().ok()?;
        (place.starts_with(&top) && place.is_dir()).then_some(place)
    };
    grants.folders().into_iter().find_map(within).ok_or_else(denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str, args: &[&str]) -> Command {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Command {
            program: program.into(),
            args,
            env: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            timeout_ms: None,
            extra: "{}".into(),
        }
    }

    async fn run(command: Command, cap: usize) -> Result<Finished, ProcessError> {
        let limit = command.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let mut child = Child::start(command, None, cap)?;
        child.close_stdin();
        child.finish(limit).await
    }

    #[tokio::test]
    async fn a_program_gets_its_input_and_an_environment_of_path_alone() {
        let echoed = run(Command { stdin: b"hello".to_vec(), ..command("cat", &[]) }, 100).await.unwrap();
        assert_eq!((echoed.code, echoed.stdout.as_slice()), (Some(0), &b"hello"[..]));
        let env = run(command("env", &[]), 10_000).await.unwrap();
        let env = String::from_utf8(env.stdout).unwrap();
        assert!(env.lines().all(|line| line.starts_with("PATH=")), "{env}");
    }

    #[tokio::test]
    async fn output_over_the_cap_is_cut_off_and_the_program_ends() {
        let ended = run(command("head", &["-c", "1000000", "/dev/zero"]), 1000).await.unwrap();
        assert_eq!((ended.code, ended.stdout.len(), ended.truncated), (Some(0), 1000, true));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_its_children() {
        let script = "sleep 600 & echo $!; wait";
        let mut child = Child::start(command("sh", &["-c", script]), None, 100).unwrap();
        let id = String::from_utf8(child.stdout.read(100).await.unwrap()).unwrap();
        let error = child.finish(Some(Duration::from_millis(1))).await.unwrap_err();
        assert!(matches!(error, ProcessError::Timeout(text) if text.contains("timeout-ms")));
        // A killed process that nobody has waited for still has an id; its state says that it is dead.
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let Err(ProcessError::Start(text)) = Child::start(command("no-such-program", &[]), None, 1) else {
            panic!()
        };
        assert!(text.contains("no-such-program"), "{text}");
    }

    #[tokio::test]
    async fn signals_and_later_input_are_seen() {
        let mut child =
            Child::start(Command { stdin: b"a".to_vec(), ..command("cat", &[]) }, None, 100).unwrap();
        assert_eq!(child.stdout.read(10).await.as_deref(), Some(&b"a"[..]));
        assert_eq!(child.write_stdin(b"b").await.unwrap(), 1);
        assert_eq!(child.stdout.read(10).await.as_deref(), Some(&b"b"[..]));
        child.kill();
        let ended = child.finish(None).await.unwrap();
        assert_eq!((ended.code, ended.signal), (None, Some(9)));
    }

    #[test]
    fn a_working_folder_must_be_granted_and_links_do_not_lead_out() {
        let top = tempfile::tempdir().unwrap();
        let inside = top.path().join("granted/sub");
        std::fs::create_dir_all(&inside).unwrap();
        std::os::unix::fs::symlink("/", top.path().join("granted/out")).unwrap();
        let host = top.path().join("granted");
        let side: crate::grants::Capabilities =
            toml::from_str(&format!("fs = [{{ guest = \"/data\", host = \"{}\" }}]", host.display()))
                .unwrap();
        let grants = Grants::new("p", side.clone(), side);
        assert_eq!(granted_folder(&grants, "/data/sub").ok(), inside.canonicalize().ok());
        for refused in ["/data/out", "/data/../..", "/", "sub", "/data/missing"] {
            assert!(matches!(granted_folder(&grants, refused), Err(ProcessError::Denied(_))), "{refused}");
        }
    }
}
