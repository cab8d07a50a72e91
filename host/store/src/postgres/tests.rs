//! What is PostgreSQL's own: several hosts at once, conflicts, broken connections, schemas. The meaning of the verbs is
//! tested by the shared suite.

use std::collections::BTreeSet;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::clone::{NewClone, Origin};
use apflow_core::draft::{TreeLimits, read_all};
use apflow_core::error::ErrorCode;
use apflow_core::event::EventKind;
use apflow_core::id::{NodeId, Seq, TaskId};
use apflow_core::lease::Session;
use apflow_core::receipt::NewReceipt;
use apflow_core::store::{EventQuery, Fired, ScheduleStore as _, Store, TaskFilter, Turn};
use apflow_core::tree::{NewTree, assemble};
use apflow_testkit::postgres::{Database, Server};
use apflow_testkit::suite::rig::{START as NOW, all_completed, turn_at};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::code::CODE;
use super::*;
use crate::database::sql;
use crate::stored::Stored;
use crate::{latest_schema, schema_version};

pub(super) async fn store(database: &Database) -> Stored<PostgresStore> {
    Stored(PostgresStore::open(&database.url, StoreOptions::default()).await.unwrap())
}

/// A connection of somebody else.
async fn stranger(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

async fn number(connection: &mut PgConnection, text: &'static str) -> i64 {
    sqlx::query_scalar(text).fetch_one(connection).await.unwrap()
}

/// Waits until one backend waits for a lock of another.
async fn somebody_waits(connection: &mut PgConnection) {
    while number(connection, "SELECT count(*) FROM pg_locks WHERE NOT granted").await == 0 {
        tokio::task::yield_now().await;
    }
}

fn tree(tasks: Value) -> NewTree {
    assemble(read_all(tasks, TreeLimits::default()).unwrap(), NOW).unwrap()
}

/// `id`, and as many tasks beside it.
fn flat(id: &str, more: usize) -> NewTree {
    let child = |i| json!({"id": format!("{id}.{i}"), "name": format!("{i}"), "parent_id": id});
    let root = json!({"id": id, "name": id});
    tree(std::iter::once(root).chain((0..more).map(child)).collect())
}

async fn session(store: &dyn Store, node: &str) -> Session {
    store.open_session(&NodeId::from(node), NOW.plus(Duration::from_secs(60)), NOW).await.unwrap().session
}

/// Runs turns until nothing is ready; gives the claimed tasks in their order.
async fn drain(store: &dyn Store, node: &str) -> Vec<String> {
    let session = session(store, node).await;
    let (mut claimed, mut finished) = (Vec::new(), Vec::new());
    loop {
        let outcome = store.turn(turn_at(NOW, &session, finished, 7)).await.unwrap();
        claimed.extend(outcome.claimed.iter().map(|run| run.id.to_string()));
        finished = all_completed(&outcome);
        if finished.is_empty() && !outcome.more {
            return claimed;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_never_share_a_task_and_their_trees_end_once() {
    let database = Database::new();
    let (one, two) = (store(&database).await, store(&database).await);
    for i in 0..8 {
        one.insert_tree(&flat(&format!("r{i}"), 24), true, NOW).await.unwrap();
    }
    let (first, second) = tokio::join!(drain(&one, "one"), drain(&two, "two"));
    let distinct: BTreeSet<&String> = first.iter().chain(&second).collect();
    assert_eq!((first.len() + second.len(), distinct.len()), (200, 200));
    let query = EventQuery { kinds: vec![EventKind::TreeCompleted], limit: 100, ..EventQuery::default() };
    assert_eq!(two.events(query).await.unwrap().len(), 8);
    assert_eq!(one.count(TaskFilter::default()).await.unwrap().completed, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_misses_nothing_that_two_hosts_write() {
    let database = Database::new();
    let (one, two, reader) = (store(&database).await, store(&database).await, store(&database).await);
    let write = async |store: &dyn Store, name: &str| {
        for i in 0..60 {
            store.insert_tree(&flat(&format!("{name}{i}"), 3), true, NOW).await.unwrap();
        }
        drain(store, name).await;
    };
    let writing = async { tokio::join!(write(&one, "a"), write(&two, "b")) };
    let mut writing = std::pin::pin!(writing);
    let mut seen = Vec::new();
    let mut is_over = false;
    loop {
        let after = seen.last().copied().unwrap_or_default();
        let query = EventQuery { after, limit: 50, ..EventQuery::default() };
        let page = tokio::select! {
            biased;
            page = reader.events(query) => page.unwrap(),
            _ = &mut writing, if !is_over => {
                is_over = true;
                continue;
            }
        };
        seen.extend(page.iter().map(|event| event.seq));
        if page.is_empty() {
            if is_over {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let all = EventQuery { limit: 1_000_000, ..EventQuery::default() };
    let all: Vec<Seq> = reader.events(all).await.unwrap().iter().map(|event| event.seq).collect();
    assert!(all.len() >= 120 * (3 + 2 * 4), "{}", all.len());
    assert_eq!(seen, all);
    assert_eq!(reader.last_seq().await, Ok(all[all.len() - 1]));
}

/// An event that was written early and is committed late is waited for, not passed over.
#[tokio::test]
async fn the_log_waits_for_what_may_still_come() {
    let database = Database::new();
    let store = store(&database).await;
    store.insert_tree(&flat("r", 0), false, NOW).await.unwrap();
    assert_eq!(store.last_seq().await, Ok(Seq(1)));
    let mut late = stranger(&database).await;
    late.execute(
        "BEGIN; SELECT pg_current_xact_id();
         INSERT INTO apflow.events (tree, attempt, kind, at, seq) VALUES (1, 0, 1, 1, nextval('apflow.positions'))",
    )
    .await
    .unwrap();
    store.insert_tree(&flat("s", 0), false, NOW).await.unwrap();
    let query = || EventQuery { after: Seq(1), limit: 10, ..EventQuery::default() };
    let mut reading = std::pin::pin!(store.events(query()));
    let commit = async {
        // Until the reader has looked for its barrier.
        somebody_has_a_barrier(&database).await;
        late.execute("COMMIT").await.unwrap();
    };
    let (events, ()) = tokio::join!(&mut reading, commit);
    let seen: Vec<i64> = events.unwrap().iter().map(|event| event.seq.0).collect();
    assert_eq!(seen, [2, 3]);
}

async fn somebody_has_a_barrier(database: &Database) {
    let mut connection = stranger(database).await;
    let text = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'SELECT pg_snapshot_xmin%'
                   AND query_start > (SELECT min(xact_start) FROM pg_stat_activity
                                       WHERE datname = current_database() AND state = 'idle in transaction')";
    while number(&mut connection, text).await == 0 {
        tokio::task::yield_now().await;
    }
}

/// The turn is the one that the database gives up, and it is played again.
#[tokio::test]
async fn a_turn_in_a_deadlock_is_played_again() {
    let database = Database::new();
    let store = store(&database).await;
    for id in ["a", "b"] {
        store.insert_tree(&flat(id, 0), true, NOW).await.unwrap();
    }
    let session = session(&store, "one").await;
    let claimed = store.turn(turn_at(NOW, &session, Vec::new(), 10)).await.unwrap();
    let mut other = stranger(&database).await;
    other.execute("SET deadlock_timeout = '10min'; SET search_path = apflow; BEGIN").await.unwrap();
    other.execute("SELECT 1 FROM trees WHERE id = 'b' FOR UPDATE").await.unwrap();
    let mut watcher = stranger(&database).await;
    let interfere = async {
        somebody_waits(&mut watcher).await;
        // The turn holds `a` and waits for `b`; now both wait, until the turn looks for a circle.
        other.execute("SELECT 1 FROM trees WHERE id = 'a' FOR UPDATE").await.unwrap();
        other.execute("COMMIT").await.unwrap();
    };
    let (outcome, ()) =
        tokio::join!(store.turn(turn_at(NOW, &session, all_completed(&claimed), 10)), interfere);
    assert_eq!(outcome.unwrap().ended.len(), 2);
    let deadlocks = "SELECT count(*) FROM apflow.events WHERE kind = 3";
    assert_eq!(number(&mut watcher, deadlocks).await, 2);
}

fn receipt(key: &str) -> NewReceipt {
    NewReceipt { key: key.into(), digest: "d".into() }
}

/// Of two hosts that are asked with one key and the same ids one creates, and both give its tree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_makes_one_tree_whichever_host_is_asked() {
    let database = Database::new();
    let (one, two) = (store(&database).await, store(&database).await);
    for i in 0..20 {
        let (tree, receipt) = (flat(&format!("r{i}"), 3), receipt(&format!("k{i}")));
        let (first, second) = tokio::join!(
            one.insert_once(&tree, &receipt, true, NOW),
            two.insert_once(&tree, &receipt, true, NOW)
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.receipt, second.receipt);
        assert_ne!(first.inserted.is_some(), second.inserted.is_some());
    }
    assert_eq!(one.count(TaskFilter::default()).await.unwrap().total(), 80);
}

/// Whoever comes second waits for what becomes of the first one's transaction, and may then find the key free.
#[tokio::test]
async fn a_key_that_is_being_taken_or_freed_is_waited_for() {
    let database = Database::new();
    let store = store(&database).await;
    let (mut other, mut watcher) = (stranger(&database).await, stranger(&database).await);
    let taken = "BEGIN; INSERT INTO apflow.receipts VALUES ('', 'k', 'other', 0, 1)";
    for (id, first, end) in [("r", taken, "ROLLBACK"), ("s", "BEGIN; DELETE FROM apflow.receipts", "COMMIT")]
    {
        other.execute(first).await.unwrap();
        let (tree, receipt) = (flat(id, 0), receipt("k"));
        let finish = async {
            somebody_waits(&mut watcher).await;
            other.execute(end).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(store.insert_once(&tree, &receipt, false, NOW), finish);
        assert_eq!(outcome.unwrap().receipt.tree_id.as_str(), id);
    }
}

/// A clone is made of what its original is once nobody is changing that.
#[tokio::test]
async fn a_clone_waits_for_who_deletes_its_original() {
    let database = Database::new();
    let store = store(&database).await;
    store.insert_tree(&flat("r", 0), false, NOW).await.unwrap();
    let (mut other, mut watcher) = (stranger(&database).await, stranger(&database).await);
    other.execute("BEGIN; SELECT 1 FROM apflow.trees WHERE id = 'r' FOR UPDATE").await.unwrap();
    let origins = vec![Origin { original: "r".into(), link: false }];
    let clone = NewClone { tree: flat("c", 0), origins };
    let finish = async {
        somebody_waits(&mut watcher).await;
        other.execute("DELETE FROM apflow.tasks; DELETE FROM apflow.trees; COMMIT").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(store.insert_clone(&clone, NOW), finish);
    assert_eq!(outcome.unwrap_err().code, ErrorCode::TaskNotFound);
    assert_eq!(store.count(TaskFilter::default()).await.unwrap().total(), 0);
}

/// `id`, due every minute.
async fn scheduled(store: &dyn Store, id: &str) -> Timestamp {
    let root = json!({
        "id": id, "name": id, "schedule_type": "interval", "schedule_expression": "60", "schedule_enabled": true,
    });
    store.insert_tree(&tree(json!([root])), false, NOW).await.unwrap();
    store.get(&[id.into()]).await.unwrap()[0].as_ref().unwrap().schedule.next_run_at.unwrap()
}

/// Of two hosts that find the same due times at the same moment, one executes each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_fire_each_due_time_once() {
    let database = Database::new();
    let (one, two) = (store(&database).await, store(&database).await);
    for i in 0..40 {
        let id = TaskId::from(format!("r{i}").as_str());
        let due = scheduled(&one, id.as_str()).await;
        let (first, second) =
            tokio::join!(one.fire_schedule(&id, due, due), two.fire_schedule(&id, due, due));
        let fired = [first.unwrap(), second.unwrap()];
        let started = fired.iter().filter(|fired| matches!(fired, Fired::Started { .. })).count();
        assert_eq!((started, fired.contains(&Fired::Stale)), (1, true), "{fired:?}");
    }
    let mut other = stranger(&database).await;
    assert_eq!(number(&mut other, "SELECT count(*) FROM apflow.schedule_runs").await, 40);
}

/// Who fires waits for whoever is changing the tree, and then looks again.
#[tokio::test]
async fn firing_waits_for_who_changes_the_tree() {
    let database = Database::new();
    let store = store(&database).await;
    let due = scheduled(&store, "r").await;
    let (mut other, mut watcher) = (stranger(&database).await, stranger(&database).await);
    let change = "BEGIN; SELECT 1 FROM apflow.trees WHERE id = 'r' FOR UPDATE; UPDATE apflow.schedules SET enabled = 0";
    other.execute(change).await.unwrap();
    let id = TaskId::from("r");
    let finish = async {
        somebody_waits(&mut watcher).await;
        other.execute("COMMIT").await.unwrap();
    };
    let (fired, ()) = tokio::join!(store.fire_schedule(&id, due, due), finish);
    assert_eq!(fired, Ok(Fired::Stale));
}

/// The end of a run is written in the transaction that ends the execution, whichever build's functions that one uses.
#[tokio::test]
async fn the_end_of_a_run_needs_no_functions_of_a_build() {
    let database = Database::new();
    let store = store(&database).await;
    let due = scheduled(&store, "r").await;
    let fired = store.fire_schedule(&"r".into(), due, due).await.unwrap();
    assert!(matches!(fired, Fired::Started { .. }), "{fired:?}");
    let (mut other, mut watcher) = (stranger(&database).await, stranger(&database).await);
    // The user of the tests has the name of the schema, which would be found by itself.
    let gone = format!("DROP SCHEMA {} CASCADE; SET search_path = public", CODE.schema);
    other.execute(sql(gone)).await.unwrap();
    let ended = "SELECT count(*) FROM apflow.schedule_runs r JOIN apflow.schedules s ON s.n = r.n
                  WHERE r.status = 'completed' AND s.run_count = 1 AND r.ended_at = 7 AND s.last_run_at = 7";
    let end = "BEGIN; UPDATE apflow.trees SET status = 2, ended_at = 7 WHERE id = 'r'";
    for (last, count) in [("ROLLBACK", 0), ("COMMIT", 1)] {
        other.execute(end).await.unwrap();
        assert_eq!((number(&mut other, ended).await, number(&mut watcher, ended).await), (1, 0));
        other.execute(last).await.unwrap();
        assert_eq!(number(&mut watcher, ended).await, count, "{last}");
    }
}

#[tokio::test]
async fn a_lost_connection_says_so_and_comes_back_by_itself() {
    let server = Server::own();
    let database = server.database();
    let store = store(&database).await;
    store.insert_tree(&flat("r", 3), true, NOW).await.unwrap();
    let session = session(&store, "one").await;
    let first = store.turn(turn_at(NOW, &session, Vec::new(), 2)).await.unwrap();
    server.stop();
    // Claims are told apart by their time, which does not stand still.
    let turn = |seconds, finished| {
        let now = NOW.plus(Duration::from_secs(seconds));
        store.turn(Turn { now, ..turn_at(NOW, &session, finished, 2) })
    };
    for seconds in 1..=2 {
        let error = turn(seconds, all_completed(&first)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::StoreUnavailable, "{error}");
    }
    let error = store.get(&["r".into()]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreUnavailable, "{error}");
    server.restart();
    let second = turn(3, all_completed(&first)).await.unwrap();
    assert_eq!((second.claimed.len(), second.lost.len()), (2, 0));
    let last = turn(4, all_completed(&second)).await.unwrap();
    assert_eq!(last.ended.len(), 1);
    assert!(store.get(&["r".into()]).await.unwrap()[0].is_some());
}

/// What a turn has claimed whose answer never came is ready again.
#[tokio::test]
async fn claims_that_nobody_was_told_of_are_given_back() {
    let database = Database::new();
    let store = store(&database).await;
    store.insert_tree(&flat("r", 0), true, NOW).await.unwrap();
    let session = session(&store, "one").await;
    store.turn(turn_at(NOW, &session, Vec::new(), 5)).await.unwrap();
    // As if the connection had broken between the commit and the answer.
    let mut turner = store.0.turner.lock().await;
    *turner = Turner::cut_off(session.clone(), NOW);
    drop(turner);
    let again = store.turn(turn_at(NOW, &session, Vec::new(), 5)).await.unwrap();
    let claimed: Vec<(u32, i64)> = again.claimed.iter().map(|run| (run.tries, run.token.0)).collect();
    assert_eq!(claimed, [(1, 3)]);
}

#[tokio::test]
async fn schemas_are_made_once_and_those_of_others_refused() {
    let database = Database::new();
    let newest = latest_schema(&database.url).unwrap();
    assert_eq!(schema_version(&database.url).await, Ok(0));
    let (one, two) = tokio::join!(store(&database), store(&database));
    one.insert_tree(&flat("r", 0), false, NOW).await.unwrap();
    assert!(two.get(&["r".into()]).await.unwrap()[0].is_some());
    assert_eq!(schema_version(&database.url).await, Ok(newest));

    let mut other = stranger(&database).await;
    other
        .execute(
            "INSERT INTO apflow._sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', true, '', 0)",
        )
        .await
        .unwrap();
    let error = PostgresStore::open(&database.url, StoreOptions::default()).await.unwrap_err();
    assert_eq!((error.code, &error.data["schema_version"]), (ErrorCode::StoreCorrupt, &json!(9999)));

    let foreign = Database::new();
    stranger(&foreign).await.execute("CREATE SCHEMA apflow CREATE TABLE songs (title text)").await.unwrap();
    let error = PostgresStore::open(&foreign.url, StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreCorrupt);
    assert!(error.message.contains("another program"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_reached_or_stored_is_named() {
    let database = Database::new();
    let missing = format!("{}_missing", database.url);
    let error = PostgresStore::open(&missing, StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreUnavailable);
    assert!(error.message.contains("CREATE DATABASE"), "{error}");
    let error =
        PostgresStore::open("postgres://a:secret@h:port/d", StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParams);
    assert!(!error.message.contains("secret"), "{error}");

    let store = store(&database).await;
    let nul = tree(json!([{"id": "r", "name": "a\u{0}b"}]));
    let error = store.insert_tree(&nul, true, NOW).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParams);
    assert!(error.message.contains("U+0000"), "{error}");
}
