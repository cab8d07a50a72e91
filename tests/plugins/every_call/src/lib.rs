//! An executor whose inputs name a call to the host, by interface and function, with its arguments. Its result says what the
//! host answered: `{"ok": …}`, or `{"error": …}` with the words of the refusal. The tests put grants, limits and versions
//! around it.

use apflow_sdk::prelude::*;

/// The contract's whole world, generated once more: the test must not see the host through the SDK's eyes.
mod host {
    wit_bindgen::generate!({
        path: "../../../wit/v0.1",
        inline: "package test:every-call; world guest { include apflow:plugin/everything@0.1.0; }",
        world: "test:every-call/guest",
        generate_all,
    });
}

use host::apflow::plugin::{checkpoint, http, log, net, process, progress, secrets, state, system, tasks};

/// What to do.
#[derive(Deserialize, JsonSchema)]
pub struct Call {
    /// `interface.function`.
    call: String,
    /// URL, host, key, name, program, document: the first argument.
    #[serde(default)]
    what: String,
    /// The second one.
    #[serde(default)]
    then: Option<String>,
    /// The third one.
    #[serde(default)]
    last: Option<String>,
    /// A port.
    #[serde(default)]
    port: u32,
    /// Headers of a request.
    #[serde(default)]
    headers: Vec<(String, String)>,
}

/// Makes one call.
pub struct EveryCall;

impl Executor for EveryCall {
    const ID: &'static str = "every_call";
    type Input = Call;
    type Output = Value;

    fn execute(input: Call, _ctx: &Context) -> Result<Value, Failure> {
        Ok(match make(&input) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": error }),
        })
    }
}

fn make(input: &Call) -> Result<Value, String> {
    let Call { call, what, then, last, .. } = input;
    let (what, then, last) = (what.as_str(), then.as_deref(), last.as_deref());
    match call.as_str() {
        "log.write" => {
            log::write("info", what);
            Ok(Value::Null)
        }
        "progress.report" => {
            progress::report(0.5, Some(what), None);
            Ok(Value::Null)
        }
        "http.send" => http::send(&request(input)).map(|response| answer(&response)).map_err(shown),
        "http.send-streamed" => {
            let answer = http::send_streamed(&request(input)).map_err(shown)?;
            let mut body = Vec::new();
            while let Some(piece) = answer.body.read(7).map_err(shown)? {
                body.extend(piece);
            }
            Ok(json!({"status": answer.head.status, "body": text(&body)}))
        }
        "net.connect" => net::connect(&peer(input)).map(|_| Value::Null).map_err(shown),
        "net.echo" => echo(input),
        "process.run" => process::run(&command(what)).map(|done| json!(text(&done.stdout))).map_err(shown),
        "process.start" => process::start(&command(what)).map(|_| Value::Null).map_err(shown),
        "system.read-cpu" => system::read_cpu().map(|cpu| json!(cpu.threads)).map_err(shown),
        "system.read-memory" => system::read_memory().map(|memory| json!(memory.total)).map_err(shown),
        "system.read-disks" => system::read_disks().map(|disks| json!(disks.len())).map_err(shown),
        "secrets.placeholder" => secrets::placeholder(what).map(Value::from).map_err(shown),
        "state.get" => {
            state::get(what).map(|found| json!(found.map(|one| (one.value, one.version)))).map_err(shown)
        }
        "state.put" => state::put(what, then).map(|()| Value::Null).map_err(shown),
        "state.compare-and-set" => state::compare_and_set(what, last, then).map(Value::from).map_err(shown),
        "tasks.submit" => tasks::submit(what, then.unwrap_or_default()).map(Value::from).map_err(shown),
        "tasks.await-result" => tasks::await_result(what).map(Value::from).map_err(shown),
        "tasks.run" => {
            let root = tasks::submit(what, then.unwrap_or_default()).map_err(shown)?;
            tasks::await_result(&root).map(Value::from).map_err(shown)
        }
        "checkpoint.load" => checkpoint::load().map(|data| json!(data)).map_err(shown),
        "checkpoint.save" => checkpoint::save(what).map(|()| Value::Null).map_err(shown),
        other => Err(format!("there is no call `{other}`")),
    }
}

fn request(input: &Call) -> http::Request {
    http::Request {
        method: "POST".into(),
        url: input.what.clone(),
        headers: input.headers.clone(),
        body: input.then.clone().unwrap_or_default().into_bytes(),
        timeout_ms: None,
        max_redirects: 3,
        extra: "{}".into(),
    }
}

fn answer(response: &http::Response) -> Value {
    json!({"status": response.head.status, "headers": response.head.headers.clone(), "body": text(&response.body)})
}

fn peer(input: &Call) -> net::Peer {
    net::Peer {
        host: input.what.clone(),
        port: input.port,
        tls: false,
        timeout_ms: None,
        extra: input.last.clone().unwrap_or_else(|| "{}".into()),
    }
}

/// Writes, closes the sending side and reads what comes back.
fn echo(input: &Call) -> Result<Value, String> {
    let connection = net::connect(&peer(input)).map_err(shown)?;
    connection.write(input.then.as_deref().unwrap_or_default().as_bytes()).map_err(shown)?;
    connection.finish().map_err(shown)?;
    let back = connection.read(1000, Some(10_000)).map_err(shown)?;
    Ok(json!(back.as_deref().map(text)))
}

fn command(program: &str) -> process::Command {
    process::Command {
        program: program.into(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: None,
        stdin: Vec::new(),
        timeout_ms: None,
        extra: "{}".into(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

apflow_sdk::export_executors!(EveryCall);
