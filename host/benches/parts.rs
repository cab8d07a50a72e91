//! Where the microseconds of a task go in the store, beside the floor of each part: the bare database that writes the same
//! rows, made inside it, in the same batches and transactions. Ours and the floor take turns in one run.
//! `cargo bench --bench parts`, for PostgreSQL too with `APFLOW_BENCH_DATABASE_URL=postgres://USER@HOST/DATABASE`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_core::draft::{TreeLimits, read_all};
use apflow_core::id::{NodeId, Seq};
use apflow_core::json::Json;
use apflow_core::lease::Session;
use apflow_core::store::{ClaimedRun, EventQuery, FinishedRun, RunOutcome, Store, Turn};
use apflow_core::tree::{NewTree, assemble};
use apflow_store::{Durability, StoreOptions, open, scratch};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

/// Runs that a turn claims or records.
const BATCH: u32 = 256;
/// Tasks of a tree.
const TREE: u32 = 40 * BATCH;
const TREES: u32 = 5;
/// Events that a read fetches.
const READ: u32 = 500;

/// What a run leaves behind, as the sandbox writes it.
const RECEIPT: &str = r#"{"plugin":"noop_executor","version":"0.1.0","digest":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","wall_us":31,"cpu_us":27,"peak_memory_bytes":1179648,"host_calls":0,"bytes_in":4,"bytes_out":2,"hosts":[]}"#;

/// A part, and the microseconds that each of its batches took for each of its rows.
struct Part {
    name: &'static str,
    ours: Vec<f64>,
    floor: Vec<f64>,
}

impl Part {
    const fn new(name: &'static str) -> Self {
        Self { name, ours: Vec::new(), floor: Vec::new() }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // `cargo test --benches` and the like only want to know that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let bare = Bare::Sqlite(sqlite(&file("bare.db")).await);
        show("SQLite", &measure(&file("ours.db"), bare).await);
        let Ok(server) = std::env::var("APFLOW_BENCH_DATABASE_URL") else {
            println!("PostgreSQL: not measured, APFLOW_BENCH_DATABASE_URL names no database");
            return;
        };
        let name = |what: &str| format!("apflow_parts_{what}_{}", std::process::id());
        let ours = scratch::create(&server, &name("ours")).await.expect("a database");
        let floor = scratch::create(&server, &name("bare")).await.expect("a database");
        let bare = Bare::Postgres(postgres(&floor).await);
        show("PostgreSQL", &measure(&ours, bare).await);
        for url in [ours, floor] {
            scratch::remove(&url).await.expect("the database is removed");
        }
    });
}

