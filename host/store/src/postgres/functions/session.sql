-- Sessions of nodes; the rules are those of sqlite/steps.rs. The order of locks: sessions, then trees, then runs. Who ends a
-- session locks it FOR UPDATE, a turn FOR KEY SHARE: they wait for each other, and a renewal, which changes no key, waits
-- for no turn, however long that is.

-- Puts runs of a session back into the queue, where their execution put them, and gives their number; p_started_at, if it
-- is not null, says which: those claimed at that time.
CREATE FUNCTION take_back(p_now bigint, p_sessions bigint[], p_started_at bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
    v_left  bigint[];
BEGIN
    PERFORM 1 FROM trees t
      WHERE t.n = ANY (ARRAY(SELECT DISTINCT r.tree FROM running r WHERE r.node = ANY (p_sessions)))
      ORDER BY t.n FOR NO KEY UPDATE;
    PERFORM lock_gates();
    WITH gone AS (
        DELETE FROM running r
         WHERE r.node = ANY (p_sessions) AND (p_started_at IS NULL OR r.started_at = p_started_at) RETURNING r.*
    ), again AS (
        INSERT INTO ready (n, tree, priority, due, attempt, base, token)
        SELECT g.n, g.tree, g.priority, x.started_at, g.attempt, g.base + 1, g.token + 1
          FROM gone g JOIN trees x ON x.n = g.tree
    ), told AS (
        INSERT INTO events (tree, n, attempt, kind, at, started_at)
        SELECT tree, n, attempt, {task.rescued}, p_now, started_at FROM gone ORDER BY n
    )
    SELECT count(*), array_agg(executor_gate) || array_agg(key_gate) INTO v_count, v_left FROM gone;
    PERFORM leave_gates(v_left, '{}');
    RETURN v_count;
END $$;

-- Opens a session with the next epoch; gives the epoch, and the number of runs taken back.
CREATE FUNCTION open_session(p_now bigint, p_node text, p_until bigint) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    v_session bigint;
    v_epoch   bigint;
BEGIN
    PERFORM 1 FROM sessions WHERE node = p_node FOR UPDATE;
    INSERT INTO sessions AS s (node, epoch, until, ended) VALUES (p_node, 1, p_until, 0)
        ON CONFLICT (node) DO UPDATE SET epoch = s.epoch + 1, until = excluded.until, ended = 0
    RETURNING s.n, s.epoch INTO v_session, v_epoch;
    RETURN NEXT (v_epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'epoch')::answer;
    RETURN NEXT (take_back(p_now, ARRAY[v_session], NULL), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                 NULL, 'rescued')::answer;
END $$;

CREATE FUNCTION renew_session(p_node text, p_epoch bigint, p_until bigint) RETURNS SETOF answer LANGUAGE sql AS $$
    UPDATE sessions SET until = p_until WHERE node = p_node AND epoch = p_epoch AND ended = 0
    RETURNING n, NULL::bigint, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
              NULL::bigint, NULL::bigint, NULL::bigint, 'renewed'
$$;

-- Of a session that is over nothing is left to give back.
CREATE FUNCTION close_session(p_now bigint, p_node text, p_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_session bigint;
BEGIN
    PERFORM 1 FROM sessions WHERE node = p_node AND epoch = p_epoch FOR UPDATE;
    UPDATE sessions SET ended = 2 WHERE node = p_node AND epoch = p_epoch AND ended = 0 RETURNING n INTO v_session;
    PERFORM take_back(p_now, ARRAY[v_session], NULL) WHERE v_session IS NOT NULL;
END $$;

-- Ends the sessions whose lease has expired; gives the number of runs taken back.
CREATE FUNCTION rescue(p_now bigint) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    v_sessions bigint[];
BEGIN
    PERFORM 1 FROM sessions WHERE ended = 0 AND until <= p_now ORDER BY n FOR UPDATE;
    WITH ended AS (
        UPDATE sessions SET ended = 1 WHERE ended = 0 AND until <= p_now RETURNING n
    )
    SELECT array_agg(n) INTO v_sessions FROM ended;
    RETURN NEXT (take_back(p_now, v_sessions, NULL), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                 'rescued')::answer;
END $$;

-- Gives back what the turn of that time claimed for a session, because nobody was told of it.
CREATE FUNCTION give_back(p_now bigint, p_node text, p_epoch bigint, p_started_at bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_session bigint;
BEGIN
    SELECT n INTO v_session FROM sessions WHERE node = p_node AND epoch = p_epoch AND ended = 0 FOR KEY SHARE;
    PERFORM take_back(p_now, ARRAY[v_session], p_started_at) WHERE v_session IS NOT NULL;
END $$;

CREATE FUNCTION set_cursor(p_name text, p_seq bigint, p_now bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO cursors (name, seq, seen_at) VALUES (p_name, p_seq, p_now)
        ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, seen_at = excluded.seen_at
$$;
