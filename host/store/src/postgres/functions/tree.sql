-- Writing trees, and arming, changing and deleting what is in them. Of the latter each is a step of a longer transaction,
-- which holds the lock of the tree; lists are JSON text, as on SQLite.

-- Takes the keys and writes the tree. Gives its key, and the key of its root.
CREATE FUNCTION plant(p_now bigint, p_id text, p_owner text, p_tasks bigint, p_execute boolean)
RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    v_root bigint;
    v_tree bigint;
    v_seq  bigint;
BEGIN
    -- A sequence does not hand out several at once; for a moment nobody else may ask. It is no part of the transaction,
    -- so the lock need not outlast it.
    PERFORM pg_advisory_lock({keys_lock});
    v_root := nextval('task_keys');
    PERFORM setval('task_keys', v_root + p_tasks - 1);
    PERFORM pg_advisory_unlock({keys_lock});

    INSERT INTO trees (id, user_id, root, last, created_at, execution, status, open, started_at)
    VALUES (p_id, p_owner, v_root, v_root + p_tasks - 1, p_now, p_execute::int, p_execute::int,
            p_execute::int * p_tasks, CASE WHEN p_execute THEN p_now END)
    RETURNING n INTO v_tree;
    INSERT INTO events (tree, attempt, kind, at, data)
    VALUES (v_tree, 0, {tree.created}, p_now, json_build_object('tasks', p_tasks)::text) RETURNING seq INTO v_seq;
    IF p_execute THEN
        UPDATE trees SET started_seq = v_seq WHERE n = v_tree;
        INSERT INTO events (tree, attempt, kind, at, data)
        VALUES (v_tree, 1, {tree.started}, p_now, json_build_object('tasks', p_tasks)::text);
    END IF;
    RETURN NEXT (v_tree, v_root, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'planted')::answer;
END $$;

