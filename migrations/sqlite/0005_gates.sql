-- Limits across trees, and deadlines of executions.
--
-- Conventions as in 0001. A gate counts the running tasks of an executor (scope 0) or of a concurrency key (scope 1). A task
-- that finds it full waits in `delayed` with the gate's key instead of a time; its `due` is then its place in the order of
-- the queue. Columns of limits are null for "any": `max_running`; `spacing` (microseconds between two starts) and `burst`
-- come together.

-- What the operator says. A rule with `prefix` is about all keys that begin with its name.
CREATE TABLE gate_rules (
    n           INTEGER PRIMARY KEY,
    scope       INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    prefix      INTEGER NOT NULL,
    max_running INTEGER,
    spacing     INTEGER,
    burst       INTEGER,
    UNIQUE (scope, name, prefix)
) STRICT;

-- `opens_at`: with a spacing, nothing starts before.
CREATE TABLE gates (
    n           INTEGER PRIMARY KEY,
    scope       INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    max_running INTEGER,
    spacing     INTEGER,
    burst       INTEGER,
    running     INTEGER NOT NULL DEFAULT 0,
    parked      INTEGER NOT NULL DEFAULT 0,
    opens_at    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (scope, name)
) STRICT;
CREATE INDEX gates_awaited ON gates (opens_at) WHERE parked > 0 AND (max_running IS NULL OR running < max_running);

-- The gate of a task's key. An executor's gate is found by its name.
CREATE TABLE keyed (
    n    INTEGER PRIMARY KEY,
    gate INTEGER NOT NULL
) STRICT;

ALTER TABLE delayed ADD COLUMN gate INTEGER;
DROP INDEX delayed_by_due;
CREATE INDEX delayed_by_due ON delayed (due) WHERE gate IS NULL;
CREATE INDEX delayed_by_gate ON delayed (gate, priority, due, n) WHERE gate IS NOT NULL;

-- Where a run has taken a place.
ALTER TABLE running ADD COLUMN executor_gate INTEGER;
ALTER TABLE running ADD COLUMN key_gate INTEGER;

-- However a run ends, its places are free; however a task comes to be parked or not, it is counted.
CREATE TRIGGER gates_left AFTER DELETE ON running
WHEN OLD.executor_gate IS NOT NULL OR OLD.key_gate IS NOT NULL
BEGIN
    UPDATE gates SET running = running - 1 WHERE n IN (OLD.executor_gate, OLD.key_gate);
END;
CREATE TRIGGER gates_parked AFTER INSERT ON delayed WHEN NEW.gate IS NOT NULL
BEGIN
    UPDATE gates SET parked = parked + 1 WHERE n = NEW.gate;
END;
CREATE TRIGGER gates_unparked AFTER DELETE ON delayed WHEN OLD.gate IS NOT NULL
BEGIN
    UPDATE gates SET parked = parked - 1 WHERE n = OLD.gate;
END;

-- Queues keep the order of leaving in `priority`: below 0 (less by 4) stand tasks of executions that began, where a host
-- wants those first.

-- Longest time of an execution, from its start.
ALTER TABLE trees ADD COLUMN deadline_ms INTEGER;
CREATE INDEX trees_by_deadline ON trees (started_at + deadline_ms * 1000) WHERE status = 1 AND deadline_ms IS NOT NULL;
