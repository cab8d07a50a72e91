-- Where tasks come from that are not simply written by their owner, and what is frozen; see migrations/sqlite.
CREATE TABLE origins (
    n           bigint   PRIMARY KEY,
    type        smallint NOT NULL,
    original    bigint,
    archived_at bigint
);
CREATE INDEX origins_by_original ON origins (original, type) WHERE original IS NOT NULL;
