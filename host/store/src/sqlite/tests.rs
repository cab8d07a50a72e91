//! What is SQLite's own: files, settings, locks, rollbacks. The meaning of the verbs is tested by the shared suite.

use std::path::Path;
use std::time::Duration;

use apflow_core::draft::{TreeLimits, read_all};
use apflow_core::error::ErrorCode;
use apflow_core::task::TaskStatus;
use apflow_core::tree::assemble;
use apflow_testkit::suite::rig::{START as NOW, all_completed, turn_at};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, SqliteConnection};

use apflow_core::error::Result;
use apflow_core::event::Event;
use apflow_core::id::NodeId;
use apflow_core::lease::Session;
use apflow_core::store::{CancelRequest, EventQuery, Store, TaskFilter};
use apflow_core::tree::NewTree;

use super::*;
use crate::database::Database as _;
use crate::rows::at;
use crate::stored::Stored;
use crate::{Durability, StoreOptions, latest_schema, schema_version};

/// A store in memory.
pub(crate) async fn store() -> Stored<SqliteStore> {
    Stored(SqliteStore::open(MEMORY, StoreOptions::default()).await.unwrap())
}

async fn store_at(path: &Path, options: StoreOptions) -> Result<Stored<SqliteStore>> {
    SqliteStore::open(path.to_str().unwrap(), options).await.map(Stored)
}

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// A connection of somebody else to the same file.
async fn stranger(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn pragma(connection: &mut SqliteConnection, name: &'static str) -> i64 {
    sqlx::query_scalar(name).fetch_one(connection).await.unwrap()
}

/// The root `r` behind `a` and `b`.
fn tree() -> NewTree {
    let tasks = json!([
        {"id": "r", "name": "r", "dependencies": ["a", "b"]},
        {"id": "a", "name": "a", "parent_id": "r"},
        {"id": "b", "name": "b", "parent_id": "r"},
    ]);
    assemble(read_all(tasks, TreeLimits::default()).unwrap(), NOW).unwrap()
}

async fn session(store: &dyn Store) -> Session {
    let until = NOW.plus(Duration::from_secs(60));
    store.open_session(&NodeId::from("node-1"), until, NOW).await.unwrap().session
}

#[tokio::test]
async fn a_file_is_made_with_its_folders_and_reopened_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/apflow.db");
    assert_eq!(schema_version(&url(&path)).await, Ok(0));
    let first = store_at(&path, StoreOptions::default()).await.unwrap();
    assert_eq!(schema_version(&url(&path)).await, Ok(latest_schema("sqlite::memory:").unwrap()));
    first.insert_tree(&tree(), true, NOW).await.unwrap();
    let old = session(&first).await;
    let claimed = first.turn(turn_at(NOW, &old, Vec::new(), 1)).await.unwrap();
    let seq = first.last_seq().await.unwrap();
    drop(first);

    let second = store_at(&path, StoreOptions::default()).await.unwrap();
    assert_eq!(second.last_seq().await, Ok(seq));
    let opened =
        second.open_session(&NodeId::from("node-1"), NOW.plus(Duration::from_secs(60)), NOW).await.unwrap();
    assert_eq!((opened.session.epoch, opened.rescued), (old.epoch + 1, 1));
    let lost = second.turn(turn_at(NOW, &opened.session, all_completed(&claimed), 5)).await.unwrap();
    assert_eq!(lost.lost, [(claimed.claimed[0].key, claimed.claimed[0].token)]);
    assert_eq!(lost.claimed.len(), 2);
}

