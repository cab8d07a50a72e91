//! Moving a whole database, from any kind to any other: every table as it is, runs, leases and the log included. Rows
//! travel as JSON arrays, which both kinds of databases write and read by themselves.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use serde::Serialize;

use crate::database::{Database, Dialect, Work, arguments, sql};
use crate::rows::at;

/// Rows that travel at a time.
const BATCH: usize = 500;

/// How a column is read out of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Real,
}

use Kind::{Int, Real, Text};

/// A table: its name, its columns, and how many of them, from the first, are its key.
#[derive(Debug)]
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    key: usize,
}

/// All tables; a test compares the list with the schemas.
const TABLES: &[Table] = &[
    Table {
        name: "trees",
        columns: &[
            ("n", Int),
            ("id", Text),
            ("user_id", Text),
            ("root", Int),
            ("last", Int),
            ("created_at", Int),
            ("execution", Int),
            ("status", Int),
            ("open", Int),
            ("failed", Int),
            ("cancelled", Int),
            ("started_seq", Int),
            ("started_at", Int),
            ("ended_at", Int),
            ("deadline_ms", Int),
        ],
        key: 1,
    },
    Table {
        name: "tasks",
        columns: &[
            ("n", Int),
            ("tree", Int),
            ("parent", Int),
            ("id", Text),
            ("name", Text),
            ("priority", Int),
            ("executor", Text),
            ("inputs", Text),
            ("params", Text),
            ("more", Text),
            ("updated_at", Int),
        ],
        key: 1,
    },
    Table {
        name: "edges",
        columns: &[("task", Int), ("pos", Int), ("dep", Int), ("required", Int), ("kind", Int)],
        key: 2,
    },
    Table { name: "ready", columns: QUEUE, key: 1 },
    Table {
        name: "delayed",
        columns: &[
            ("n", Int),
            ("tree", Int),
            ("priority", Int),
            ("due", Int),
            ("attempt", Int),
            ("base", Int),
            ("token", Int),
            ("gate", Int),
        ],
        key: 1,
    },
    Table {
        name: "waiting",
        columns: &[
            ("n", Int),
            ("tree", Int),
            ("waiting_on", Int),
            ("blocked_by", Int),
            ("priority", Int),
            ("due", Int),
            ("attempt", Int),
            ("base", Int),
            ("token", Int),
        ],
        key: 1,
    },
    Table {
        name: "running",
        columns: &[
            ("n", Int),
            ("tree", Int),
            ("attempt", Int),
            ("base", Int),
            ("token", Int),
            ("priority", Int),
            ("node", Int),
            ("started_at", Int),
            ("progress", Real),
            ("executor_gate", Int),
            ("key_gate", Int),
        ],
        key: 1,
    },
    Table {
        name: "done",
        columns: &[
            ("n", Int),
            ("attempt", Int),
            ("status", Int),
            ("node", Int),
            ("started_at", Int),
            ("ended_at", Int),
            ("token", Int),
            ("result", Text),
            ("error", Text),
            ("inputs", Text),
            ("receipt", Text),
        ],
        key: 2,
    },
    Table { name: "reopened", columns: &[("n", Int), ("attempt", Int)], key: 1 },
    Table {
        name: "events",
        columns: &[
            ("seq", Int),
            ("tree", Int),
            ("n", Int),
            ("attempt", Int),
            ("kind", Int),
            ("at", Int),
            ("started_at", Int),
            ("data", Text),
        ],
        key: 1,
    },
    Table {
        name: "sessions",
        columns: &[("n", Int), ("node", Text), ("epoch", Int), ("until", Int), ("ended", Int)],
        key: 1,
    },
    Table {
        name: "schedules",
        columns: &[
            ("n", Int),
            ("kind", Text),
            ("expression", Text),
            ("zone", Text),
            ("missed", Text),
            ("overlap", Text),
            ("enabled", Int),
            ("start_at", Int),
            ("end_at", Int),
            ("max_runs", Int),
            ("run_count", Int),
            ("next_run_at", Int),
            ("last_run_at", Int),
        ],
        key: 1,
    },
    Table {
        name: "schedule_runs",
        columns: &[
            ("n", Int),
            ("due", Int),
            ("status", Text),
            ("due_count", Int),
            ("execution", Int),
            ("started_at", Int),
            ("ended_at", Int),
            ("error", Text),
        ],
        key: 2,
    },
    Table {
        name: "gate_rules",
        columns: &[
            ("n", Int),
            ("scope", Int),
            ("name", Text),
            ("prefix", Int),
            ("max_running", Int),
            ("spacing", Int),
            ("burst", Int),
        ],
        key: 1,
    },
    // Behind the queues: SQLite counts at gates what comes into them, and here come the counts as they were.
    Table {
        name: "gates",
        columns: &[
            ("n", Int),
            ("scope", Int),
            ("name", Text),
            ("max_running", Int),
            ("spacing", Int),
            ("burst", Int),
            ("running", Int),
            ("parked", Int),
            ("opens_at", Int),
        ],
        key: 1,
    },
    Table { name: "keyed", columns: &[("n", Int), ("gate", Int)], key: 1 },
    Table { name: "cursors", columns: &[("name", Text), ("seq", Int), ("seen_at", Int)], key: 1 },
    Table { name: "log_start", columns: &[("one", Int), ("seq", Int)], key: 1 },
    Table {
        name: "webhooks",
        columns: &[
            ("n", Int),
            ("id", Text),
            ("definition", Text),
            ("of_execution", Int),
            ("enabled", Int),
            ("created_at", Int),
            ("updated_at", Int),
            ("cursor", Int),
            ("seen_at", Int),
            ("attempts", Int),
            ("next_at", Int),
            ("node", Text),
            ("epoch", Int),
            ("until", Int),
            ("delivered", Int),
            ("last_success_at", Int),
            ("last_error_at", Int),
            ("last_error", Text),
            ("failing_since", Int),
            ("disabled_reason", Text),
        ],
        key: 1,
    },
    Table {
        name: "dead_letters",
        columns: &[
            ("webhook", Int),
            ("seq", Int),
            ("kind", Int),
            ("body", Text),
            ("attempts", Int),
            ("status", Int),
            ("error", Text),
            ("at", Int),
            ("queued", Int),
        ],
        key: 2,
    },
    Table {
        name: "deliveries",
        columns: &[
            ("n", Int),
            ("webhook", Int),
            ("seq", Int),
            ("attempt", Int),
            ("at", Int),
            ("duration", Int),
            ("status", Int),
            ("error", Text),
        ],
        key: 1,
    },
    Table {
        name: "origins",
        columns: &[("n", Int), ("type", Int), ("original", Int), ("archived_at", Int)],
        key: 1,
    },
    Table {
        name: "receipts",
        columns: &[("owner", Text), ("key", Text), ("digest", Text), ("tree", Int), ("created_at", Int)],
        key: 2,
    },
    Table {
        name: "plugin_state",
        columns: &[("plugin", Text), ("key", Text), ("value", Text), ("version", Int)],
        key: 2,
    },
    Table { name: "checkpoints", columns: &[("n", Int), ("execution", Int), ("data", Text)], key: 1 },
    Table {
        name: "child_trees",
        columns: &[("tree", Int), ("task", Int), ("execution", Int), ("depth", Int)],
        key: 1,
    },
    Table { name: "removed_trees", columns: &[("n", Int), ("id", Text), ("user_id", Text)], key: 1 },
    Table { name: "removed_tasks", columns: &[("n", Int), ("id", Text), ("executor", Text)], key: 1 },
];

