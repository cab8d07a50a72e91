-- Schedules of trees, and what became of their due times.
--
-- Conventions as in 0001. `n` is the key of the tree's root task. Types, policies and statuses are stored by their names
-- on the wire.

-- One for a tree at most. `next_run_at` is the due time that has not been handled yet; null when there is none.
CREATE TABLE schedules (
    n           INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,
    expression  TEXT    NOT NULL,
    zone        TEXT    NOT NULL,
    missed      TEXT    NOT NULL,
    overlap     TEXT    NOT NULL,
    enabled     INTEGER NOT NULL,
    start_at    INTEGER,
    end_at      INTEGER,
    max_runs    INTEGER,
    run_count   INTEGER NOT NULL DEFAULT 0,
    next_run_at INTEGER,
    last_run_at INTEGER
) STRICT;
CREATE INDEX schedules_by_next ON schedules (next_run_at) WHERE enabled = 1 AND next_run_at IS NOT NULL;

-- The history. The key is what makes "once for each due time" a fact. An entry that stands for several due times
-- (`due_count`) has the first of them.
CREATE TABLE schedule_runs (
    n          INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    due_count  INTEGER NOT NULL,
    execution  INTEGER,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    error      TEXT,
    PRIMARY KEY (n, due)
) STRICT, WITHOUT ROWID;
-- A tree has one execution at a time.
CREATE UNIQUE INDEX schedule_runs_open ON schedule_runs (n) WHERE status = 'running';

-- The end of an execution is the end of the schedule's run, in the same transaction. Statuses of trees: 1 in progress, 2
-- completed, 3 failed, 4 cancelled.
CREATE TRIGGER schedule_run_ended AFTER UPDATE OF status ON trees
WHEN OLD.status = 1 AND NEW.status > 1
BEGIN
    UPDATE schedules
       SET run_count = run_count + 1, last_run_at = NEW.ended_at,
           enabled = enabled AND next_run_at IS NOT NULL AND (max_runs IS NULL OR run_count + 1 < max_runs)
     WHERE n = NEW.root
       AND EXISTS (SELECT 1 FROM schedule_runs r
                    WHERE r.n = NEW.root AND r.status = 'running' AND r.execution = NEW.execution);
    UPDATE schedule_runs
       SET status = CASE NEW.status WHEN 2 THEN 'completed' WHEN 4 THEN 'cancelled' ELSE 'failed' END,
           ended_at = NEW.ended_at
     WHERE n = NEW.root AND status = 'running' AND execution = NEW.execution;
END;