#[tokio::test]
async fn settings_are_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (durability, synchronous) in [(Durability::Full, 2), (Durability::Normal, 1)] {
        let path = folder.path().join(format!("{synchronous}.db"));
        let store = store_at(&path, StoreOptions { durability, ..StoreOptions::default() }).await.unwrap();
        let mut writer = store.0.writer.lock().await;
        let connection = writer.connection();
        assert_eq!(pragma(connection, "PRAGMA synchronous").await, synchronous);
        assert_eq!(pragma(connection, "PRAGMA wal_autocheckpoint").await, 4000);
        assert_eq!(pragma(connection, "PRAGMA foreign_keys").await, 0);
        assert_eq!(pragma(connection, "PRAGMA busy_timeout").await, 5000);
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(connection).await.unwrap();
        assert_eq!(mode, "wal");
        drop(writer);
        let mut reader = store.0.readers.as_ref().unwrap().acquire().await.unwrap();
        assert!(reader.execute("DELETE FROM events").await.is_err());
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apflow.db");
    drop(store_at(&path, StoreOptions::default()).await.unwrap());
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', true, x'00', 0)";
    stranger(&path).await.execute(newer).await.unwrap();
    let error = store_at(&path, StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreCorrupt);
    assert_eq!(
        (&error.data["schema_version"], &error.data["latest"]),
        (&json!(9999), &json!(latest_schema("sqlite::memory:").unwrap()))
    );
    assert!(error.message.contains("newer"), "{error}");
}

#[tokio::test]
async fn other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "this is not a database, it is only a text that is long enough").unwrap();
    let error = store_at(&text, StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreCorrupt);
    assert!(error.message.contains("notes.txt"), "{error}");

    let other = folder.path().join("other.db");
    stranger(&other).await.execute("CREATE TABLE songs (title TEXT)").await.unwrap();
    let error = store_at(&other, StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreCorrupt);
    assert!(error.message.contains("another program"), "{error}");
    let tables = "SELECT count(*) FROM sqlite_schema";
    assert_eq!(pragma(&mut stranger(&other).await, tables).await, 1);
    assert_eq!(schema_version(&url(&other)).await.unwrap_err().code, ErrorCode::StoreCorrupt);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = store_at(&file.join("apflow.db"), StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreUnavailable);
    let error = store_at(folder.path(), StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreUnavailable);
    assert_eq!(error.data["database"], json!(folder.path().to_str().unwrap()));
}

#[tokio::test]
async fn a_locked_database_is_unavailable_for_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apflow.db");
    let options = StoreOptions { busy_timeout: Duration::from_millis(20), ..StoreOptions::default() };
    let store = store_at(&path, options).await.unwrap();
    let mut other = stranger(&path).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let error = store.insert_tree(&tree(), true, NOW).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreUnavailable);
    assert!(error.message.contains("locked"), "{error}");
    other.execute("ROLLBACK").await.unwrap();
    store.insert_tree(&tree(), true, NOW).await.unwrap();
}

#[tokio::test]
async fn a_turn_that_fails_in_the_middle_leaves_nothing() {
    let store = store().await;
    store.insert_tree(&tree(), true, NOW).await.unwrap();
    let session = session(&store).await;
    let first = store.turn(turn_at(NOW, &session, Vec::new(), 10)).await.unwrap();
    let seq = store.last_seq().await.unwrap();
    let fault = "CREATE TEMP TRIGGER fault BEFORE INSERT ON running BEGIN SELECT RAISE(ABORT, 'fault'); END";
    store.0.writer.lock().await.connection().execute(fault).await.unwrap();
    let error = store.turn(turn_at(NOW, &session, all_completed(&first), 10)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Internal);
    assert_eq!(store.last_seq().await, Ok(seq));
    let running = store.count(TaskFilter::default()).await.unwrap();
    assert_eq!((running.pending, running.in_progress), (1, 2));

    store.0.writer.lock().await.connection().execute("DROP TRIGGER fault").await.unwrap();
    let second = store.turn(turn_at(NOW, &session, all_completed(&first), 10)).await.unwrap();
    assert_eq!(second.claimed.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["r"]);
    assert!(second.lost.is_empty());
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_transaction_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apflow.db");
    let store = store_at(&path, StoreOptions::default()).await.unwrap();
    drop(store.0.begin().await.unwrap());
    // Whoever else writes would be refused at once if it still held the lock.
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other.execute("ROLLBACK").await.unwrap();
    store.insert_tree(&tree(), false, NOW).await.unwrap();
}

