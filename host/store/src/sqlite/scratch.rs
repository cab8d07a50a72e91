//! The scratch tables of the writing connection: what one statement of a transaction leaves for the next. They are
//! temporary (no log, no disk), empty between transactions, and rolled back with them.

/// Made once when the connection is opened.
pub(super) const SCRATCH: &str = "
-- One row for the transaction: who asks, and the end of the log when it began. A session that is over has no key, and
-- the insert fails: that is how the whole text stops.
CREATE TEMP TABLE guard (session INTEGER NOT NULL, seq INTEGER NOT NULL);

-- Tasks that came out of a queue, in the order of the request. `kind`: see settle.rs; `open`: whether it was armed
-- until now; `blocked`: whether it stood blocked.
CREATE TEMP TABLE finished (
    pos INTEGER PRIMARY KEY, n INTEGER NOT NULL UNIQUE, tree INTEGER NOT NULL, kind INTEGER NOT NULL,
    open INTEGER NOT NULL, blocked INTEGER NOT NULL, attempt INTEGER NOT NULL, base INTEGER, token INTEGER NOT NULL,
    priority INTEGER, node INTEGER, started_at INTEGER, until INTEGER, data TEXT,
    result TEXT, error TEXT, inputs TEXT, receipt TEXT
);

-- Waiting tasks that will not run: `parent` is one dependency that stops each, `cause` the failed or cancelled task at
-- the end of that way.
CREATE TEMP TABLE blocked (n INTEGER PRIMARY KEY, tree INTEGER NOT NULL, parent INTEGER, cause INTEGER);
CREATE INDEX temp.blocked_by_parent ON blocked (parent);

-- By how much the count of a waiting task falls.
CREATE TEMP TABLE released (n INTEGER PRIMARY KEY, k INTEGER NOT NULL);

-- By how much the counts of a tree change; `open` falls, the others grow.
CREATE TEMP TABLE counted (
    n INTEGER PRIMARY KEY, open INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL
);

-- Claimed tasks, in the order of the queue.
CREATE TEMP TABLE claimed (
    pos INTEGER PRIMARY KEY, n INTEGER NOT NULL, tree INTEGER NOT NULL, attempt INTEGER NOT NULL,
    base INTEGER NOT NULL, token INTEGER NOT NULL, priority INTEGER NOT NULL,
    executor_gate INTEGER, key_gate INTEGER
);

-- Tasks that could be claimed, if their gates let them: `parked` is the gate at which one stands, `full` the one that stops
-- it.
CREATE TEMP TABLE offered (
    n INTEGER PRIMARY KEY, tree INTEGER NOT NULL, priority INTEGER NOT NULL, due INTEGER NOT NULL,
    attempt INTEGER NOT NULL, base INTEGER NOT NULL, token INTEGER NOT NULL, parked INTEGER,
    executor_gate INTEGER, key_gate INTEGER, full INTEGER
);

-- The keys of a tree that is being written.
CREATE TEMP TABLE fresh (base INTEGER NOT NULL, tree INTEGER NOT NULL);

-- What an execution arms, or blocks because of `cause`.
CREATE TEMP TABLE planned (n INTEGER PRIMARY KEY, waiting_on INTEGER NOT NULL, cause INTEGER);
";

/// Empties them again.
pub(super) const CLEAR: &str = "
DELETE FROM guard; DELETE FROM finished; DELETE FROM blocked; DELETE FROM released; DELETE FROM counted;
DELETE FROM claimed; DELETE FROM offered;
";
