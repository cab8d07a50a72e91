-- Where the log begins, and webhooks. Conventions as in 0001.

-- The position up to which events have been removed; no row while the log is whole.
CREATE TABLE log_start (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;

-- What the log must keep is found without a look at the trees that are at rest.
CREATE INDEX trees_running ON trees (started_seq) WHERE status = 1;

-- When the consumer was last heard of.
ALTER TABLE cursors ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;

-- The owner of a tree that was deleted, so that its events are still found by owner.
ALTER TABLE removed_trees ADD COLUMN user_id TEXT;

-- `definition` is JSON: what the owner wrote, and the execution that the webhook belongs to. The rest is how it goes.
-- `cursor` is the highest position there can be when the execution has ended and all of it was sent. `node`, `epoch` and
-- `until` are the lease.
CREATE TABLE webhooks (
    n               INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    definition      TEXT    NOT NULL,
    of_execution    INTEGER NOT NULL,
    enabled         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    cursor          INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_at         INTEGER,
    node            TEXT,
    epoch           INTEGER,
    until           INTEGER,
    delivered       INTEGER NOT NULL DEFAULT 0,
    last_success_at INTEGER,
    last_error_at   INTEGER,
    last_error      TEXT,
    failing_since   INTEGER,
    disabled_reason TEXT
) STRICT;

-- Messages that were given up. `queued`: about to be sent once more.
CREATE TABLE dead_letters (
    webhook  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    status   INTEGER,
    error    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    queued   INTEGER NOT NULL,
    PRIMARY KEY (webhook, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_queued ON dead_letters (webhook) WHERE queued = 1;

-- The newest attempts of each webhook, to look at.
CREATE TABLE deliveries (
    n        INTEGER PRIMARY KEY,
    webhook  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    status   INTEGER,
    error    TEXT
) STRICT;
CREATE INDEX deliveries_by_webhook ON deliveries (webhook, n);
