-- Schedules of trees, and what became of their due times. Tables and columns are those of migrations/sqlite.

CREATE TABLE schedules (
    n           bigint   PRIMARY KEY,
    kind        text     NOT NULL,
    expression  text     NOT NULL,
    zone        text     NOT NULL,
    missed      text     NOT NULL,
    overlap     text     NOT NULL,
    enabled     smallint NOT NULL,
    start_at    bigint,
    end_at      bigint,
    max_runs    bigint,
    run_count   bigint   NOT NULL DEFAULT 0,
    next_run_at bigint,
    last_run_at bigint
);
CREATE INDEX schedules_by_next ON schedules (next_run_at) WHERE enabled = 1 AND next_run_at IS NOT NULL;

CREATE TABLE schedule_runs (
    n          bigint  NOT NULL,
    due        bigint  NOT NULL,
    status     text    NOT NULL,
    due_count  bigint  NOT NULL,
    execution  integer,
    started_at bigint  NOT NULL,
    ended_at   bigint,
    error      text,
    PRIMARY KEY (n, due)
);
CREATE UNIQUE INDEX schedule_runs_open ON schedule_runs (n) WHERE status = 'running';

-- Part of the schema, not of the functions that each build brings along: hosts of different builds share the table.
CREATE FUNCTION schedule_run_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE apflow.schedules
       SET run_count = run_count + 1, last_run_at = NEW.ended_at,
           enabled = CASE WHEN next_run_at IS NOT NULL AND (max_runs IS NULL OR run_count + 1 < max_runs)
                          THEN enabled ELSE 0 END
     WHERE n = NEW.root
       AND EXISTS (SELECT 1 FROM apflow.schedule_runs r
                    WHERE r.n = NEW.root AND r.status = 'running' AND r.execution = NEW.execution);
    UPDATE apflow.schedule_runs
       SET status = CASE NEW.status WHEN 2 THEN 'completed' WHEN 4 THEN 'cancelled' ELSE 'failed' END,
           ended_at = NEW.ended_at
     WHERE n = NEW.root AND status = 'running' AND execution = NEW.execution;
    RETURN NULL;
END $$;

CREATE TRIGGER schedule_run_ended AFTER UPDATE OF status ON trees
    FOR EACH ROW WHEN (OLD.status = 1 AND NEW.status > 1) EXECUTE FUNCTION schedule_run_ended();
