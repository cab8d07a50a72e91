-- What plugins keep. Conventions as in 0001.

-- `version` is a number that the writer has drawn.
CREATE TABLE plugin_state (
    plugin  TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;

-- Where the next attempt of a task goes on; means nothing in another execution of its tree.
CREATE TABLE checkpoints (
    n         INTEGER PRIMARY KEY,
    execution INTEGER NOT NULL,
    data      TEXT    NOT NULL
) STRICT;

-- Trees that a running task has submitted, in that execution of its own tree. `depth` counts the levels of trees above.
CREATE TABLE child_trees (
    tree      INTEGER PRIMARY KEY,
    task      INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    depth     INTEGER NOT NULL
) STRICT;
CREATE INDEX child_trees_by_task ON child_trees (task);
