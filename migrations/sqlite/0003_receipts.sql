-- What the idempotency keys of requests were used for: written with the tree, gone with it. Keys belong to the owner of the
-- tree; '' is nobody. `digest` is the SHA-256 of operation and content in hex.
CREATE TABLE receipts (
    owner      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    tree       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_by_tree ON receipts (tree);