const QUEUE: &[(&str, Kind)] = &[
    ("n", Int),
    ("tree", Int),
    ("priority", Int),
    ("due", Int),
    ("attempt", Int),
    ("base", Int),
    ("token", Int),
];

/// What a table of the source became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Name of the table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// Copies everything from one database into an empty one, in one transaction there, while nobody writes here.
pub(crate) async fn copy(from: &impl Database, to: &impl Database, now: Timestamp) -> Result<Vec<Moved>> {
    let mut source = from.begin().await?;
    let copied = async {
        still(&mut source, now).await?;
        let mut target = to.begin().await?;
        let outcome = tables(&mut source, &mut target).await;
        target.end(outcome).await
    };
    let outcome = copied.await;
    source.end(outcome).await
}

async fn tables(source: &mut impl Work, target: &mut impl Work) -> Result<Vec<Moved>> {
    check_empty(target).await?;
    let mut moved = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        moved.push(Moved { table: table.name, rows: table.copy(source, target).await? });
    }
    count_on(target).await?;
    Ok(moved)
}

/// Keeps others from writing, and makes sure that no host is at work: it would go on in a database that nobody reads.
async fn still<W: Work>(source: &mut W, now: Timestamp) -> Result<()> {
    if W::DIALECT == Dialect::Postgres {
        let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        let text = format!("LOCK TABLE {} IN SHARE MODE", names.join(", "));
        source.rows(sql(text), Vec::new(), |_| Ok(())).await?;
    }
    let text = "SELECT node FROM sessions WHERE ended = 0 AND until > $1 ORDER BY node";
    let nodes = source.rows(sql(text), arguments![now], |row| at::<String>(row, 0)).await?;
    match nodes.first() {
        None => Ok(()),
        Some(node) => Err(Error::new(
            ErrorCode::StoreUnavailable,
            format!(
                "Host '{node}' works on the database that is to be moved. Stop it (or wait until its lease has expired) and try again"
            ),
        )
        .with("node", node.as_str())),
    }
}

