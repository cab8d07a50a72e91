//! `apflow bench`: that each scenario gives its rows, with bars where there are some, and leaves nothing behind. How fast
//! anything is, no test says.

use std::path::Path;
use std::process::{Command, Output};

use apflow_testkit::postgres::{Database, Server};
use serde_json::{Value, json};

use crate::harness::{binary, shipped};

fn bench(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["bench", "--rounds", "1", "--output", "json", "--plugins", shipped().to_str().unwrap()]);
    command.args(["--tasks", "100", "--chain", "10", "--large", "120", "--requests", "2"]);
    command.args(args).current_dir(folder).output().unwrap()
}

fn rows(args: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let output = bench(folder.path(), args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "something was left behind");
    serde_json::from_value(document["scenarios"].take()).unwrap()
}

/// Every figure is a number, and a bar says whether it is met.
fn check(rows: &[Value]) {
    for figure in rows.iter().flat_map(|row| row["figures"].as_array().unwrap()) {
        assert!(figure["value"].as_f64().is_some_and(|value| value > 0.0), "{figure}");
        assert_eq!(figure["bar"].is_object(), figure["met"].is_boolean(), "{figure}");
    }
}

/// The first word of each row.
fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["scenario"].as_str()?.split([',', ' ']).next()).collect()
}

#[test]
fn every_scenario_gives_its_rows() {
    let rows = rows(&["--bare"]);
    check(&rows);
    let expected = [
        "flat", "flat", "diamonds", "diamonds", "tree", "chain", "fan-out", "server", "one", "flow",
        "server", "tree",
    ];
    assert_eq!(names(&rows), expected);
    let bars =
        rows.iter().flat_map(|row| row["figures"].as_array().unwrap()).filter(|f| f["bar"].is_object());
    assert!(bars.count() > 10);
}

#[test]
fn hosts_share_a_database_server_which_is_left_as_it_was() {
    let database = Database::new();
    let rows = rows(&["--bare", "--scenario", "hosts,chain", "--database-url", &database.url]);
    check(&rows);
    assert_eq!(names(&rows), ["hosts", "chain"]);
    let output = bench(
        tempfile::tempdir().unwrap().path(),
        &["--scenario", "flat,hosts", "--database-url", "sqlite:never-made.db"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--database-url postgres://"));
}

/// A folder of yardsticks with one program in it, of ours: what is not there is named, and what is there is run.
#[test]
fn other_programs_are_run_where_they_are_installed_and_named_where_not() {
    use std::os::unix::fs::PermissionsExt as _;

    let server = Server::own();
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("venv/bin/python");
    std::fs::create_dir_all(python.parent().unwrap()).unwrap();
    std::fs::write(&python, "#!/bin/sh\necho noise\necho '{\"tree\": 8000, \"chain\": 9000}'\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let yardsticks = folder.path().to_str().unwrap();
    let working = tempfile::tempdir().unwrap();
    let output = bench(
        working.path(),
        &["--bare", "--compare", "--yardsticks", yardsticks, "--database-url", &database.url],
    );
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let contestants =
        |contest: usize| document["contests"][contest]["contestants"].as_array().unwrap().clone();
    let (queue, trees) = (contestants(0), contestants(2));
    assert!(queue[0]["figures"][0]["value"].as_f64().unwrap() > 0.0);
    assert_eq!((&queue[2]["installed"], &queue[2]["figures"]), (&json!(false), &json!([])));
    assert_eq!((&trees[1]["installed"], &trees[1]["figures"][0]["value"]), (&json!(true), &json!(8000.0)));
    let (ours, ratio) =
        (trees[0]["figures"][0]["value"].as_f64().unwrap(), trees[1]["figures"][0]["ratio"].as_f64());
    assert!((ratio.unwrap() - 8000.0 / ours).abs() < 0.001);
}