fn show(database: &str, parts: &[Part]) {
    println!(
        "\n{database}, batches of {BATCH}, µs a row\n{:<28}{:>8}{:>8}{:>8}",
        "part", "ours", "floor", "ratio"
    );
    for part in parts {
        let (ours, floor) = (median(&part.ours), median(&part.floor));
        println!("{:<28}{ours:>8.2}{floor:>8.2}{:>8.2}", part.name, ours / floor);
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros(time: Duration, rows: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(rows)
}

async fn measure(url: &str, mut bare: Bare) -> [Part; 4] {
    let mut parts = [
        Part::new("insert, one transaction"),
        Part::new("claim"),
        Part::new("record"),
        Part::new("read events"),
    ];
    let [insert, claim, record, read] = &mut parts;
    let options = StoreOptions { durability: Durability::Normal, ..StoreOptions::default() };
    let store = open(url, options).await.expect("a store");
    let now = SystemClock.now();
    let until = now.plus(Duration::from_secs(3_600));
    let session = store.open_session(&NodeId::from("bench"), until, now).await.expect("a session").session;
    for tree in 0..TREES {
        let first = tree * TREE;
        let began = Instant::now();
        store.insert_tree(&flat(), true, SystemClock.now()).await.expect("inserted");
        insert.ours.push(micros(began.elapsed(), TREE));
        insert.floor.push(micros(bare.run(&bare.insert(first, first + TREE)).await, TREE));
        let mut claimed = Vec::new();
        for at in batches(first) {
            let (took, runs) = turn(&store, &session, Vec::new(), BATCH).await;
            claim.ours.push(micros(took, BATCH));
            claim.floor.push(micros(bare.run(&bare.claim(at, at + BATCH)).await, BATCH));
            claimed.push(runs);
        }
        for (at, runs) in batches(first).zip(claimed) {
            assert_eq!(runs.len(), BATCH as usize);
            let finished = runs.iter().map(completed).collect();
            record.ours.push(micros(turn(&store, &session, finished, 0).await.0, BATCH));
            record.floor.push(micros(bare.run(&bare.record(at, at + BATCH)).await, BATCH));
        }
    }
    let mut after = Seq(0);
    for at in (0..TREES * TREE).step_by(READ as usize) {
        let query = EventQuery { after, limit: READ, ..EventQuery::default() };
        let began = Instant::now();
        let events = store.events(query).await.expect("events");
        read.ours.push(micros(began.elapsed(), READ));
        after = events.last().expect("an event").seq;
        read.floor.push(micros(
            bare.run(&format!("SELECT * FROM events WHERE seq > {at} ORDER BY seq LIMIT {READ}")).await,
            READ,
        ));
    }
    parts
}

fn batches(first: u32) -> impl Iterator<Item = u32> {
    (first..first + TREE).step_by(BATCH as usize)
}

fn flat() -> NewTree {
    let task = |i: u32| match i {
        0 => json!({ "name": "root", "executor": "noop_executor" }),
        _ => json!({ "name": format!("t{i}"), "parent_id": "root", "executor": "noop_executor" }),
    };
    let tasks: Value = (0..TREE).map(task).collect();
    let drafts = read_all(tasks, TreeLimits::default()).expect("tasks");
    assemble(drafts, SystemClock.now()).expect("a tree")
}

async fn turn(
    store: &Arc<dyn Store>,
    session: &Session,
    finished: Vec<FinishedRun>,
    claim: u32,
) -> (Duration, Vec<ClaimedRun>) {
    let now = SystemClock.now();
    let turn =
        Turn { session: session.clone(), now, finished, progress: Vec::new(), claim, started_first: false };
    let began = Instant::now();
    let outcome = store.turn(turn).await.expect("a turn");
    (began.elapsed(), outcome.claimed)
}

fn completed(run: &ClaimedRun) -> FinishedRun {
    FinishedRun {
        key: run.key,
        token: run.token,
        outcome: RunOutcome::Completed { result: Json::object() },
        inputs: None,
        receipt: Some(Json::trusted(RECEIPT)),
    }
}

/// A database with tables of the same form, and no apflow.
enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Tables and indexes; `KEY` is an integer key.
const TABLES: &str = "
CREATE TABLE tasks (n KEY, tree bigint NOT NULL, parent bigint, id text NOT NULL UNIQUE, name text NOT NULL,
    priority bigint NOT NULL, executor text, inputs text NOT NULL, params text NOT NULL, more text, updated_at bigint);
CREATE INDEX tasks_by_parent ON tasks (parent) WHERE parent IS NOT NULL;
CREATE TABLE ready (n KEY, tree bigint NOT NULL, priority bigint NOT NULL, due bigint NOT NULL, attempt bigint NOT NULL,
    base bigint NOT NULL, token bigint NOT NULL);
CREATE INDEX ready_in_order ON ready (priority, due, n);
CREATE TABLE running (n KEY, tree bigint NOT NULL, attempt bigint NOT NULL, base bigint NOT NULL, token bigint NOT NULL,
    priority bigint NOT NULL, node bigint NOT NULL, started_at bigint NOT NULL, progress double precision);
CREATE TABLE done (n bigint NOT NULL, attempt bigint NOT NULL, status bigint NOT NULL, node bigint, started_at bigint,
    ended_at bigint NOT NULL, token bigint NOT NULL, result text, error text, inputs text, receipt text,
    PRIMARY KEY (n, attempt));
CREATE TABLE events (seq KEY, tree bigint NOT NULL, n bigint, attempt bigint NOT NULL, kind bigint NOT NULL,
    at bigint NOT NULL, started_at bigint, data text);
CREATE INDEX events_by_tree ON events (tree, seq);";

async fn sqlite(url: &str) -> SqliteConnection {
    let url = format!("{url}?mode=rwc");
    let mut connection = SqliteConnection::connect(&url).await.expect("a database");
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000;
                    PRAGMA cache_size = -65536;";
    let text = format!("{settings} {}", TABLES.replace("KEY,", "INTEGER PRIMARY KEY,"));
    connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.expect("tables");
    connection
}

async fn postgres(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.expect("a database");
    let tables = TABLES.replace("seq KEY,", "seq bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,");
    let text = format!("SET synchronous_commit = off; {}", tables.replace("KEY,", "bigint PRIMARY KEY,"));
    connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.expect("tables");
    connection
}

impl Bare {
    async fn run(&mut self, text: &str) -> Duration {
        let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        let began = Instant::now();
        match self {
            Self::Sqlite(connection) => drop(connection.fetch_all(query).await.expect("rows")),
            Self::Postgres(connection) => drop(connection.fetch_all(query).await.expect("rows")),
        }
        began.elapsed()
    }

    /// The numbers from `from` up to `to`, that one left out, as a table `s (i)`.
    fn series(&self, from: u32, to: u32) -> String {
        let last = to - 1;
        match self {
            Self::Sqlite(_) => format!(
                "(WITH RECURSIVE s (i) AS (VALUES ({from}) UNION ALL SELECT i + 1 FROM s WHERE i < {last}) SELECT i FROM s) AS s"
            ),
            Self::Postgres(_) => format!("generate_series({from}, {last}) AS s (i)"),
        }
    }

    fn insert(&self, from: u32, to: u32) -> String {
        let series = self.series(from, to);
        let id = match self {
            Self::Sqlite(_) => "printf('%036d', i)",
            Self::Postgres(_) => "lpad(i::text, 36, '0')",
        };
        format!(
            "BEGIN;
             INSERT INTO tasks SELECT i, 1, {from}, {id}, 't' || i, 2, 'noop_executor', '{{}}',
                    '{{\"executor_id\":\"noop_executor\"}}', NULL, NULL FROM {series};
             INSERT INTO ready SELECT i, 1, 2, 1700000000000000, 0, 0, 0 FROM {series};
             COMMIT;"
        )
    }

    fn claim(&self, from: u32, to: u32) -> String {
        let (series, last) = (self.series(from, to), to - 1);
        format!(
            "BEGIN;
             DELETE FROM ready WHERE n BETWEEN {from} AND {last};
             INSERT INTO running SELECT i, 1, 1, 0, 1, 2, 1, 1700000000000000, NULL FROM {series};
             INSERT INTO events (tree, n, attempt, kind, at) SELECT 1, i, 1, 20, 1700000000000000 FROM {series};
             SELECT n, id, name, executor, inputs, params FROM tasks WHERE n BETWEEN {from} AND {last};
             COMMIT;"
        )
    }

    fn record(&self, from: u32, to: u32) -> String {
        let (series, last) = (self.series(from, to), to - 1);
        format!(
            "BEGIN;
             DELETE FROM running WHERE n BETWEEN {from} AND {last};
             INSERT INTO done SELECT i, 1, 2, 1, 1700000000000000, 1700000000000000, 1, '{{}}', NULL, NULL, '{RECEIPT}'
               FROM {series};
             INSERT INTO events (tree, n, attempt, kind, at, started_at)
             SELECT 1, i, 1, 21, 1700000000000000, 1700000000000000 FROM {series};
             COMMIT;"
        )
    }
}
