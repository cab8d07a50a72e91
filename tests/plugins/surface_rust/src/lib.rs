//! One executor that uses every part of the SDK; `tests/suite/languages.rs` compares its answers with the other languages'.

use std::io::{Read, Write};
use std::time::Duration;

use apflow_sdk::http::Request;
use apflow_sdk::net::Peer;
use apflow_sdk::prelude::*;
use apflow_sdk::process::Command;
use apflow_sdk::{checkpoint, secrets, state, system, tasks};

/// What to do, and with whom.
#[derive(Deserialize, JsonSchema)]
pub struct Inputs {
    /// The part to use.
    r#do: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    port: u16,
}

/// The executor.
pub struct Surface;

impl Executor for Surface {
    const ID: &'static str = "surface_rust";
    type Input = Inputs;
    type Output = Value;

    fn execute(inputs: Inputs, ctx: &Context) -> Result<Value, Failure> {
        match inputs.r#do.as_str() {
            "context" => context(ctx),
            "http" => post(&inputs.url),
            "stream" => stream(&inputs.url),
            "process" => programs(),
            "net" => talk(&inputs),
            "system" => machine(),
            "secret" => secret(&inputs.url),
            "state" => keep(),
            "tasks" => children(ctx),
            "checkpoint" => go_on(ctx),
            "bad_input" => {
                let failure = Failure::bad_input("negative", "amount is -1; give 0 or more", "/amount");
                Err(failure.with_extra("limit", 0))
            }
            "permanent" => Err(Failure::permanent("over_limit", "no more than 1000")),
            "cancelled" => Err(Failure::cancelled()),
            "denied" => Ok(json!(Request::get(&inputs.url).send()?.head.status)),
            other => Err(Failure::bad_input("invalid_input", format!("there is no action `{other}`"), "/do")),
        }
    }
}

fn context(ctx: &Context) -> Result<Value, Failure> {
    ctx.progress_with(0.5, "half way", &json!({"so": "far"}))?;
    apflow_sdk::info!("surface speaks of {}", ctx.task_id());
    let named = ![ctx.task_id(), ctx.tree_id(), ctx.idempotency_key()].contains(&"");
    let params: Value = ctx.params()?;
    Ok(json!({"executor": ctx.executor(), "attempt": ctx.attempt(), "params": params, "named": named}))
}

fn post(url: &str) -> Result<Value, Failure> {
    let request = Request::post(url).header("x-color", "blue").timeout(Duration::from_secs(5));
    let answer = request.json(&json!({"n": 1}))?.send()?;
    let head = &answer.head;
    let body: Value = answer.json()?;
    Ok(
        json!({"status": head.status, "ok": head.is_success(), "kind": head.header("Content-Type"), "body": body}),
    )
}

fn stream(url: &str) -> Result<Value, Failure> {
    let (head, mut rest) = Request::get(url).send_streamed()?;
    let mut body = String::new();
    rest.read_to_string(&mut body)?;
    Ok(json!({"status": head.status, "body": body, "trailers": rest.trailers()?.len()}))
}

fn programs() -> Result<Value, Failure> {
    let whole = Command::new("cat").stdin("äb").run()?;
    let mut child = Command::new("cat").start()?;
    let taken = child.write_stdin(b"talk")?;
    child.close_stdin()?;
    let mut said = Vec::new();
    while let Some(piece) = child.read_stdout(65536)? {
        said.extend(piece);
    }
    let ended = child.wait()?;
    let failed = Command::new("false").run()?;
    Ok(json!({
        "output": String::from_utf8_lossy(&whole.stdout), "taken": taken, "said": String::from_utf8_lossy(&said),
        "code": ended.code, "failed": failed.code, "ok": [whole.is_success(), failed.is_success()],
    }))
}

fn talk(inputs: &Inputs) -> Result<Value, Failure> {
    let mut connection = Peer::new(&inputs.host, inputs.port).timeout(Duration::from_secs(5)).connect()?;
    connection.write_all(b"ping")?;
    connection.finish()?;
    connection.set_read_timeout(Some(Duration::from_secs(5)));
    let mut said = String::new();
    connection.read_to_string(&mut said)?;
    Ok(json!({ "said": said }))
}

fn machine() -> Result<Value, Failure> {
    let memory = system::memory()?;
    let fits = memory.total > memory.available && memory.available > 0;
    system::disks()?;
    Ok(json!({"threads": system::cpu()?.threads > 0, "memory": fits, "disks": true}))
}

fn secret(url: &str) -> Result<Value, Failure> {
    let token = secrets::placeholder("token")?;
    let answer: Value =
        Request::get(url).header("authorization", format!("Bearer {token}")).send()?.json()?;
    Ok(json!({"hidden": !token.contains("sesame"), "answer": answer}))
}

fn keep() -> Result<Value, Failure> {
    state::put("k", &json!({"n": 1}))?;
    let first = state::get::<Value>("k")?;
    let version = first.as_ref().map(|entry| entry.version.clone());
    let wrong = state::compare_and_set("k", Some("no version"), &json!({"n": 2}))?;
    let right = state::compare_and_set("k", version.as_deref(), &json!({"n": 3}))?;
    let changed = state::get::<Value>("k")?;
    state::remove("k")?;
    Ok(json!({
        "first": first.map(|entry| entry.value), "wrong": wrong, "right": right,
        "value": changed.map(|entry| entry.value), "gone": state::get::<Value>("k")?.is_none(),
        "created": state::compare_and_set("k", None, &1)?,
    }))
}

fn children(ctx: &Context) -> Result<Value, Failure> {
    let tree = json!([{"name": "child", "executor": "echo", "inputs": {"n": 7}}]);
    let child = tasks::submit(&tree, ctx.idempotency_key())?;
    let end = child.wait()?;
    let again = tasks::submit(&tree, ctx.idempotency_key())? == child;
    Ok(json!({"status": end.status, "result": end.result, "again": again}))
}

fn go_on(ctx: &Context) -> Result<Value, Failure> {
    let seen: Option<Value> = checkpoint::load()?;
    if ctx.attempt() == 1 {
        checkpoint::save(&json!({"page": 3}))?;
        let after = Some(Duration::from_millis(1));
        return Err(Failure::retryable("again", "the second half comes later", after));
    }
    Ok(json!({"attempt": ctx.attempt(), "seen": seen}))
}

apflow_sdk::export_executors!(Surface);
