//! `command_executor`: runs one program with its arguments. No shell takes part: the command line is split into words
//! here, what only a shell could do is refused (`words`), and the host starts the program if the operator granted it.

use std::time::Duration;

use apflow_sdk::prelude::*;
use apflow_sdk::process::{self, Command, Finished};

mod words;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The program and its arguments, quoted as for a shell: `grep -c "two words" notes.txt`. Variables, patterns,
    /// pipes and redirections are not known.
    command: String,
    /// Seconds until the program is killed and the task fails.
    #[serde(default = "thirty")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    timeout: f64,
}

fn thirty() -> f64 {
    30.0
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Always true: a program that fails fails the task.
    success: bool,
    /// The exit code, 0.
    return_code: i32,
    /// Standard output without white space around it.
    stdout: String,
    /// Standard error without white space around it.
    stderr: String,
    /// There, and true, where output over the host's limit was cut off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

struct RunCommand;

impl Executor for RunCommand {
    const ID: &'static str = "command_executor";
    const NAME: &'static str = "Command";
    const DESCRIPTION: &'static str = "Runs one program with its arguments, without a shell, and returns what it wrote. \
        Disabled until the operator grants programs by name (`process`). A non-zero exit code fails the task.";
    const TAGS: &'static [&'static str] = &["process", "command", "stdio"];
    type Input = Input;
    type Output = Output;

    fn execute(input: Input, _ctx: &Context) -> Result<Output, Failure> {
        let words = words::split(&input.command)?;
        let (program, args) = words.split_first().ok_or_else(nothing_to_run)?;
        let command = Command::new(program).args(args).timeout(seconds(input.timeout)?);
        outcome(program, input.timeout, command.run())
    }

    fn examples() -> Vec<Value> {
        vec![
            json!({"command": "echo hello"}),
            json!({"command": "git log -1 --format='%an, %s'", "timeout": 5}),
        ]
    }

    fn demo_result() -> Option<Output> {
        let stdout = "Hello, World!".to_owned();
        Some(Output { success: true, return_code: 0, stdout, stderr: String::new(), truncated: false })
    }
}

apflow_sdk::export_executors!(RunCommand);

fn nothing_to_run() -> Failure {
    Failure::bad_input("empty_command", "command is empty; give a program and its arguments", "/command")
}

fn seconds(timeout: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(timeout).ok().filter(|time| !time.is_zero()).ok_or_else(|| {
        let message = format!("timeout is {timeout}; give a number of seconds above 0");
        Failure::bad_input("invalid_timeout", message, "/timeout")
    })
}

/// What the end of the program means for the task.
fn outcome(program: &str, timeout: f64, ran: Result<Finished, process::Error>) -> Result<Output, Failure> {
    match ran {
        Ok(finished) if finished.is_success() => Ok(Output {
            success: true,
            return_code: 0,
            stdout: text(&finished.stdout),
            stderr: text(&finished.stderr),
            truncated: finished.truncated,
        }),
        Ok(finished) => Err(exit_status(program, &finished)),
        Err(process::Error::Denied(reason)) => Err(denied(program, &reason)),
        Err(process::Error::Timeout(reason)) => {
            let message = format!("`{program}` was killed: it did not end within {timeout} s ({reason})");
            Err(Failure::retryable("process_timeout", message, None).with_extra("program", program))
        }
        Err(other) => Err(Failure::from(other).with_extra("program", program)),
    }
}

/// A program that failed may do better next time: a task that asks for more attempts gets them.
fn exit_status(program: &str, finished: &Finished) -> Failure {
    let stderr = text(&finished.stderr);
    let ended = match (finished.code, finished.signal) {
        (Some(code), _) => format!("`{program}` ended with exit code {code}"),
        (None, Some(signal)) => format!("`{program}` was ended by signal {signal}"),
        (None, None) => format!("`{program}` ended without an exit code"),
    };
    let message = match stderr.lines().last() {
        Some(line) => format!("{ended}: {line}"),
        None => ended,
    };
    // A signal as a negative number is what callers of process libraries expect.
    let return_code = finished.code.or(finished.signal.map(|signal| -signal));
    Failure::retryable("exit_status", message, None)
        .with_extra("success", false)
        .with_extra("return_code", return_code)
        .with_extra("stdout", text(&finished.stdout))
        .with_extra("stderr", stderr)
}

fn denied(program: &str, reason: &str) -> Failure {
    let message = format!(
        "`{program}` may not run: {reason} (commands are disabled by default; the operator allows programs one by \
         one, by name, in the `process` grant of the plugin command_executor)"
    );
    Failure::permanent("process_denied", message).with_extra("program", program)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::call;

    use super::*;

    fn ended(code: Option<i32>, signal: Option<i32>, stdout: &str, stderr: &str) -> Finished {
        let (stdout, stderr) = (stdout.as_bytes().to_vec(), stderr.as_bytes().to_vec());
        Finished { code, signal, stdout, stderr, truncated: false }
    }

    #[test]
    fn success_gives_the_trimmed_output() {
        let output = outcome("echo", 30.0, Ok(ended(Some(0), None, "hello\n", ""))).unwrap();
        let expected = json!({"success": true, "return_code": 0, "stdout": "hello", "stderr": ""});
        assert_eq!(apflow_sdk::serde_json::to_value(output).unwrap(), expected);
    }

    #[test]
    fn a_non_zero_exit_fails_with_everything_it_wrote() {
        let failure =
            outcome("ls", 30.0, Ok(ended(Some(2), None, "a", "first\nno such file\n"))).unwrap_err();
        assert_eq!(failure.to_string(), "exit_status: `ls` ended with exit code 2: no such file");
        let extra = &failure.issue().unwrap().extra;
        assert_eq!((&extra["return_code"], &extra["stdout"]), (&json!(2), &json!("a")));
        let killed = outcome("ls", 30.0, Ok(ended(None, Some(9), "", ""))).unwrap_err();
        assert_eq!(killed.to_string(), "exit_status: `ls` was ended by signal 9");
        assert_eq!(killed.issue().unwrap().extra["return_code"], -9);
    }

    #[test]
    fn a_refused_program_names_the_grant_and_the_default() {
        let refused = Err(process::Error::Denied("no grant covers `id`".to_owned()));
        let failure = outcome("id", 30.0, refused).unwrap_err();
        assert!(matches!(failure, Failure::Permanent(_)));
        let text = failure.to_string();
        for part in ["process_denied", "no grant covers `id`", "disabled by default", "`process` grant"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_timeout_says_how_long_it_had() {
        let late = Err(process::Error::Timeout("killed".to_owned()));
        let failure = outcome("sleep", 0.5, late).unwrap_err();
        assert!(matches!(failure, Failure::Retryable { .. }));
        assert!(failure.to_string().contains("`sleep` was killed: it did not end within 0.5 s"), "{failure}");
    }

    #[test]
    fn bad_inputs_are_refused_before_anything_runs() {
        for (inputs, code) in [
            (json!({"command": "  "}), "empty_command"),
            (json!({"command": "echo a; id -u"}), "shell_syntax"),
            (json!({"command": "true", "timeout": 0}), "invalid_timeout"),
            (json!({"command": "true", "timeout": -1}), "invalid_timeout"),
            (json!({"command": "true", "shell": true}), "invalid_input"),
            (json!({}), "invalid_input"),
        ] {
            assert_eq!(call::<RunCommand>(inputs.clone()).unwrap_err().code(), code, "{inputs}");
        }
        assert_eq!(call::<RunCommand>(json!({"command": "true"})).unwrap_err().code(), "no_host");
    }
}
