-- Where the log begins, and webhooks; see migrations/sqlite.
CREATE TABLE log_start (
    one integer PRIMARY KEY CHECK (one = 1),
    seq bigint  NOT NULL
);

CREATE INDEX trees_running ON trees (started_seq) WHERE status = 1;

ALTER TABLE cursors ADD COLUMN seen_at bigint NOT NULL DEFAULT 0;

ALTER TABLE removed_trees ADD COLUMN user_id text;

CREATE TABLE webhooks (
    n               bigint   PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id              text     NOT NULL UNIQUE,
    definition      text     NOT NULL,
    of_execution    smallint NOT NULL,
    enabled         smallint NOT NULL,
    created_at      bigint   NOT NULL,
    updated_at      bigint   NOT NULL,
    cursor          bigint   NOT NULL,
    seen_at         bigint   NOT NULL,
    attempts        integer  NOT NULL DEFAULT 0,
    next_at         bigint,
    node            text,
    epoch           bigint,
    until           bigint,
    delivered       bigint   NOT NULL DEFAULT 0,
    last_success_at bigint,
    last_error_at   bigint,
    last_error      text,
    failing_since   bigint,
    disabled_reason text
) WITH (fillfactor = 50);

CREATE TABLE dead_letters (
    webhook  bigint   NOT NULL,
    seq      bigint   NOT NULL,
    kind     smallint NOT NULL,
    body     text     NOT NULL,
    attempts integer  NOT NULL,
    status   integer,
    error    text     NOT NULL,
    at       bigint   NOT NULL,
    queued   smallint NOT NULL,
    PRIMARY KEY (webhook, seq)
);
CREATE INDEX dead_letters_queued ON dead_letters (webhook) WHERE queued = 1;

CREATE TABLE deliveries (
    n        bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    webhook  bigint  NOT NULL,
    seq      bigint  NOT NULL,
    attempt  integer NOT NULL,
    at       bigint  NOT NULL,
    duration integer NOT NULL,
    status   integer,
    error    text
);
CREATE INDEX deliveries_by_webhook ON deliveries (webhook, n);