async fn check_empty(target: &mut impl Work) -> Result<()> {
    for name in ["trees", "events", "sessions"] {
        let text = format!("SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT 1) AS t");
        if target.rows(sql(text), Vec::new(), |row| at::<i64>(row, 0)).await?.pop() != Some(0) {
            let text =
                format!("The target is not empty: its table '{name}' has rows. Name an empty database");
            return Err(Error::new(ErrorCode::InvalidParams, text).with("field", "to").with("table", name));
        }
    }
    Ok(())
}

/// New keys and positions must come after the moved ones. SQLite takes them from the tables.
async fn count_on<W: Work>(target: &mut W) -> Result<()> {
    if W::DIALECT == Dialect::Sqlite {
        return Ok(());
    }
    let highest = [
        ("'task_keys'", "SELECT n FROM tasks UNION ALL SELECT n FROM removed_tasks"),
        ("'positions'", "SELECT seq FROM events"),
        (
            "pg_get_serial_sequence('apflow.trees', 'n')",
            "SELECT n FROM trees UNION ALL SELECT n FROM removed_trees",
        ),
        ("pg_get_serial_sequence('apflow.sessions', 'n')", "SELECT n FROM sessions"),
        ("pg_get_serial_sequence('apflow.gates', 'n')", "SELECT n FROM gates"),
        ("pg_get_serial_sequence('apflow.gate_rules', 'n')", "SELECT n FROM gate_rules"),
        ("pg_get_serial_sequence('apflow.webhooks', 'n')", "SELECT n FROM webhooks"),
        ("pg_get_serial_sequence('apflow.deliveries', 'n')", "SELECT n FROM deliveries"),
    ];
    for (sequence, keys) in highest {
        let text = format!(
            "SELECT setval({sequence}::regclass, k.most) FROM (SELECT max(x.n) AS most FROM ({keys}) AS x (n)) AS k
              WHERE k.most IS NOT NULL"
        );
        target.rows(sql(text), Vec::new(), |_| Ok(())).await?;
    }
    Ok(())
}

