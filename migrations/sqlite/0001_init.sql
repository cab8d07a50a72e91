-- apflow on SQLite.
--
-- Conventions
--   * Tables by life, not by noun. What an owner writes is cold (trees, tasks, edges); what still has to run stands in
--     narrow queue tables whose rows are inserted and deleted (waiting, ready, delayed, running); what happened is only
--     appended (done, events).
--   * `n` is the integer key of a task or tree beside its public text `id`: given in blocks, in the order of insertion,
--     never used twice. The tasks of a tree have the keys `root` to `last`, in pre-order.
--   * Times are microseconds since 1970-01-01T00:00:00Z, always given by the caller. Booleans are 0 or 1. JSON is text.
--   * Status numbers: 0 pending, 1 in progress, 2 completed, 3 failed, 4 cancelled. Event kinds: see the code.
--   * There are no foreign keys and no statistics: the hot statements fix their own join order.

-- 'apfl', so that a database of another program is not taken for one of ours.
PRAGMA application_id = 1634756204;

-- A tree and its newest execution. `open` counts the armed tasks that may still run; at 0 the execution ends, by the
-- counts of `failed` (or blocked) and `cancelled` tasks.
CREATE TABLE trees (
    n           INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    user_id     TEXT,
    root        INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    execution   INTEGER NOT NULL DEFAULT 0,
    status      INTEGER NOT NULL DEFAULT 0,
    open        INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    cancelled   INTEGER NOT NULL DEFAULT 0,
    started_seq INTEGER NOT NULL DEFAULT 0,
    started_at  INTEGER,
    ended_at    INTEGER
) STRICT;
CREATE INDEX trees_by_user ON trees (user_id) WHERE user_id IS NOT NULL;

-- Definitions: written once, changed by an owner's edit alone. `more` is one JSON object of the fields that nothing
-- filters or joins by (schemas, metadata, retry, timeout_ms, description), null if all are at their defaults: each column
-- of a claimed row costs as much as an index lookup.
CREATE TABLE tasks (
    n          INTEGER PRIMARY KEY,
    tree       INTEGER NOT NULL,
    parent     INTEGER,
    id         TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    priority   INTEGER NOT NULL,
    executor   TEXT,
    inputs     TEXT    NOT NULL,
    params     TEXT    NOT NULL,
    more       TEXT,
    updated_at INTEGER
) STRICT;
CREATE INDEX tasks_by_parent ON tasks (parent) WHERE parent IS NOT NULL;

-- "`task` not before `dep`", in the order of the definition. kind: 0 result, 1 reference.
CREATE TABLE edges (
    task     INTEGER NOT NULL,
    pos      INTEGER NOT NULL,
    dep      INTEGER NOT NULL,
    required INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    PRIMARY KEY (task, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_by_dep ON edges (dep, required, task);

-- The queues. `due` is the time of arming, so that older executions leave first within a priority; only in `delayed`
-- is it a time to wait for. `attempt` is the number of the newest attempt, counted over all executions; `attempt - base`
-- are the tries that count in this execution. `token` grows with every claim and every rescue.
CREATE TABLE ready (
    n        INTEGER PRIMARY KEY,
    tree     INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    base     INTEGER NOT NULL,
    token    INTEGER NOT NULL
) STRICT;
CREATE INDEX ready_in_order ON ready (priority, due, n);

CREATE TABLE delayed (
    n        INTEGER PRIMARY KEY,
    tree     INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    base     INTEGER NOT NULL,
    token    INTEGER NOT NULL
) STRICT;
CREATE INDEX delayed_by_due ON delayed (due);

-- A row with `blocked_by` (the failed or cancelled task) is out of the execution; it stays until the next one, and says
-- nothing about the task's status.
CREATE TABLE waiting (
    n          INTEGER PRIMARY KEY,
    tree       INTEGER NOT NULL,
    waiting_on INTEGER NOT NULL,
    blocked_by INTEGER,
    priority   INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    base       INTEGER NOT NULL,
    token      INTEGER NOT NULL
) STRICT;

-- `node` is a key of sessions, whose lease is the lease of all its runs.
CREATE TABLE running (
    n          INTEGER PRIMARY KEY,
    tree       INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    base       INTEGER NOT NULL,
    token      INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    node       INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    progress   REAL
) STRICT;

-- The history of attempts, append-only. `inputs` are the resolved ones, where they differ from the definition.
CREATE TABLE done (
    n          INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    status     INTEGER NOT NULL,
    node       INTEGER,
    started_at INTEGER,
    ended_at   INTEGER NOT NULL,
    token      INTEGER NOT NULL,
    result     TEXT,
    error      TEXT,
    inputs     TEXT,
    receipt    TEXT,
    PRIMARY KEY (n, attempt)
) STRICT;

-- Tasks that are pending again although their newest attempt (this one) has finished.
CREATE TABLE reopened (
    n       INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL
) STRICT;

-- The log. Results, errors and receipts are read from done, so `data` holds only what is nowhere else: JSON text, or
-- for retrying and delayed the due time. `n` is null for events of the tree, `attempt` then the execution.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    tree       INTEGER NOT NULL,
    n          INTEGER,
    attempt    INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    started_at INTEGER,
    data       ANY
) STRICT;
CREATE INDEX events_by_tree ON events (tree);

-- The newest session of every node that was ever here. ended: 0 no, 1 taken back after its lease, 2 closed.
CREATE TABLE sessions (
    n     INTEGER PRIMARY KEY,
    node  TEXT    NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    until INTEGER NOT NULL,
    ended INTEGER NOT NULL
) STRICT;

CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was deleted, so that its events keep their names and its keys are not given again.
CREATE TABLE removed_trees (
    n  INTEGER PRIMARY KEY,
    id TEXT NOT NULL
) STRICT;
CREATE INDEX removed_trees_by_id ON removed_trees (id);

CREATE TABLE removed_tasks (
    n        INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    executor TEXT
) STRICT;
