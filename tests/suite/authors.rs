//! The way of a plugin's author, on the real binary: a project, its component, its cases, a task that runs it. And what is
//! said when something is wrong on that way.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{binary, hostile, shipped};

fn apflow(folder: &Path, args: &[&str]) -> Output {
    Command::new(binary()).args(args).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Both outputs, for messages.
fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("not JSON: {}", said(output)))
}

/// Whether the tools of a language were fetched before; Rust's always are, because all tests' plugins need them.
fn has_tools(language: &str) -> bool {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))).unwrap().join("apflow");
    let folder = match language {
        "rust" => return true,
        "python" => "py-toolchain",
        "c" => "c-toolchain",
        _ => "js-toolchain",
    };
    cache.join(folder).is_dir()
}

/// new → test (which builds) → check → a task, where it is an executor. Python's share of tools is slow, so its kinds are
/// tests of their own.
fn whole_way(language: &str, kinds: &[&str]) {
    if !has_tools(language) {
        eprintln!("left out: the tools for {language} are not in the cache; `cargo xtask test` fetches them");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for kind in kinds {
        let name = format!("way-{kind}");
        let new = apflow(at, &["plugin", "new", "--lang", language, "--kind", kind, &name]);
        assert_eq!(new.status.code(), Some(0), "{}", said(&new));
        let test = apflow(at, &["plugin", "test", &name]);
        assert_eq!(test.status.code(), Some(0), "{language} {kind}: {}", said(&test));
        assert!(text(&test.stdout).contains(" passed, 0 failed"), "{}", said(&test));
        let check = apflow(at, &["plugin", "check", &name, "--output", "json"]);
        assert_eq!(check.status.code(), Some(0), "{language} {kind}: {}", said(&check));
        assert_eq!(json_of(&check)["problems"], json!([]));
    }
    if kinds.contains(&"executor") {
        greets(at);
    }
}

/// A task of the built executor in `way-executor/dist`.
fn greets(at: &Path) {
    std::fs::create_dir(at.join("plugins")).unwrap();
    std::fs::rename(at.join("way-executor/dist"), at.join("plugins/way-executor")).unwrap();
    let tree = json!([{"name": "greet", "executor": "way_executor", "inputs": {"names": ["Ada"]}}]);
    std::fs::write(at.join("tree.json"), tree.to_string()).unwrap();
    let run = apflow(at, &["run", "tree.json", "--plugins", "plugins", "--output", "json"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_eq!(json_of(&run)["result"]["greetings"], json!(["Hello, Ada!"]), "{}", said(&run));
}

const KINDS: &[&str] = &["executor", "hook", "collector"];

#[test]
fn rust_goes_the_whole_way() {
    whole_way("rust", KINDS);
}

#[test]
fn javascript_goes_the_whole_way() {
    whole_way("javascript", KINDS);
}

#[test]
fn typescript_goes_the_whole_way() {
    whole_way("typescript", KINDS);
}

#[test]
fn c_goes_the_whole_way() {
    whole_way("c", KINDS);
}

#[test]
fn a_python_executor_goes_the_whole_way() {
    whole_way("python", &["executor"]);
}

#[test]
fn a_python_hook_goes_the_whole_way() {
    whole_way("python", &["hook"]);
}

#[test]
fn a_python_collector_goes_the_whole_way() {
    whole_way("python", &["collector"]);
}

const ASKS: &str = r#"//! Asks a service with a secret, and says when.
use apflow_sdk::prelude::*;
use apflow_sdk::{http::Request, secrets};
use std::time::SystemTime;

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

struct Asks;

impl Executor for Asks {
    const ID: &'static str = "asks";
    type Input = Nothing;
    type Output = Value;

    fn execute(_: Nothing, _: &Context) -> Result<Value, Failure> {
        let key = secrets::placeholder("key")?;
        let answer = Request::get("https://api.example.com/me").header("authorization", format!("Bearer {key}")).send()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|_| Failure::permanent("clock", "past"))?;
        Ok(json!({ "body": answer.text(), "now": now.as_secs() }))
    }
}

apflow_sdk::export_executors!(Asks);
"#;

const ASKED: &str = r#"
[[case]]
name = "sends the secret and never sees it"
inputs = {}
now = "2026-01-01T00:00:00Z"
secrets = { key = "s3cr3t-value" }
result_contains = { now = 1767225600 }
result_schema = { properties = { body = { pattern = "^you sent Bearer apflow-secret-key-" } } }

[[case.http]]
url = "https://api.example.com/*"
request_headers = { authorization = "Bearer s3cr3t-value" }
body = "you sent Bearer s3cr3t-value"

[[case]]
name = "is told that there is no secret"
inputs = {}
failure = { message_contains = "no `key` in `secrets`" }
"#;

#[test]
fn an_edited_plugin_has_secrets_and_a_clock_that_stands_still() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let new = apflow(at, &["plugin", "new", "--lang", "rust", "asks"]);
    assert_eq!(new.status.code(), Some(0), "{}", said(&new));
    let project = at.join("asks");
    let edit = |file: &str, from: &str, to: &str| {
        let old = std::fs::read_to_string(project.join(file)).unwrap();
        let new = old.replace(from, to);
        assert_ne!(old, new, "{file} has no {from}");
        std::fs::write(project.join(file), new).unwrap();
    };
    let path = "apflow-sdk = { path = \".apflow/sdk/rust\"";
    edit("Cargo.toml", path, &format!("{path}, features = [\"http\", \"secrets\"]"));
    edit(
        "plugin.toml",
        "[requests]",
        "[requests]\nhttp = [\"https://api.example.com\"]\nsecrets = [\"key\"]",
    );
    std::fs::write(project.join("src/lib.rs"), ASKS).unwrap();
    std::fs::write(project.join("tests/cases.toml"), ASKED).unwrap();
    let built = apflow(at, &["plugin", "build", "asks", "--out", "plugins/asks"]);
    assert_eq!(built.status.code(), Some(0), "{}", said(&built));
    assert!(at.join("plugins/asks/asks.wasm").is_file() && at.join("plugins/asks/plugin.toml").is_file());
    let test = apflow(at, &["plugin", "test", "asks"]);
    assert_eq!(test.status.code(), Some(0), "{}", said(&test));
    // Without the request the import is one that every use of is refused.
    edit("plugin.toml", "secrets = [\"key\"]", "");
    let check = apflow(at, &["plugin", "check", "asks"]);
    assert_eq!(check.status.code(), Some(1), "{}", said(&check));
    assert!(text(&check.stdout).contains("(import_without_request)"), "{}", said(&check));
    // What the compiler says comes through, with its place.
    edit("src/lib.rs", "secrets::placeholder(\"key\")?", "secrets::placeholder(7)?");
    let build = apflow(at, &["plugin", "build", "asks"]);
    assert_eq!(build.status.code(), Some(1), "{}", said(&build));
    let log = text(&build.stderr);
    assert!(log.contains("src/lib.rs:17:") && log.contains("(build_failed)"), "{log}");
}

/// A built plugin with these cases.
fn with_cases(from: &Path, name: &str, cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["plugin.toml".to_owned(), format!("{name}.wasm")] {
        std::fs::copy(from.join(name).join(&file), folder.path().join(&file)).unwrap();
    }
    std::fs::create_dir(folder.path().join("tests")).unwrap();
    std::fs::write(folder.path().join("tests/cases.toml"), cases).unwrap();
    folder
}

const REST: &str = r#"
[[case]]
name = "is answered"
inputs = { url = "https://api.example.com/a", method = "GET" }
result_contains = { status_code = 200, json = { n = 1 } }
http = [{ url = "https://api.example.com/*", json = { n = 1.0 } }]

[[case]]
name = "expects something else"
inputs = { url = "https://api.example.com/a" }
result_contains = { status_code = 201 }
http = [{ url = "https://api.example.com/a" }]

[[case]]
name = "asks what nobody answers"
inputs = { url = "https://elsewhere.example/secret?q=1" }
result_contains = { status_code = 200 }
http = [{ url = "https://api.example.com/a" }]
"#;

#[test]
fn failed_cases_say_what_differs_and_what_was_asked() {
    let plugin = with_cases(&shipped(), "rest_executor", REST);
    let test = apflow(plugin.path(), &["plugin", "test"]);
    let out = text(&test.stdout);
    assert_eq!(test.status.code(), Some(1), "{}", said(&test));
    assert!(out.contains("ok     is answered"), "{out}");
    assert!(out.contains("- {\n") || out.contains("\"status_code\": 201"), "{out}");
    assert!(out.contains("+ GET https://elsewhere.example/secret?q=1"), "{out}");
    assert!(out.contains("requests GET https://api.example.com/a: - expected, + got"), "{out}");
    assert!(out.ends_with("1 passed, 2 failed\n"), "{out}");
    let filtered = apflow(plugin.path(), &["plugin", "test", "--filter", "answered", "--output", "json"]);
    assert_eq!(filtered.status.code(), Some(0), "{}", said(&filtered));
    assert_eq!((&json_of(&filtered)["passed"], &json_of(&filtered)["failed"]), (&json!(1), &json!(0)));
}

#[test]
fn a_wrong_file_of_cases_is_refused_with_its_line() {
    for (cases, part) in [
        (
            "[[case]]\nname = \"a\"\nresult = 1\n\n[[case]]\nname = \"b\"\nreslt = 1\n",
            "cases.toml, line 7: unknown field `reslt`",
        ),
        ("\n[[case]]\nname = \"a\"\n", "cases.toml, line 2: case `a`: it expects nothing"),
        ("", "there is no [[case]]"),
    ] {
        let plugin = with_cases(&shipped(), "noop_executor", cases);
        let test = apflow(plugin.path(), &["plugin", "test"]);
        assert_eq!(test.status.code(), Some(2), "{}", said(&test));
        assert!(text(&test.stderr).contains(part), "{cases}: {}", said(&test));
    }
}

const EVERYTHING: &str = r#"
[[case]]
name = "writes its state"
inputs = { call = "state.put", what = "seen", then = "{\"n\":2}" }
state = { seen = 1, other = "x" }
state_after = { seen = { n = 2 }, other = "x" }

[[case]]
name = "finds the state of no other case"
inputs = { call = "state.get", what = "seen" }
result_json = '{"ok":null}'

[[case]]
name = "takes up its checkpoint"
inputs = { call = "checkpoint.load" }
checkpoint = { page = 3 }
result = { ok = '{"page":3}' }

[[case]]
name = "leaves a checkpoint"
inputs = { call = "checkpoint.save", what = "[1]" }
checkpoint_after = [1]

[[case]]
name = "waits for a child"
inputs = { call = "tasks.run", what = '[{"name":"part","executor":"noop_executor"}]', then = "k" }
result_schema = { properties = { ok = { pattern = '"result":7' } } }
child = [{ tree_contains = [{ name = "part" }], result = 7 }]

[[case]]
name = "is refused streams, which cannot be faked"
inputs = { call = "net.connect", what = "db.example.com", port = 5432 }
result_schema = { properties = { error = { pattern = "^NetError::Denied" } }, required = ["error"] }

[[case]]
name = "is refused what it does not ask for"
inputs = { call = "http.send", what = "https://api.example.com/" }
result_schema = { properties = { error = { pattern = "plugin.toml does not ask for it" } }, required = ["error"] }

[[case]]
name = "is given progress to report"
inputs = { call = "progress.report", what = "half way" }
progress_contains = "50 % half way"
"#;

#[test]
fn cases_fake_everything_that_a_host_has() {
    let plugin = with_cases(&hostile(), "every_call", EVERYTHING);
    let test = apflow(plugin.path(), &["plugin", "test"]);
    assert_eq!(test.status.code(), Some(0), "{}", said(&test));
    assert!(text(&test.stdout).ends_with("8 passed, 0 failed\n"), "{}", said(&test));
}

#[test]
fn hooks_and_collectors_have_cases() {
    let veto = r#"
[[case]]
name = "is not asked about this point"
event = { point = "tree.failed" }
decision = "proceed"
"#;
    let plugin = with_cases(&hostile(), "veto_hook", veto);
    let test = apflow(plugin.path(), &["plugin", "test"]);
    assert_eq!(test.status.code(), Some(1), "{}", said(&test));
    assert!(text(&test.stdout).contains("subscription: - expected, + got"), "{}", said(&test));
    let counts = r#"
[[case]]
name = "counts"
batch = [{ kind = "task.completed", executor = "a", duration_ms = 20 }, { kind = "task.completed", executor = "a" }]
render_contains = 'executor="a"'

[[case]]
name = "begins anew in each case"
batch = [{ kind = "tree.completed" }]
render_contains = 'executor="a"'
"#;
    let plugin = with_cases(&shipped(), "prometheus_collector", counts);
    let test = apflow(plugin.path(), &["plugin", "test"]);
    assert_eq!(test.status.code(), Some(1), "{}", said(&test));
    assert!(text(&test.stdout).ends_with("1 passed, 1 failed\n"), "{}", said(&test));
}

#[test]
fn new_refuses_bad_and_taken_names_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    std::fs::write(folder.path().join("taken/notes.txt"), "mine").unwrap();
    for (name, part) in [
        ("Bad", "NAME is `Bad`"),
        ("../up", "NAME is `../up`"),
        ("async", "keep for themselves"),
        ("rest_executor", "comes with apflow"),
        ("taken", "is not empty"),
    ] {
        let new = apflow(folder.path(), &["plugin", "new", "--lang", "rust", name]);
        assert_eq!(new.status.code(), Some(2), "{name}: {}", said(&new));
        assert!(text(&new.stderr).contains(part), "{name}: {}", said(&new));
    }
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["taken"]);
}

