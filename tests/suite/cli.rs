//! The command line as people and scripts use it: what is printed where, exit codes, and nothing left behind by a
//! refused file.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{Server, Setup, binary, hostile, info, shipped, with};

fn apflow(folder: &Path, args: &[&str]) -> Output {
    Command::new(binary()).args(args).current_dir(folder).output().unwrap()
}

/// Runs a tree file in a folder of its own.
fn run(folder: &Path, tree: &Value, more: &[&str]) -> Output {
    std::fs::write(folder.join("tree.json"), tree.to_string()).unwrap();
    let (shipped, hostile) = (shipped(), hostile());
    let mut args = vec![
        "run",
        "tree.json",
        "--plugins",
        shipped.to_str().unwrap(),
        "--plugins",
        hostile.to_str().unwrap(),
    ];
    args.extend(more);
    apflow(folder, &args)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn run_prints_one_json_document_and_keeps_the_results() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        run(folder.path(), &json!([with(info("cpu"), json!({"id": "mine"}))]), &["--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&done["status"], &done["root_task_id"]), (&json!("completed"), &json!("mine")));
    assert!(folder.path().join(".apflow/apflow.db").exists());
    let again = run(folder.path(), &json!([with(info("cpu"), json!({"id": "mine"}))]), &[]);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("already exists"), "{}", text(&again.stderr));
}

#[test]
fn run_tells_people_what_happens_line_by_line_in_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &json!([info("cpu")]), &[]);
    let (out, log) = (text(&output.stdout), text(&output.stderr));
    assert!(log.contains("cpu") && log.contains("completed"), "{log}");
    assert!(!log.contains('\u{1b}') && !out.contains('\u{1b}'), "colours in a pipe");
    assert!(out.contains("cores"), "{out}");
}

#[test]
fn a_failed_tree_is_exit_code_1_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &json!([{"name": "bad", "executor": "trap"}]), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("bad"), "{}", text(&output.stderr));
}

#[test]
fn bad_files_are_exit_code_2_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for (tree, part) in [
        (json!([]), "Tasks array cannot be empty"),
        (json!([info("a"), info("b")]), "Multiple root tasks"),
        (json!([{"name": "a", "executor": "nobody"}]), "executor 'nobody' not found"),
        (json!([{"name": "a"}]), "names no executor"),
        (json!([{"name": "a", "executor": "rest_executor", "inputs": {"url": 1}}]), "inputs/url"),
        (json!([with(info("a"), json!({"dependencies": ["zz"]}))]), "'zz'"),
    ] {
        let output = run(folder.path(), &tree, &[]);
        assert_eq!(output.status.code(), Some(2), "{tree}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(part), "{tree}: {}", text(&output.stderr));
    }
    let missing = apflow(folder.path(), &["run", "nothing.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("nothing.json"), "{}", text(&missing.stderr));
    let kept = apflow(folder.path(), &["tasks", "count", "--local", "--output", "json"]);
    let counts: Value =
        serde_json::from_slice(&kept.stdout).unwrap_or_else(|_| panic!("{}", text(&kept.stderr)));
    assert_eq!(counts["total"], 0);
}

/// A command against a server; gives its JSON.
async fn call(server: &Server, args: &[&str]) -> Value {
    let mut all = vec![args[0], args[1], "--server", server.url.as_str(), "--output", "json"];
    all.extend(&args[2..]);
    let output = apflow(server.folder.path(), &all);
    assert_eq!(output.status.code(), Some(0), "{all:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{all:?}: {}", text(&output.stdout)))
}

#[tokio::test]
async fn tasks_commands_speak_to_a_server() {
    // The tests' own folder holds a component that is refused on purpose, which `plugin reload` would report.
    let server = Server::start(Setup { plugins: vec![shipped()], ..Setup::default() }).await;
    std::fs::write(server.path("tree.json"), with(info("a"), json!({"id": "a"})).to_string()).unwrap();
    call(&server, &["tasks", "create", "tree.json"]).await;
    let done = call(&server, &["tasks", "execute", "a"]).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(call(&server, &["tasks", "get", "a"]).await["status"], "completed");
    assert_eq!(call(&server, &["tasks", "count"]).await["completed"], 1);
    assert_eq!(call(&server, &["tasks", "list"]).await[0]["id"], "a");
    call(&server, &["tasks", "tree", "a"]).await;
    call(&server, &["tasks", "explain", "a"]).await;
    call(&server, &["tasks", "attempts", "a"]).await;
    call(&server, &["executors", "list"]).await;
    call(&server, &["plugin", "list"]).await;
    call(&server, &["plugin", "reload"]).await;
    let table = text(&apflow(server.folder.path(), &["tasks", "list", "--server", &server.url]).stdout);
    assert!(table.contains("completed"), "{table}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = apflow(folder.path(), &["tasks", "list", "--server", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("http://127.0.0.1:9"), "{}", text(&output.stderr));
}

#[test]
fn plugins_can_be_inspected_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = shipped().join("rest_executor/rest_executor.wasm");
    let output = apflow(folder.path(), &["plugin", "inspect", file.to_str().unwrap(), "--output", "json"]);
    let info: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(info["executors"], json!(["rest_executor"]), "{info}");
    let version = apflow(folder.path(), &["version"]);
    assert!(text(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_database_is_seen_upgraded_and_moved() {
    let folder = tempfile::tempdir().unwrap();
    let run_it = run(folder.path(), &json!([with(info("cpu"), json!({"id": "mine"}))]), &[]);
    assert_eq!(run_it.status.code(), Some(0), "{}", text(&run_it.stderr));
    let server = apflow_testkit::postgres::Database::new();
    let db = |args: &[&str]| {
        let output = apflow(folder.path(), &[&["db"], args, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(db(&["status"])["up_to_date"], true);
    assert_eq!(db(&["status", "--database-url", &server.url])["version"], 0);
    assert_eq!(db(&["migrate", "--database-url", &server.url])["before"], 0);
    let moved = db(&["move", "--to", &server.url]);
    assert_eq!(moved["tables"][0], json!({"table": "trees", "rows": 1}));
    let shown = apflow(
        folder.path(),
        &["tasks", "get", "mine", "--local", "--database-url", &server.url, "--output", "json"],
    );
    let task: Value =
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{}", text(&shown.stderr)));
    assert_eq!((&task["status"], task["result"]["cores"].is_number()), (&json!("completed"), true), "{task}");
    let again = apflow(folder.path(), &["db", "move", "--to", &server.url]);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("not empty"), "{}", text(&again.stderr));
}

#[test]
fn help_explains_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&apflow(folder.path(), &["--help"]).stdout);
    for command in ["run", "serve", "tasks", "plugin", "executors", "bench", "version"] {
        assert!(help.contains(command), "{command} is missing in {help}");
        assert_eq!(apflow(folder.path(), &[command, "--help"]).status.code(), Some(0), "{command}");
    }
}
