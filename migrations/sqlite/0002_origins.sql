-- Where tasks come from that are not simply written by their owner, and what is frozen.
--
-- type: 0 created, 1 a copy, 2 a link. `original` is the key of the task that it is a clone of, which is never a link; a
-- copy's may be deleted (its id is then in removed_tasks), a link's never. An archived task has `archived_at`, whatever its
-- type. A link's row in tasks holds no definition, and its row in done is numbered 0.
CREATE TABLE origins (
    n           INTEGER PRIMARY KEY,
    type        INTEGER NOT NULL,
    original    INTEGER,
    archived_at INTEGER
) STRICT;
CREATE INDEX origins_by_original ON origins (original, type) WHERE original IS NOT NULL;