#[test]
fn a_packed_plugin_is_the_same_bytes_each_time_and_can_be_installed() {
    let folder = tempfile::tempdir().unwrap();
    let from = shipped().join("noop_executor");
    let pack = |out: &str| {
        let pack = apflow(folder.path(), &["plugin", "pack", from.to_str().unwrap(), "--out", out]);
        assert_eq!(pack.status.code(), Some(0), "{}", said(&pack));
        std::fs::read(folder.path().join(out)).unwrap()
    };
    assert!(pack("one.tar") == pack("two.tar"), "two packs differ");
    let install = ["plugin", "install", "./one.tar", "--yes", "--allow-unsigned", "--dir", "plugins"];
    let install = apflow(folder.path(), &install);
    assert_eq!(install.status.code(), Some(0), "{}", said(&install));
    let installed = std::fs::read(folder.path().join("plugins/noop_executor/noop_executor.wasm")).unwrap();
    assert!(installed == std::fs::read(from.join("noop_executor.wasm")).unwrap());
}

#[test]
fn check_names_what_does_not_load() {
    let wrong = hostile().join("wrong_world/wrong_world.wasm");
    let check = apflow(Path::new("."), &["plugin", "check", wrong.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(3), "{}", said(&check));
    assert!(text(&check.stderr).contains("wrong_world"), "{}", said(&check));
    let file = shipped().join("rest_executor");
    let check = apflow(Path::new("."), &["plugin", "check", file.to_str().unwrap(), "--output", "json"]);
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    let checked = json_of(&check);
    assert!(checked["examples"].as_array().is_some_and(|all| !all.is_empty()), "{checked}");
    assert!(checked["first_call_us"].as_u64() > Some(0), "{checked}");
}
