-- apflow on PostgreSQL, in the schema `apflow`.
--
-- Conventions
--   * The tables, their columns and what they mean are those of migrations/sqlite, where they are explained. Here stands
--     what differs.
--   * Keys come from sequences: several hosts write at once. A key or position that was handed out and not used leaves a
--     gap. The tasks of a tree still have the keys `root` to `last`, in pre-order.
--   * Booleans are 0 or 1, as on SQLite, so that both are read by the same statements.
--   * Rows of the queues are inserted and deleted; of the hot tables only `waiting`, `running` (progress) and `trees`
--     are updated. A queue is vacuumed after a fixed number of dead rows: its size says nothing about its traffic.
--   * What may change a tree's state locks the row of the tree first, trees in the order of their keys; only claims and
--     wake-ups do not, which take rows that nobody holds. So nobody waits in a circle.

CREATE SEQUENCE task_keys;

CREATE TABLE trees (
    n           bigint   PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id          text     NOT NULL UNIQUE,
    user_id     text,
    root        bigint   NOT NULL,
    last        bigint   NOT NULL,
    created_at  bigint   NOT NULL,
    execution   integer  NOT NULL DEFAULT 0,
    status      smallint NOT NULL DEFAULT 0,
    open        integer  NOT NULL DEFAULT 0,
    failed      integer  NOT NULL DEFAULT 0,
    cancelled   integer  NOT NULL DEFAULT 0,
    started_seq bigint   NOT NULL DEFAULT 0,
    started_at  bigint,
    ended_at    bigint
) WITH (fillfactor = 80);
CREATE INDEX trees_by_user ON trees (user_id) WHERE user_id IS NOT NULL;

CREATE TABLE tasks (
    n          bigint   PRIMARY KEY,
    tree       bigint   NOT NULL,
    parent     bigint,
    id         text     NOT NULL UNIQUE,
    name       text     NOT NULL,
    priority   smallint NOT NULL,
    executor   text,
    inputs     text     NOT NULL,
    params     text     NOT NULL,
    more       text,
    updated_at bigint
);
CREATE INDEX tasks_by_parent ON tasks (parent) WHERE parent IS NOT NULL;

CREATE TABLE edges (
    task     bigint   NOT NULL,
    pos      integer  NOT NULL,
    dep      bigint   NOT NULL,
    required smallint NOT NULL,
    kind     smallint NOT NULL,
    PRIMARY KEY (task, pos)
);
CREATE INDEX edges_by_dep ON edges (dep, required, task);

CREATE TABLE ready (
    n        bigint   PRIMARY KEY,
    tree     bigint   NOT NULL,
    priority smallint NOT NULL,
    due      bigint   NOT NULL,
    attempt  integer  NOT NULL,
    base     integer  NOT NULL,
    token    bigint   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_in_order ON ready (priority, due, n);

CREATE TABLE delayed (
    n        bigint   PRIMARY KEY,
    tree     bigint   NOT NULL,
    priority smallint NOT NULL,
    due      bigint   NOT NULL,
    attempt  integer  NOT NULL,
    base     integer  NOT NULL,
    token    bigint   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX delayed_by_due ON delayed (due);

CREATE TABLE waiting (
    n          bigint   PRIMARY KEY,
    tree       bigint   NOT NULL,
    waiting_on integer  NOT NULL,
    blocked_by bigint,
    priority   smallint NOT NULL,
    due        bigint   NOT NULL,
    attempt    integer  NOT NULL,
    base       integer  NOT NULL,
    token      bigint   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE running (
    n          bigint   PRIMARY KEY,
    tree       bigint   NOT NULL,
    attempt    integer  NOT NULL,
    base       integer  NOT NULL,
    token      bigint   NOT NULL,
    priority   smallint NOT NULL,
    node       bigint   NOT NULL,
    started_at bigint   NOT NULL,
    progress   double precision
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE done (
    n          bigint   NOT NULL,
    attempt    integer  NOT NULL,
    status     smallint NOT NULL,
    node       bigint,
    started_at bigint,
    ended_at   bigint   NOT NULL,
    token      bigint   NOT NULL,
    result     text,
    error      text,
    inputs     text,
    receipt    text,
    PRIMARY KEY (n, attempt)
);

CREATE TABLE reopened (
    n       bigint  PRIMARY KEY,
    attempt integer NOT NULL
);

-- Positions are handed out before the commit: a transaction may write a lower one after a higher one was read. Readers
-- therefore take only what is final, by a rule that needs two things of writers: each has a transaction id before its
-- first position, and the sequence keeps none back for later (a cache of 1).
CREATE SEQUENCE positions CACHE 1;

CREATE TABLE events (
    seq        bigint   PRIMARY KEY DEFAULT nextval('positions'),
    tree       bigint   NOT NULL,
    n          bigint,
    attempt    integer  NOT NULL,
    kind       smallint NOT NULL,
    at         bigint   NOT NULL,
    started_at bigint,
    data       text
);
CREATE INDEX events_by_tree ON events (tree, seq);

CREATE TABLE sessions (
    n     bigint   PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    node  text     NOT NULL UNIQUE,
    epoch bigint   NOT NULL,
    until bigint   NOT NULL,
    ended smallint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE cursors (
    name text   PRIMARY KEY,
    seq  bigint NOT NULL
);

CREATE TABLE removed_trees (
    n  bigint PRIMARY KEY,
    id text   NOT NULL
);
CREATE INDEX removed_trees_by_id ON removed_trees (id);

CREATE TABLE removed_tasks (
    n        bigint PRIMARY KEY,
    id       text   NOT NULL,
    executor text
);
