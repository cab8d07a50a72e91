-- What plugins keep; see migrations/sqlite.
CREATE TABLE plugin_state (
    plugin  text   NOT NULL,
    key     text   NOT NULL,
    value   text   NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (plugin, key)
);

CREATE TABLE checkpoints (
    n         bigint PRIMARY KEY,
    execution bigint NOT NULL,
    data      text   NOT NULL
);

CREATE TABLE child_trees (
    tree      bigint PRIMARY KEY,
    task      bigint NOT NULL,
    execution bigint NOT NULL,
    depth     bigint NOT NULL
);
CREATE INDEX child_trees_by_task ON child_trees (task);
