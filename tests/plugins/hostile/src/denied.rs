//! Executors that reach for what they may not have. `plugin.toml` asks for some of it; the tests' operator refuses.

use apflow_sdk::http::Request;
use apflow_sdk::prelude::*;
use apflow_sdk::process::Command;

#[derive(Deserialize, JsonSchema)]
pub struct Address {
    /// Where to send a GET request.
    #[serde(default = "denied_host")]
    url: String,
}

fn denied_host() -> String {
    "http://denied.invalid/".to_owned()
}

/// Sends a request to a host that no operator allowed.
pub struct AskDeniedHost;

impl Executor for AskDeniedHost {
    const ID: &'static str = "ask_denied_host";
    type Input = Address;
    type Output = u16;

    fn execute(input: Address, _ctx: &Context) -> Result<u16, Failure> {
        Ok(Request::get(input.url).send()?.head.status)
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Program {
    /// What to run, without arguments.
    #[serde(default = "harmless")]
    program: String,
}

fn harmless() -> String {
    "true".to_owned()
}

/// Starts a program that no operator allowed.
pub struct SpawnDenied;

impl Executor for SpawnDenied {
    const ID: &'static str = "spawn_denied";
    type Input = Program;
    type Output = Option<i32>;

    fn execute(input: Program, _ctx: &Context) -> Result<Option<i32>, Failure> {
        Ok(Command::new(input.program).run()?.code)
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Variable {
    /// Which environment variable.
    name: String,
}

#[derive(Serialize, JsonSchema)]
pub struct Found {
    /// Its value, null where there is none.
    value: Option<String>,
}

/// Shows an environment variable as the guest sees it.
pub struct ReadEnv;

impl Executor for ReadEnv {
    const ID: &'static str = "read_env";
    type Input = Variable;
    type Output = Found;

    fn execute(input: Variable, _ctx: &Context) -> Result<Found, Failure> {
        Ok(Found { value: std::env::var(input.name).ok() })
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Path {
    /// Which file.
    path: String,
    /// Writes this text instead of reading.
    write: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct Content {
    /// The file's text.
    content: String,
}

/// Reads or writes a file of a granted folder.
pub struct ReadFile;

impl Executor for ReadFile {
    const ID: &'static str = "read_file";
    type Input = Path;
    type Output = Content;

    fn execute(input: Path, _ctx: &Context) -> Result<Content, Failure> {
        if let Some(text) = &input.write {
            std::fs::write(&input.path, text)?;
        }
        Ok(Content { content: std::fs::read_to_string(&input.path)? })
    }
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::call;

    use super::*;

    #[test]
    fn capabilities_are_asked_for_and_not_simulated() {
        assert_eq!(call::<AskDeniedHost>(json!({})).unwrap_err().code(), "no_host");
        assert_eq!(call::<SpawnDenied>(json!({})).unwrap_err().code(), "no_host");
    }

    #[test]
    fn a_file_that_is_not_there_is_a_permanent_failure() {
        let failure = call::<ReadFile>(json!({"path": "/no/such/file"})).unwrap_err();
        assert!(matches!(failure, Failure::Permanent(_)), "{failure:?}");
        assert_eq!(call::<ReadEnv>(json!({"name": "NO_SUCH_VARIABLE"})).unwrap(), json!({"value": null}));
    }
}
