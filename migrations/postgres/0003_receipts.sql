-- What the idempotency keys of requests were used for; see migrations/sqlite. The primary key decides between two requests
-- that come at the same time.
CREATE TABLE receipts (
    owner      text   NOT NULL,
    key        text   NOT NULL,
    digest     text   NOT NULL,
    tree       bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX receipts_by_tree ON receipts (tree);