impl Table {
    /// Copies all rows, a batch after the other in the order of the key.
    async fn copy<S: Work, T: Work>(&self, source: &mut S, target: &mut T) -> Result<u64> {
        let (first, next) = (sql(self.select(S::DIALECT, false)), sql(self.select(S::DIALECT, true)));
        let insert = sql(self.insert(T::DIALECT));
        let mut rows = 0;
        let mut last: Option<String> = None;
        loop {
            let (text, arguments) = match last.take() {
                None => (first.clone(), Vec::new()),
                Some(last) => (next.clone(), arguments![last]),
            };
            let batch = source.rows(text, arguments, |row| at::<String>(row, 0)).await?;
            let Some(end) = batch.last().cloned() else { return Ok(rows) };
            rows += batch.len() as u64;
            let list = format!("[{}]", batch.join(","));
            target.rows(insert.clone(), arguments![list], |_| Ok(())).await?;
            if batch.len() < BATCH {
                return Ok(rows);
            }
            last = Some(end);
        }
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Rows as JSON arrays; `$1` is the last row of the batch before.
    fn select(&self, dialect: Dialect, goes_on: bool) -> String {
        let key: Vec<&str> = self.columns[..self.key].iter().map(|(name, _)| *name).collect();
        let key = key.join(", ");
        let row = dialect.list(&self.names());
        let after = match goes_on {
            false => String::new(),
            true => format!("WHERE ({key}) > ({})", self.items(dialect, "$1", self.key)),
        };
        format!("SELECT {row} FROM {} {after} ORDER BY {key} LIMIT {BATCH}", self.name)
    }

    /// `$1` is a list of rows.
    fn insert(&self, dialect: Dialect) -> String {
        let (name, names, all) = (self.name, self.names(), self.columns.len());
        match dialect {
            Dialect::Sqlite => format!(
                "INSERT INTO {name} ({names}) SELECT {} FROM json_each($1) AS j",
                self.items(dialect, "j.value", all)
            ),
            Dialect::Postgres => format!(
                "INSERT INTO {name} ({names}) OVERRIDING SYSTEM VALUE SELECT {} FROM json_array_elements($1::json) AS j (value)",
                self.items(dialect, "j.value", all)
            ),
        }
    }

    /// The first items of a JSON array, as the columns want them.
    fn items(&self, dialect: Dialect, array: &str, count: usize) -> String {
        let item = |(i, (_, kind)): (usize, &(&str, Kind))| match (dialect, kind) {
            (Dialect::Sqlite, _) => format!("{array}->>{i}"),
            (Dialect::Postgres, Int) => format!("({array}::json->>{i})::bigint"),
            (Dialect::Postgres, Text) => format!("{array}::json->>{i}"),
            (Dialect::Postgres, Real) => format!("({array}::json->>{i})::double precision"),
        };
        self.columns[..count].iter().enumerate().map(item).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The migrations are the truth; a table or column that is missing here would be lost on the way.
    #[tokio::test]
    async fn every_column_of_every_table_is_listed() {
        let store =
            crate::sqlite::SqliteStore::open(":memory:", crate::StoreOptions::default()).await.unwrap();
        let text = "SELECT m.name || '.' || c.name || CASE WHEN c.pk > 0 THEN '*' ELSE '' END
                      FROM sqlite_schema m, pragma_table_info(m.name) c
                     WHERE m.type = 'table' AND m.name NOT LIKE '!_sqlx%' ESCAPE '!' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!'";
        let mut found = store.read(sql(text), Vec::new(), |row| at::<String>(row, 0)).await.unwrap();
        let mut listed: Vec<String> = Vec::new();
        for table in TABLES {
            for (i, (column, _)) in table.columns.iter().enumerate() {
                let mark = if i < table.key { "*" } else { "" };
                listed.push(format!("{}.{column}{mark}", table.name));
            }
        }
        found.sort();
        listed.sort();
        assert_eq!(found, listed);
    }
}
