-- Gates; the rules are those of sqlite/gates.rs. Counts are kept by the functions that move tasks, not by triggers as on
-- SQLite: a row that is changed for each of many tasks in one transaction gets slower with every change.

-- Whoever takes places at gates or gives them back, parks tasks or moves them on, does so alone.
CREATE FUNCTION lock_gates() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock({gates_lock})
$$;

-- How many tasks may start now: `Gate::room` of the core.
CREATE FUNCTION room(p_max bigint, p_running bigint, p_spacing bigint, p_burst bigint, p_opens_at bigint, p_now bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(0, least(
        p_max - p_running,
        CASE WHEN p_spacing IS NULL THEN {any}
             WHEN greatest(p_opens_at, p_now - (p_burst - 1) * p_spacing) > p_now THEN 0
             ELSE (p_now - greatest(p_opens_at, p_now - (p_burst - 1) * p_spacing)) / p_spacing + 1 END))
$$;

-- Runs have left their gates; parked tasks are no longer at theirs. One entry a task.
CREATE FUNCTION leave_gates(p_left bigint[], p_unparked bigint[]) RETURNS void LANGUAGE sql AS $$
    UPDATE gates ga SET running = ga.running - c.runs, parked = ga.parked - c.parked
      FROM (SELECT x.gate, sum(x.run) AS runs, sum(1 - x.run) AS parked
              FROM (SELECT gate, 1 AS run FROM unnest(p_left) AS l (gate)
                    UNION ALL
                    SELECT gate, 0 FROM unnest(p_unparked) AS u (gate)) AS x
             WHERE x.gate IS NOT NULL GROUP BY x.gate) AS c
     WHERE ga.n = c.gate
$$;

-- Puts on offer what is at the head of the queue and at gates that have room, looks at it in the order of the queue, and
-- starts or parks it; gives the keys of what was started, in that order. The caller has the gates for himself.
CREATE FUNCTION claim_gated(p_now bigint, p_session bigint, p_most integer) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    o_keys      bigint[];
    o_executors bigint[];
    o_named     bigint[];
    o_parked    bigint[];
    o_stops     bigint[] := '{}';
    v_gates     bigint[];
    v_rooms     bigint[];
    v_executor  integer;
    v_named     integer;
    v_claimed   bigint[];
BEGIN
    SELECT array_agg(o.n ORDER BY o.priority, o.due, o.n), array_agg(e.n ORDER BY o.priority, o.due, o.n),
           array_agg(k.gate ORDER BY o.priority, o.due, o.n), array_agg(o.gate ORDER BY o.priority, o.due, o.n)
      INTO o_keys, o_executors, o_named, o_parked
      FROM (SELECT h.* FROM (
                (SELECT r.n, r.priority, r.due, NULL::bigint AS gate FROM ready r ORDER BY priority, due, n LIMIT p_most)
                UNION ALL
                SELECT d.n, d.priority, d.due, d.gate
                  FROM gates ga
                 CROSS JOIN LATERAL (
                       SELECT y.n, y.priority, y.due, y.gate FROM delayed y WHERE y.gate = ga.n
                        ORDER BY y.priority, y.due, y.n
                        LIMIT room(ga.max_running, ga.running, ga.spacing, ga.burst, ga.opens_at, p_now)) AS d
                 WHERE {awaited} AND ga.opens_at <= p_now) AS h
             ORDER BY priority, due, n LIMIT p_most) AS o
      JOIN tasks t ON t.n = o.n
      LEFT JOIN gates e ON e.scope = {executor_gate} AND e.name = t.executor
      LEFT JOIN keyed k ON k.n = o.n;
    IF o_keys IS NULL THEN
        RETURN '{}';
    END IF;
    SELECT array_agg(ga.n), array_agg(room(ga.max_running, ga.running, ga.spacing, ga.burst, ga.opens_at, p_now))
      INTO v_gates, v_rooms FROM gates ga WHERE ga.n = ANY (o_executors || o_named);

    FOR i IN 1 .. cardinality(o_keys) LOOP
        v_executor := array_position(v_gates, o_executors[i]);
        v_named := array_position(v_gates, o_named[i]);
        IF v_rooms[v_named] = 0 THEN
            o_stops[i] := o_named[i];
        ELSIF v_rooms[v_executor] = 0 THEN
            o_stops[i] := o_executors[i];
        ELSE
            o_stops[i] := NULL;
            IF v_named IS NOT NULL THEN
                v_rooms[v_named] := v_rooms[v_named] - 1;
            END IF;
            IF v_executor IS NOT NULL THEN
                v_rooms[v_executor] := v_rooms[v_executor] - 1;
            END IF;
        END IF;
    END LOOP;

    WITH offer AS (
        SELECT * FROM unnest(o_keys, o_executors, o_named, o_parked, o_stops) AS o (n, executor_gate, key_gate, gate, stop)
    ), from_ready AS (
        DELETE FROM ready r USING offer o WHERE r.n = o.n AND o.gate IS NULL
        RETURNING r.n, r.tree, r.priority, r.due, r.attempt, r.base, r.token, o.executor_gate, o.key_gate, o.stop
    ), from_gates AS (
        DELETE FROM delayed d USING offer o WHERE d.n = o.n AND o.gate IS NOT NULL AND o.stop IS NULL
        RETURNING d.n, d.tree, d.priority, d.due, d.attempt, d.base, d.token, o.executor_gate, o.key_gate, o.gate
    ), moved AS (
        UPDATE delayed d SET gate = o.stop FROM offer o
         WHERE d.n = o.n AND o.gate IS NOT NULL AND o.stop IS NOT NULL AND o.stop <> o.gate
        RETURNING o.gate, o.stop
    ), parked AS (
        INSERT INTO delayed (n, tree, priority, due, attempt, base, token, gate)
        SELECT n, tree, priority, due, attempt, base, token, stop FROM from_ready WHERE stop IS NOT NULL
    ), taken AS (
        SELECT n, tree, priority, due, attempt, base, token, executor_gate, key_gate FROM from_ready WHERE stop IS NULL
        UNION ALL
        SELECT n, tree, priority, due, attempt, base, token, executor_gate, key_gate FROM from_gates
    ), started AS (
        INSERT INTO running (n, tree, attempt, base, token, priority, node, started_at, executor_gate, key_gate)
        SELECT n, tree, attempt + 1, base, token + 1, priority, p_session, p_now, executor_gate, key_gate FROM taken
    ), told AS (
        INSERT INTO events (tree, n, attempt, kind, at)
        SELECT tree, n, attempt + 1, {task.started}, p_now FROM taken ORDER BY priority, due, n
    ), counted AS (
        UPDATE gates ga
           SET running = ga.running + c.runs, parked = ga.parked + c.parked,
               opens_at = CASE WHEN ga.spacing IS NULL OR c.runs = 0 THEN ga.opens_at
                               ELSE greatest(ga.opens_at, p_now - (ga.burst - 1) * ga.spacing) + c.runs * ga.spacing END
          FROM (SELECT x.gate, sum(x.runs)::bigint AS runs, sum(x.parked)::bigint AS parked
                  FROM (SELECT executor_gate AS gate, 1 AS runs, 0 AS parked FROM taken
                        UNION ALL SELECT key_gate, 1, 0 FROM taken
                        UNION ALL SELECT gate, 0, -1 FROM from_gates
                        UNION ALL SELECT gate, 0, -1 FROM moved
                        UNION ALL SELECT stop, 0, 1 FROM moved
                        UNION ALL SELECT stop, 0, 1 FROM from_ready) AS x
                 WHERE x.gate IS NOT NULL GROUP BY x.gate) AS c
         WHERE ga.n = c.gate
    )
    SELECT array_agg(n ORDER BY priority, due, n) INTO v_claimed FROM taken;
    RETURN coalesce(v_claimed, '{}');
END $$;

-- Gates of keys, where they are missing.
CREATE FUNCTION make_gates(p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_made bigint[];
BEGIN
    WITH made AS (
        INSERT INTO gates (scope, name) SELECT {key_gate}, key FROM unnest(p_keys) AS k (key) ON CONFLICT DO NOTHING
        RETURNING n
    )
    SELECT array_agg(n) INTO v_made FROM made;
    PERFORM limit_gates(v_made);
END $$;

-- What the rules say of gates, into their columns.
CREATE FUNCTION limit_gates(p_gates bigint[]) RETURNS void LANGUAGE sql AS $$
    UPDATE gates
       SET (max_running, spacing, burst) = (
           SELECT CASE WHEN r.n IS NULL AND gates.scope = {key_gate} THEN 1 ELSE r.max_running END, r.spacing, r.burst
             FROM (SELECT 1) AS one LEFT JOIN gate_rules r ON r.n = {rule_of_gate})
     WHERE n = ANY (p_gates)
$$;

-- Replaces the rules, `[scope, name, prefix, max_running, spacing, burst]`, and what gates let through.
CREATE FUNCTION set_gate_rules(p_now bigint, p_rules text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_gates();
    DELETE FROM gate_rules;
    INSERT INTO gate_rules (scope, name, prefix, max_running, spacing, burst)
    SELECT (value->>0)::smallint, value->>1, (value->>2)::smallint, (value->>3)::bigint, (value->>4)::bigint,
           (value->>5)::bigint
      FROM json_array_elements(p_rules::json) AS j (value);
    INSERT INTO gates (scope, name) SELECT scope, name FROM gate_rules WHERE scope = {executor_gate}
        ON CONFLICT DO NOTHING;
    PERFORM limit_gates(ARRAY(SELECT n FROM gates));
    -- A pause that the old rule would have made is no longer than the new one allows.
    UPDATE gates SET opens_at = CASE WHEN spacing IS NULL THEN 0 ELSE least(opens_at, p_now + spacing) END;
    DELETE FROM gates
     WHERE scope = {executor_gate} AND running = 0 AND parked = 0
       AND NOT EXISTS (SELECT 1 FROM gate_rules r WHERE r.scope = {executor_gate} AND r.name = gates.name);
END $$;

-- Gives the tasks of a tree their keys, `[position, key]`.
CREATE FUNCTION give_keys(p_tree bigint, p_keys text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_keys text[] := ARRAY(SELECT DISTINCT value->>1 FROM json_array_elements(p_keys::json) AS j (value));
BEGIN
    PERFORM lock_gates();
    PERFORM make_gates(v_keys);
    INSERT INTO keyed (n, gate)
    SELECT x.root + (j.value->>0)::bigint, ga.n
      FROM json_array_elements(p_keys::json) AS j (value)
      JOIN trees x ON x.n = p_tree JOIN gates ga ON ga.scope = {key_gate} AND ga.name = j.value->>1;
END $$;

-- Finds the gates of a task anew; if it is parked, it is ready.
CREATE FUNCTION regate(p_task bigint, p_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_unparked bigint[];
BEGIN
    PERFORM lock_gates();
    DELETE FROM keyed WHERE n = p_task;
    IF p_key IS NOT NULL THEN
        PERFORM make_gates(ARRAY[p_key]);
        INSERT INTO keyed (n, gate) SELECT p_task, n FROM gates WHERE scope = {key_gate} AND name = p_key;
    END IF;
    WITH gone AS (
        DELETE FROM delayed WHERE n = p_task AND gate IS NOT NULL RETURNING *
    ), again AS (
        INSERT INTO ready (n, tree, priority, due, attempt, base, token)
        SELECT n, tree, priority, due, attempt, base, token FROM gone
    )
    SELECT array_agg(gate) INTO v_unparked FROM gone;
    PERFORM leave_gates('{}', v_unparked);
END $$;

-- The run goes on without its places.
CREATE FUNCTION free_places(p_task bigint, p_token bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_left bigint[];
BEGIN
    -- Who has no place keeps nobody waiting to give it back.
    IF NOT EXISTS (SELECT 1 FROM running r WHERE r.n = p_task AND r.token = p_token
                      AND (r.executor_gate IS NOT NULL OR r.key_gate IS NOT NULL)) THEN
        RETURN;
    END IF;
    PERFORM lock_gates();
    SELECT ARRAY[r.executor_gate, r.key_gate] INTO v_left FROM running r WHERE r.n = p_task AND r.token = p_token FOR UPDATE;
    UPDATE running SET executor_gate = NULL, key_gate = NULL WHERE n = p_task AND token = p_token;
    PERFORM leave_gates(v_left, '{}');
END $$;

CREATE FUNCTION set_deadline(p_tree bigint, p_deadline_ms bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE trees SET deadline_ms = p_deadline_ms WHERE n = p_tree
$$;