-- Writes tasks, what they depend on, and their places in the queues; p_waiting_on is null where nothing is armed. Tasks
-- are named by their position in the tree.
CREATE FUNCTION grow(
    p_now bigint, p_tree bigint, p_root bigint,
    p_positions bigint[], p_parents bigint[], p_ids text[], p_names text[], p_priorities smallint[], p_executors text[],
    p_inputs text[], p_params text[], p_more text[], p_waiting_on integer[],
    e_tasks bigint[], e_pos integer[], e_deps bigint[], e_required smallint[], e_kinds smallint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tasks (n, tree, parent, id, name, priority, executor, inputs, params, more)
    SELECT p_root + t.n, p_tree, p_root + t.parent, t.id, t.name, t.priority, t.executor, t.inputs, t.params, t.more
      FROM unnest(p_positions, p_parents, p_ids, p_names, p_priorities, p_executors, p_inputs, p_params, p_more)
           AS t (n, parent, id, name, priority, executor, inputs, params, more);
    INSERT INTO edges (task, pos, dep, required, kind)
    SELECT p_root + e.task, e.pos, p_root + e.dep, e.required, e.kind
      FROM unnest(e_tasks, e_pos, e_deps, e_required, e_kinds) AS e (task, pos, dep, required, kind);
    INSERT INTO ready (n, tree, priority, due, attempt, base, token)
    SELECT p_root + t.n, p_tree, t.priority, p_now, 0, 0, 0
      FROM unnest(p_positions, p_priorities, p_waiting_on) AS t (n, priority, waiting_on) WHERE t.waiting_on = 0;
    INSERT INTO waiting (n, tree, waiting_on, priority, due, attempt, base, token)
    SELECT p_root + t.n, p_tree, t.waiting_on, t.priority, p_now, 0, 0, 0
      FROM unnest(p_positions, p_priorities, p_waiting_on) AS t (n, priority, waiting_on) WHERE t.waiting_on > 0;
END $$;

-- Both, for a tree that goes in one piece.
CREATE FUNCTION plant_and_grow(
    p_now bigint, p_id text, p_owner text, p_tasks bigint, p_execute boolean,
    p_positions bigint[], p_parents bigint[], p_ids text[], p_names text[], p_priorities smallint[], p_executors text[],
    p_inputs text[], p_params text[], p_more text[], p_waiting_on integer[],
    e_tasks bigint[], e_pos integer[], e_deps bigint[], e_required smallint[], e_kinds smallint[]
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    v_planted answer;
BEGIN
    SELECT * INTO v_planted FROM plant(p_now, p_id, p_owner, p_tasks, p_execute);
    PERFORM grow(
        p_now, v_planted.a, v_planted.b, p_positions, p_parents, p_ids, p_names, p_priorities, p_executors, p_inputs,
        p_params, p_more, p_waiting_on, e_tasks, e_pos, e_deps, e_required, e_kinds);
    RETURN NEXT v_planted;
END $$;

-- Moves what is planned, `[task, waiting_on, cause]`, into the queues.
CREATE FUNCTION arm(
    p_now bigint, p_tree bigint, p_open bigint, p_blocked bigint, p_first bigint, p_last bigint, p_plan text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_execution integer;
    v_seq       bigint;
BEGIN
    UPDATE trees
       SET execution = execution + 1, status = {in_progress}, open = p_open, failed = p_blocked, cancelled = 0,
           started_at = p_now, ended_at = NULL
     WHERE n = p_tree RETURNING execution INTO v_execution;
    INSERT INTO events (tree, attempt, kind, at, data)
    VALUES (p_tree, v_execution, {tree.started}, p_now, json_build_object('tasks', p_open)::text)
    RETURNING seq INTO v_seq;
    UPDATE trees SET started_seq = v_seq - 1 WHERE n = p_tree;

    -- Blocks are those of the newest execution.
    DELETE FROM waiting WHERE n BETWEEN p_first AND p_last;

    WITH planned AS (
        SELECT (j.value->>0)::bigint AS n, (j.value->>1)::int AS waiting_on, (j.value->>2)::bigint AS cause
          FROM json_array_elements(p_plan::json) AS j (value)
    ), placed AS (
        SELECT t.n, t.tree, t.priority, p.waiting_on, p.cause, coalesce(d.attempt, 0) AS attempt,
               coalesce(d.token, 0) AS token
          FROM planned p JOIN tasks t ON t.n = p.n
          LEFT JOIN done d ON d.n = p.n AND d.attempt = (SELECT max(m.attempt) FROM done m WHERE m.n = p.n)
    ), at_once AS (
        INSERT INTO ready (n, tree, priority, due, attempt, base, token)
        SELECT n, tree, priority, p_now, attempt, attempt, token FROM placed WHERE waiting_on = 0 AND cause IS NULL
    ), later AS (
        INSERT INTO waiting (n, tree, waiting_on, blocked_by, priority, due, attempt, base, token)
        SELECT n, tree, waiting_on, cause, priority, p_now, attempt, attempt, token
          FROM placed WHERE waiting_on > 0 OR cause IS NOT NULL
    )
    INSERT INTO events (tree, n, attempt, kind, at, data)
    SELECT p.tree, p.n, p.attempt, {task.blocked}, p_now, json_build_object('blocked_by', c.id)::text
      FROM placed p JOIN tasks c ON c.n = p.cause
     ORDER BY p.n;
END $$;

-- Cancels tasks of one tree, or lets them fail, out of whatever queue they are in. Queues are looked through in the order in which tasks
-- move on by claims and wake-ups, which do not wait for the lock of the tree: what left one queue in this moment is found
-- in the next; and with the gates for itself nothing moves back to be parked. The attempt of a run is the run's; another
-- entry needs a number of its own, see sqlite/steps.rs.
CREATE FUNCTION withdraw(p_now bigint, p_tasks text, p_error text, p_kind bigint) RETURNS SETOF answer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_tasks   bigint[] := ARRAY(SELECT value::bigint FROM json_array_elements_text(p_tasks::json) AS j (value) ORDER BY 1);
    v_keys    bigint[] := '{}';
    v_open    smallint[] := '{}';
    v_stood   smallint[] := '{}';
    v_found   bigint[];
    v_stands  smallint[];
    v_runs    bigint[];
    v_tokens  bigint[];
    v_tree    bigint;
    v_blocked bigint[];
    v_ended   bigint[];
    v_left    bigint[];
    v_unparked bigint[];
BEGIN
    PERFORM pg_current_xact_id();
    PERFORM lock_gates();
    WITH gone AS (
        DELETE FROM waiting w USING unnest(v_tasks) AS j (n) WHERE w.n = j.n RETURNING w.*
    ), kept AS (
        INSERT INTO done (n, attempt, status, ended_at, token, error)
        SELECT n, {next_entry}, p_kind, p_now, token, p_error FROM gone q
    )
    SELECT array_agg(n), array_agg((blocked_by IS NOT NULL)::int::smallint) INTO v_found, v_stands FROM gone;
    IF v_found IS NOT NULL THEN
        v_keys := v_found;
        v_stood := v_stands;
        v_open := ARRAY(SELECT (1 - s)::smallint FROM unnest(v_stands) AS s);
    END IF;

    WITH gone AS (
        DELETE FROM delayed d USING unnest(v_tasks) AS j (n) WHERE d.n = j.n RETURNING d.*
    ), kept AS (
        INSERT INTO done (n, attempt, status, ended_at, token, error)
        SELECT n, {next_entry}, p_kind, p_now, token, p_error FROM gone q
    )
    SELECT v_keys || array_agg(n), array_agg(gate) INTO v_keys, v_unparked FROM gone;

    WITH gone AS (
        DELETE FROM ready r USING unnest(v_tasks) AS j (n) WHERE r.n = j.n RETURNING r.*
    ), kept AS (
        INSERT INTO done (n, attempt, status, ended_at, token, error)
        SELECT n, {next_entry}, p_kind, p_now, token, p_error FROM gone q
    )
    SELECT v_keys || array_agg(n) INTO v_keys FROM gone;

    WITH gone AS (
        DELETE FROM running r USING unnest(v_tasks) AS j (n) WHERE r.n = j.n RETURNING r.*
    ), kept AS (
        INSERT INTO done (n, attempt, status, node, started_at, ended_at, token, error)
        SELECT n, attempt, p_kind, node, started_at, p_now, token, p_error FROM gone
    )
    SELECT array_agg(n ORDER BY n), array_agg(token ORDER BY n), array_agg(executor_gate) || array_agg(key_gate)
      INTO v_runs, v_tokens, v_left FROM gone;
    PERFORM leave_gates(v_left, v_unparked);
    v_keys := v_keys || v_runs;
    -- What came out of delayed, ready and running was armed and did not stand blocked.
    v_open := v_open || array_fill(1::smallint, ARRAY[cardinality(v_keys) - cardinality(v_open)]);
    v_stood := v_stood || array_fill(0::smallint, ARRAY[cardinality(v_keys) - cardinality(v_stood)]);

    WITH rest AS (
        SELECT j.n FROM unnest(v_tasks) AS j (n) EXCEPT SELECT unnest(v_keys)
    ), kept AS (
        INSERT INTO done (n, attempt, status, ended_at, token, error)
        SELECT r.n, coalesce(max(d.attempt) + 1, 0), p_kind, p_now, coalesce(max(d.token), 0), p_error
          FROM rest r LEFT JOIN done d ON d.n = r.n GROUP BY r.n
    )
    SELECT v_keys || array_agg(n) INTO v_keys FROM rest;
    v_open := v_open || array_fill(0::smallint, ARRAY[cardinality(v_keys) - cardinality(v_open)]);
    v_stood := v_stood || array_fill(0::smallint, ARRAY[cardinality(v_keys) - cardinality(v_stood)]);

    INSERT INTO events (tree, n, attempt, kind, at, started_at)
    SELECT t.tree, t.n, d.attempt, CASE p_kind WHEN {failed} THEN {task.failed} ELSE {task.cancelled} END, p_now,
           d.started_at
      FROM unnest(v_tasks) AS j (n) JOIN tasks t ON t.n = j.n
      JOIN done d ON d.n = j.n AND d.attempt = (SELECT max(m.attempt) FROM done m WHERE m.n = j.n)
     ORDER BY t.n;

    SELECT t.tree INTO v_tree FROM tasks t WHERE t.n = v_tasks[1];
    v_blocked := block_dependents(
        p_now, ARRAY(SELECT f.n FROM unnest(v_keys, v_open) AS f (n, open) WHERE f.open = 1));
    v_ended := settle(
        p_now, v_keys, array_fill(v_tree, ARRAY[cardinality(v_keys)]),
        array_fill(p_kind::smallint, ARRAY[cardinality(v_keys)]), v_open, v_stood, v_blocked);

    RETURN QUERY
        SELECT r.n, r.token, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
               NULL::bigint, NULL::bigint, NULL::bigint, 'interrupted'
          FROM unnest(v_runs, v_tokens) AS r (n, token);
    RETURN QUERY SELECT * FROM ends(v_ended);
    RETURN NEXT (v_tree, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'touched')::answer;
END $$;

-- The newest attempt no longer says what the task's status is.
CREATE FUNCTION reopen(p_task bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO reopened (n, attempt)
    SELECT n, max(attempt) FROM done WHERE n = p_task GROUP BY n
        ON CONFLICT (n) DO UPDATE SET attempt = excluded.attempt
$$;

-- Puts a task at another place in its queue; the order of the queues is that of withdraw().
CREATE FUNCTION move(p_task bigint, p_priority bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_gates();
    UPDATE waiting SET priority = p_priority - 4 * (priority < 0)::int WHERE n = p_task;
    UPDATE delayed SET priority = p_priority - 4 * (priority < 0)::int WHERE n = p_task;
    UPDATE ready SET priority = p_priority - 4 * (priority < 0)::int WHERE n = p_task;
    UPDATE running SET priority = p_priority - 4 * (priority < 0)::int WHERE n = p_task;
END $$;

-- Writes a definition, and the event.
CREATE FUNCTION redefine(
    p_now bigint, p_task bigint, p_name text, p_priority bigint, p_executor text, p_inputs text, p_params text, p_more text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tasks
       SET name = p_name, priority = p_priority, executor = p_executor, inputs = p_inputs, params = p_params,
           more = p_more, updated_at = p_now
     WHERE n = p_task;
    INSERT INTO events (tree, n, attempt, kind, at)
    SELECT t.tree, t.n, {newest_attempt}, {task.updated}, p_now FROM tasks t WHERE t.n = p_task;
END $$;

-- Gives a task other dependencies, `[dep, required, kind]`. If it stood blocked, that is behind it.
CREATE FUNCTION rewire(p_task bigint, p_edges text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM waiting WHERE n = p_task;
    DELETE FROM edges WHERE task = p_task;
    INSERT INTO edges (task, pos, dep, required, kind)
    SELECT p_task, j.pos - 1, (j.value->>0)::bigint, (j.value->>1)::smallint, (j.value->>2)::smallint
      FROM json_array_elements(p_edges::json) WITH ORDINALITY AS j (value, pos);
END $$;

-- Writes data into events, `[seq, data]`.
CREATE FUNCTION keep(p_events text) RETURNS void LANGUAGE sql AS $$
    UPDATE events SET data = k.data
      FROM (SELECT (value->>0)::bigint AS seq, value->>1 AS data FROM json_array_elements(p_events::json) AS j (value)) AS k
     WHERE events.seq = k.seq
$$;

-- Deletes tasks of a tree, and the tree if its root is among them.
CREATE FUNCTION remove(p_now bigint, p_tree bigint, p_count bigint, p_tasks text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_doomed bigint[] := ARRAY(SELECT value::bigint FROM json_array_elements_text(p_tasks::json) AS j (value));
BEGIN
    PERFORM pg_current_xact_id();
    -- Blocked ones, and whoever is blocked by one of them.
    DELETE FROM waiting w USING trees x
     WHERE x.n = p_tree AND w.n BETWEEN x.root AND x.last AND (w.n = ANY (v_doomed) OR w.blocked_by = ANY (v_doomed));
    INSERT INTO events (tree, attempt, kind, at, data)
    SELECT n, execution, {tree.deleted}, p_now, json_build_object('tasks', p_count)::text FROM trees WHERE n = p_tree;
    INSERT INTO removed_trees (n, id, user_id) SELECT n, id, user_id FROM trees WHERE n = p_tree AND root = ANY (v_doomed);
    INSERT INTO removed_tasks (n, id, executor) SELECT n, id, executor FROM tasks WHERE n = ANY (v_doomed);
    DELETE FROM receipts k USING trees x WHERE x.n = p_tree AND x.root = ANY (v_doomed) AND k.tree = x.n;
    DELETE FROM trees WHERE n = p_tree AND root = ANY (v_doomed);
    DELETE FROM tasks WHERE n = ANY (v_doomed);
    DELETE FROM edges WHERE task = ANY (v_doomed);
    DELETE FROM done WHERE n = ANY (v_doomed);
    DELETE FROM reopened WHERE n = ANY (v_doomed);
    DELETE FROM schedules WHERE n = ANY (v_doomed);
    DELETE FROM schedule_runs WHERE n = ANY (v_doomed);
    DELETE FROM origins WHERE n = ANY (v_doomed);
    DELETE FROM keyed WHERE n = ANY (v_doomed);
    DELETE FROM checkpoints WHERE n = ANY (v_doomed);
    DELETE FROM child_trees WHERE task = ANY (v_doomed);
    DELETE FROM child_trees WHERE tree = p_tree AND NOT EXISTS (SELECT 1 FROM trees x WHERE x.n = p_tree);
END $$;