/// A verb may be abandoned at any of its waits; the next one finds the store as it was, or as the whole verb left it.
#[tokio::test]
async fn abandoned_verbs_are_whole_or_nothing() {
    let store = store().await;
    let session = session(&store).await;
    store.insert_tree(&tree(), true, NOW).await.unwrap();
    for polls in 0..40 {
        let request = CancelRequest { tasks: vec!["a".into()], cascade: true, message: "m".into(), now: NOW };
        let mut cancel = std::pin::pin!(store.cancel(request));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            if cancel.as_mut().poll(&mut context).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let statuses = store.get(&["a".into(), "r".into()]).await.unwrap();
    let statuses: Vec<TaskStatus> = statuses.into_iter().flatten().map(|task| task.status).collect();
    assert!(statuses == [TaskStatus::Cancelled; 2] || statuses == [TaskStatus::Pending; 2], "{statuses:?}");
    let left = store.turn(turn_at(NOW, &session, Vec::new(), 10)).await.unwrap();
    assert!(left.claimed.iter().any(|run| run.id.as_str() == "b"));
}

#[tokio::test]
async fn keys_and_names_of_deleted_trees_stay_theirs() {
    let store = store().await;
    store.insert_tree(&tree(), false, NOW).await.unwrap();
    let tasks = json!([{"id": "s", "name": "s"}]);
    let other = assemble(read_all(tasks, TreeLimits::default()).unwrap(), NOW).unwrap();
    let second = store.insert_tree(&other, false, NOW).await.unwrap();
    store.delete(&"s".into(), NOW).await.unwrap();
    store.delete(&"r".into(), NOW).await.unwrap();
    let third = store.insert_tree(&tree(), false, NOW).await.unwrap();
    assert!(third.tree > second.tree);
    let of = |tree: &str| EventQuery { tree: Some(tree.into()), limit: 100, ..EventQuery::default() };
    let kinds = |events: Vec<Event>| events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>();
    assert_eq!(kinds(store.events(of("s")).await.unwrap()), ["tree.created", "tree.deleted"]);
    assert_eq!(kinds(store.events(of("r")).await.unwrap()), ["tree.created", "tree.deleted", "tree.created"]);
}

/// Tables that grow with the work; the others are scratch tables, as large as one transaction.
const LARGE: [&str; 9] =
    ["trees", "tasks", "edges", "ready", "delayed", "waiting", "running", "done", "events"];

/// Whether a step of a plan walks through a large table. Plans name tables by their aliases.
fn walks(step: &str, statement: &str) -> bool {
    let Some(name) = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next()) else { return false };
    // The head of the queue is read in order, up to the limit.
    let is_head = step.contains("INDEX ready_in_order");
    let names = |table: &&str| {
        *table == name
            || statement.contains(&format!("{table} {name}\n"))
            || statement.contains(&format!("{table} {name} "))
            || statement.contains(&format!("{table} AS {name} "))
    };
    !is_head && LARGE.iter().any(names)
}

/// A turn and a cancellation find their rows by key, whatever the size of the tables.
#[tokio::test]
async fn hot_statements_walk_through_no_table() {
    let store = store().await;
    let mut writer = store.0.writer.lock().await;
    let bodies = procedure::all().map(|one| one.body.replace("NEW.", "$"));
    for text in bodies.iter().map(String::as_str).chain([turn::whole_text()]) {
        let statements = text.split(';').map(str::trim).filter(|one| !one.is_empty());
        for statement in statements.filter(|one| !one.starts_with("BEGIN") && !one.starts_with("COMMIT")) {
            let explain = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
            for row in explain.fetch_all(writer.connection()).await.unwrap() {
                let step: &str = at(&row, 3).unwrap();
                assert!(!walks(step, statement), "{step} in {statement}");
            }
        }
    }
    assert!(walks("SCAN w", "SELECT 1 FROM waiting w "));
    assert!(!walks("SCAN f", "SELECT 1 FROM finished f "));
}
