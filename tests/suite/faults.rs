//! The store fails under a running host: callers are told so with a stable code, nothing is torn, and the host goes on
//! by itself when the store is back. A host that cannot start says why and what to do.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use apflow_testkit::postgres;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::harness::{Server, Setup, binary, in_own_mounts, server, shipped, with};

/// `store_unavailable` of docs/errors.md.
const UNAVAILABLE: i64 = -32106;

/// A task that waits for so long.
fn slow(id: &str, ms: u32) -> Value {
    json!({"id": id, "name": id, "executor": "slow", "inputs": {"ms": ms}})
}

/// Starts a tree that runs for a moment, and waits until it does.
async fn start_slow(server: &Server, id: &str, ms: u32) {
    server.tasks("tasks.execute", json!({"tasks": [slow(id, ms)], "wait": false})).await;
    server.await_event(&format!("tree={id}"), "task.started", None).await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_host_goes_on_when_there_is_room() {
    // Nobody else is there to take its runs over, so the lease need not end them.
    // Versions of plugins are larger than this disk.
    let elsewhere = tempfile::tempdir().unwrap();
    let versions = elsewhere.path().display();
    let config = format!("[engine]\nlease_ms = 60000\n[sandbox]\nversions_folder = \"{versions}\"\n");
    let server = Server::start(Setup { disk_kib: Some(3_000), config, ..Setup::default() }).await;
    start_slow(&server, "running", 6_000).await;
    let mut accepted = 1;
    // With smaller and smaller trees, until nothing fits.
    for size in [60_000, 3_000, 1] {
        let tree = json!({"name": "t", "executor": "echo", "inputs": {"text": "x".repeat(size)}});
        let error = loop {
            let (_, mut answer) = server.rpc("/tasks", "tasks.create", tree.clone()).await;
            match answer.get_mut("error") {
                Some(error) => break error.take(),
                None => accepted += 1,
            }
        };
        assert_eq!(error["code"], UNAVAILABLE, "{error}");
        assert_eq!(error["data"]["detail"], "The disk is full. Free some space, then try again");
    }
    // What ends now cannot be recorded, and is kept.
    server.await_log("the store did not take a turn; trying again").await;
    assert_eq!(server.total().await, accepted, "what was accepted is there, what was refused is not");
    server.resize_disk(60_000);
    server.await_event("tree=running", "tree.completed", None).await;
    let attempts = server.tasks("tasks.attempts", json!({"task_id": "running"})).await;
    assert_eq!(attempts.as_array().unwrap().len(), 1, "it ran once: {attempts}");
    assert_eq!(
        server.run(json!([{"name": "after", "executor": "noop_executor"}])).await["status"],
        "completed"
    );
    assert_eq!(server.total().await, accepted + 1);
}

#[tokio::test]
async fn a_locked_file_is_told_and_the_host_goes_on_when_it_is_free() {
    let server = server().await;
    start_slow(&server, "running", 700).await;
    let url = format!("sqlite:{}", server.path("apflow.db").display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let (code, text) = server.refused("tasks.create", json!({"name": "a"})).await;
    assert_eq!(code, UNAVAILABLE, "{text}");
    assert!(text.contains("locked by another process"), "{text}");
    server.await_log("the store did not take a turn; trying again").await;
    other.execute("COMMIT").await.unwrap();
    server.await_event("tree=running", "tree.completed", None).await;
    assert_eq!(server.total().await, 1);
    server.tasks("tasks.create", json!({"name": "a"})).await;
}

/// Exit code and error of a host that does not start.
pub fn refused_start(mut command: Command, url: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    command.args(["serve", "--port", "0", "--database-url", url, "--log-level", "error"]);
    let output = command.arg("--plugins").arg(shipped()).current_dir(folder.path()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "this is not a database, it is only a text that is long enough").unwrap();
    let other = folder.path().join("other.db");
    let mut songs = SqliteConnection::connect(&format!("{}?mode=rwc", sqlite(&other))).await.unwrap();
    songs.execute("CREATE TABLE songs (title TEXT)").await.unwrap();
    let ours = folder.path().join("ours.db");
    let newer = folder.path().join("newer.db");
    for path in [&ours, &newer] {
        let migrated =
            Command::new(binary()).args(["db", "migrate", "--database-url", &sqlite(path)]).output();
        assert!(migrated.unwrap().status.success());
    }
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', true, x'00', 0)";
    SqliteConnection::connect(&sqlite(&newer)).await.unwrap().execute(later).await.unwrap();

    let apflow = || Command::new(binary());
    let shown = folder.path().display();
    let read_only_folder =
        in_own_mounts(&format!("mount --bind '{shown}' '{shown}' && mount -o remount,ro,bind '{shown}'"));
    let file = ours.display();
    let read_only_file =
        in_own_mounts(&format!("mount --bind '{file}' '{file}' && mount -o remount,ro,bind '{file}'"));
    for (command, path, words) in [
        (apflow(), &text, "is not an SQLite database. Name another file"),
        (apflow(), &other, "is the database of another program. Name another file"),
        (apflow(), &newer, "schema version 9999, this apflow knows versions up to"),
        (read_only_folder, &ours, "The folder of the database must be writable"),
        (read_only_file, &ours, "The database is read-only. Give this user the right to write"),
    ] {
        let (code, error) = refused_start(command, &sqlite(path));
        assert_eq!(code, Some(3), "{error}");
        assert!(error.starts_with("error: ") && error.contains(words), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

/// A host on a database server of the test's own. Its lease is short, so that an outage is longer.
async fn on_own_server(server: &postgres::Server) -> Server {
    let config = "[engine]\nlease_ms = 600\n".to_owned();
    Server::start(Setup { config, database: Some(Arc::new(server.database())), ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_were_stopped_for_their_lease_run_again_when_the_database_is_back() {
    let postgres = postgres::Server::own();
    let server = on_own_server(&postgres).await;
    let tree = json!([
        with(slow("root", 1), json!({"dependencies": ["long"]})),
        with(slow("long", 2_000), json!({"parent_id": "root"}))
    ]);
    server.tasks("tasks.execute", json!({"tasks": tree, "wait": false})).await;
    server.await_event("tree=root", "task.started", Some("long")).await;
    postgres.stop();
    server.await_log("all runs of this node are stopped").await;
    let (code, text) = server.refused("tasks.create", json!({"name": "a"})).await;
    assert_eq!(code, UNAVAILABLE, "{text}");
    assert!(text.contains("not reachable") || text.contains("could not be reached"), "{text}");
    postgres.restart();
    server.await_event("tree=root", "tree.completed", None).await;
    let attempts = server.tasks("tasks.attempts", json!({"task_id": "long"})).await;
    assert_eq!(
        attempts.as_array().unwrap().len(),
        1,
        "an attempt that was taken back leaves no record: {attempts}"
    );
    server.await_event("tree=root", "task.rescued", Some("long")).await;
    assert_eq!(server.total().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_free_connection_is_told_and_the_host_goes_on_when_there_is_one() {
    let postgres = postgres::Server::own_with(&["max_connections=10"]);
    let server = on_own_server(&postgres).await;
    let database = server.database_url();
    let mut operator = PgConnection::connect(&database).await.unwrap();
    let mut strangers = Vec::new();
    while let Ok(stranger) = PgConnection::connect(&database).await {
        strangers.push(stranger);
    }
    let (code, error) = refused_start(Command::new(binary()), &database);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("too many clients") && error.contains("store_unavailable"), "{error}");
    // Everything that the host has open breaks, and others take the places before it.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'apflow'";
    operator.execute(cut).await.unwrap();
    while let Ok(stranger) = PgConnection::connect(&database).await {
        strangers.push(stranger);
    }
    let (code, text) = server.refused("tasks.create", json!({"name": "a"})).await;
    assert_eq!(code, UNAVAILABLE, "{text}");
    strangers.clear();
    while server.rpc("/tasks", "tasks.create", json!({"name": "a"})).await.1.get("error").is_some() {}
    assert_eq!(server.run(json!([{"name": "b", "executor": "noop_executor"}])).await["status"], "completed");
    assert_eq!(server.total().await, 2);
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_told_at_the_start() {
    let postgres = postgres::Server::own();
    let database = postgres.database();
    postgres.user_with_password("ann", "secret");
    let as_ann = |password: &str| database.url.replace("apflow@", &format!("ann:{password}@"));
    let start = |url: &str| refused_start(Command::new(binary()), url);
    for (url, words) in [
        (as_ann("wrong"), "password authentication failed"),
        (database.url.replace("apflow@", "nobody@"), "Check user and password in the URL"),
        (format!("{}_missing", database.url), "does not exist. Create it: CREATE DATABASE"),
        // The right password, and no right to make the schema.
        (as_ann("secret"), "The user needs CREATE on the database once"),
    ] {
        let (code, error) = start(&url);
        assert_eq!(code, Some(3), "{error}");
        assert!(error.contains(words) && error.contains("store_unavailable"), "{error}");
        assert!(!error.contains("wrong") && !error.contains("secret"), "a password is shown: {error}");
    }
    postgres.stop();
    let (code, error) = start(&database.url);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("could not be reached") && error.contains("store_unavailable"), "{error}");
}
