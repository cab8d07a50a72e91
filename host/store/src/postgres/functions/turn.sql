-- The turn: one call, one round trip, one transaction; each statement inside sees what the one before it did.

-- Puts progress into the runs and the log; gives the trees. A run that somebody is taking away at this moment is passed
-- over: its progress interests nobody any more, and waiting for it here could close a circle.
CREATE FUNCTION note_progress(
    p_now bigint, p_keys bigint[], p_tokens bigint[], p_fractions double precision[], p_data text[], p_last boolean[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_held  bigint[];
    v_trees bigint[];
BEGIN
    SELECT array_agg(x.n), array_agg(DISTINCT x.tree) INTO v_held, v_trees
      FROM (SELECT r.n, r.tree
              FROM unnest(p_keys, p_tokens, p_last) AS j (n, token, is_last)
              JOIN running r ON r.n = j.n AND r.token = j.token
             WHERE j.is_last FOR NO KEY UPDATE OF r SKIP LOCKED) AS x;
    UPDATE running r SET progress = j.fraction
      FROM unnest(p_keys, p_tokens, p_fractions, p_last) AS j (n, token, fraction, is_last)
     WHERE r.n = j.n AND r.token = j.token AND j.is_last AND j.n = ANY (v_held);
    INSERT INTO events (tree, n, attempt, kind, at, started_at, data)
    SELECT r.tree, r.n, r.attempt, {task.progress}, p_now, r.started_at, j.data
      FROM unnest(p_keys, p_tokens, p_data) WITH ORDINALITY AS j (n, token, data, pos)
      JOIN running r ON r.n = j.n AND r.token = j.token
     WHERE j.n = ANY (v_held)
     ORDER BY j.pos;
    RETURN coalesce(v_trees, '{}');
END $$;

-- What was put off and is due is ready.
CREATE FUNCTION wake(p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH woken AS (
        SELECT n FROM delayed WHERE gate IS NULL AND due <= p_now ORDER BY due FOR UPDATE SKIP LOCKED
    ), moved AS (
        DELETE FROM delayed d USING woken w WHERE d.n = w.n RETURNING d.*
    )
    INSERT INTO ready (n, tree, priority, due, attempt, base, token)
    SELECT n, tree, priority, due, attempt, base, token FROM moved;
END $$;

-- Takes the head of the queue for a session; gives the keys in the order of the queue.
CREATE FUNCTION claim_ready(p_now bigint, p_session bigint, p_most integer) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_claimed bigint[];
BEGIN
    -- Rows of ready are never updated but by an owner's change of priority, so that to skip what another node takes
    -- never waits for it. If the first gate was made a moment ago, nothing is taken without it; the next turn knows.
    WITH head AS (
        SELECT n FROM ready WHERE NOT EXISTS (SELECT 1 FROM gates) ORDER BY priority, due, n LIMIT p_most FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM ready r USING head h WHERE r.n = h.n RETURNING r.*
    ), started AS (
        INSERT INTO running (n, tree, attempt, base, token, priority, node, started_at)
        SELECT n, tree, attempt + 1, base, token + 1, priority, p_session, p_now FROM taken
    ), told AS (
        INSERT INTO events (tree, n, attempt, kind, at)
        SELECT tree, n, attempt + 1, {task.started}, p_now FROM taken ORDER BY priority, due, n
    )
    SELECT array_agg(n ORDER BY priority, due, n) INTO v_claimed FROM taken;
    RETURN coalesce(v_claimed, '{}');
END $$;

-- Lifts the executions of what was claimed above those that have not begun. One that somebody else is changing at this
-- moment is lifted by its next claim.
CREATE FUNCTION promote(p_claimed bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_trees bigint[] := ARRAY(
        SELECT t.n FROM trees t
         WHERE t.n IN (SELECT r.tree FROM unnest(p_claimed) AS c (n) JOIN running r ON r.n = c.n WHERE r.priority >= 0)
         ORDER BY t.n FOR NO KEY UPDATE SKIP LOCKED);
BEGIN
    IF v_trees = '{}' THEN
        RETURN;
    END IF;
    UPDATE waiting q SET priority = q.priority - 4 FROM trees x
     WHERE x.n = ANY (v_trees) AND q.n BETWEEN x.root AND x.last AND q.priority >= 0;
    UPDATE delayed q SET priority = q.priority - 4 FROM trees x
     WHERE x.n = ANY (v_trees) AND q.n BETWEEN x.root AND x.last AND q.priority >= 0;
    UPDATE ready q SET priority = q.priority - 4 FROM trees x
     WHERE x.n = ANY (v_trees) AND q.n BETWEEN x.root AND x.last AND q.priority >= 0;
    UPDATE running q SET priority = q.priority - 4 FROM trees x
     WHERE x.n = ANY (v_trees) AND q.n BETWEEN x.root AND x.last AND q.priority >= 0;
END $$;

-- Finished runs are columns p_keys to p_receipts, progress reports r_keys to r_last; see postgres/turn.rs.
CREATE FUNCTION turn(
    p_now bigint, p_node text, p_epoch bigint, p_most integer,
    p_keys bigint[], p_tokens bigint[], p_kinds smallint[], p_dues bigint[], p_data text[], p_results text[],
    p_errors text[], p_inputs text[], p_receipts text[],
    r_keys bigint[], r_tokens bigint[], r_fractions double precision[], r_data text[], r_last boolean[],
    p_started_first boolean
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_session bigint;
    v_touched bigint[] := '{}';
    v_blocked bigint[] := '{}';
    v_ended   bigint[] := '{}';
    v_claimed bigint[] := '{}';
    v_sent    integer := cardinality(p_keys);
    v_found   bigint[];
    v_keys    bigint[];
    v_trees   bigint[];
    v_kinds   smallint[];
    v_left    bigint[];
    v_gated   boolean;
    v_idle    boolean := v_sent = 0 AND cardinality(r_keys) = 0;
BEGIN
    -- Apart from the line before: an expression that looks at a table is a query, which costs more than many a step here.
    IF v_idle THEN
        v_idle := NOT EXISTS (SELECT 1 FROM delayed WHERE gate IS NULL AND due <= p_now)
                  AND (p_most = 0 OR NOT EXISTS (SELECT 1 FROM ready)
                                     AND NOT EXISTS (SELECT 1 FROM gates WHERE {awaited} AND opens_at <= p_now));
    END IF;
    IF v_idle THEN
        -- Nothing to do, so nothing is locked or written, and no commit waits for the disk.
        SELECT s.n, EXISTS (SELECT 1 FROM gates) INTO v_session, v_gated
          FROM sessions s WHERE s.node = p_node AND s.epoch = p_epoch AND s.ended = 0;
    ELSE
        -- Whoever ends this session waits for the turn, or the turn for him. The lock also gives this transaction its
        -- id before its first position in the log.
        SELECT s.n, EXISTS (SELECT 1 FROM gates) INTO v_session, v_gated
          FROM sessions s WHERE s.node = p_node AND s.epoch = p_epoch AND s.ended = 0 FOR KEY SHARE OF s;
    END IF;
    IF v_session IS NULL THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text,
            NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, 'over';
        RETURN;
    END IF;

    IF v_sent > 0 THEN
        -- The tree of a run that is refused below may be among them; that does no harm.
        PERFORM 1 FROM trees t WHERE t.n = ANY (ARRAY(SELECT r.tree FROM running r WHERE r.n = ANY (p_keys)))
          ORDER BY t.n FOR NO KEY UPDATE;
    END IF;
    IF v_gated THEN
        PERFORM lock_gates();
    END IF;
    IF cardinality(r_keys) > 0 THEN
        v_touched := note_progress(p_now, r_keys, r_tokens, r_fractions, r_data, r_last);
    END IF;
    IF v_sent > 0 THEN
        -- The token is the fence: a run that does not hold the current one finds no row, and is reported as lost.
        WITH sent AS (
            SELECT DISTINCT ON (j.n, j.token) j.*
              FROM unnest(p_keys, p_tokens, p_kinds, p_dues, p_data, p_results, p_errors, p_inputs, p_receipts)
                   WITH ORDINALITY AS j (n, token, kind, until, data, result, error, inputs, receipt, pos)
             ORDER BY j.n, j.token, j.pos
        ), gone AS (
            DELETE FROM running r USING sent s WHERE r.n = s.n AND r.token = s.token
            RETURNING s.pos, r.n, r.tree, s.kind, r.attempt, r.base, r.token, r.priority, r.node, r.started_at, s.until,
                      s.data, s.result, s.error, s.inputs, s.receipt, r.executor_gate, r.key_gate
        ), kept AS (
            INSERT INTO done (n, attempt, status, node, started_at, ended_at, token, result, error, inputs, receipt)
            SELECT n, attempt, CASE kind WHEN {retry} THEN {failed} ELSE kind END, node, started_at, p_now, token, result,
                   error, inputs, receipt
              FROM gone WHERE kind <> {delay}
        ), again AS (
            -- A run that was put off was no attempt: its number is used again.
            INSERT INTO delayed (n, tree, priority, due, attempt, base, token)
            SELECT n, tree, priority, until, attempt - (kind = {delay})::int, base, token
              FROM gone WHERE kind IN ({retry}, {delay})
        ), told AS (
            INSERT INTO events (tree, n, attempt, kind, at, started_at, data)
            SELECT tree, n, attempt,
                   CASE kind WHEN {completed} THEN {task.completed} WHEN {failed} THEN {task.failed}
                             WHEN {retry} THEN {task.retrying} ELSE {task.delayed} END,
                   p_now, started_at, data
              FROM gone ORDER BY pos
        )
        SELECT array_agg(pos), array_agg(n), array_agg(tree), array_agg(kind),
               array_agg(executor_gate) || array_agg(key_gate)
          INTO v_found, v_keys, v_trees, v_kinds, v_left FROM gone;
        IF v_gated THEN
            PERFORM leave_gates(v_left, '{}');
        END IF;
        IF v_keys IS NOT NULL THEN
            IF {failed} = ANY (v_kinds) THEN
                v_blocked := block_dependents(
                    p_now, ARRAY(SELECT f.n FROM unnest(v_keys, v_kinds) AS f (n, kind) WHERE f.kind = {failed}));
            END IF;
            v_ended := settle(
                p_now, v_keys, v_trees, v_kinds, array_fill(1::smallint, ARRAY[cardinality(v_keys)]),
                array_fill(0::smallint, ARRAY[cardinality(v_keys)]), v_blocked);
            v_touched := v_touched || v_trees;
        END IF;
    END IF;
    IF EXISTS (SELECT 1 FROM delayed WHERE gate IS NULL AND due <= p_now) THEN
        PERFORM wake(p_now);
    END IF;
    IF v_gated THEN
        v_claimed := claim_gated(p_now, v_session, p_most);
    ELSE
        v_claimed := claim_ready(p_now, v_session, p_most);
    END IF;
    IF p_started_first AND v_claimed <> '{}' THEN
        PERFORM promote(v_claimed);
    END IF;

    -- The trees in whose log this wrote; those of the claims are among them.
    RETURN QUERY
        SELECT t.n, t.execution::bigint, NULL::bigint, t.id, t.user_id, NULL::text, NULL::text, NULL::text, NULL::text,
               NULL::bigint, NULL::bigint, NULL::bigint, 'touched'
          FROM trees t
         WHERE t.n = ANY (v_touched || ARRAY(SELECT r.tree FROM running r WHERE r.n = ANY (v_claimed)))
         ORDER BY t.n;
    IF v_claimed <> '{}' THEN
        RETURN QUERY
            SELECT r.n, r.tree, r.attempt::bigint, t.id, t.name, t.executor, t.inputs, t.params, t.more,
                   (r.attempt - r.base)::bigint, r.token, (r.priority & 3)::bigint, 'claimed'
              FROM unnest(v_claimed) WITH ORDINALITY AS c (n, pos)
              JOIN running r ON r.n = c.n JOIN tasks t ON t.n = c.n
             ORDER BY c.pos;
        -- A dependency of a claimed task is in no queue, so its status is what its newest attempt came to. A link is
        -- completed, and gives what its original has and the result of the newest attempt that completed that.
        RETURN QUERY
            SELECT c.n, e.kind::bigint,
                   (CASE WHEN l.n IS NOT NULL THEN {completed} WHEN d.attempt IS NULL OR o.n IS NOT NULL THEN 0
                         ELSE d.status END)::bigint,
                   t.id, t.name, CASE WHEN l.n IS NULL THEN t.executor ELSE s.executor END,
                   CASE WHEN l.n IS NULL THEN t.more ELSE s.more END, d.result, NULL::text, NULL::bigint, NULL::bigint,
                   NULL::bigint, 'dependent'
              FROM unnest(v_claimed) WITH ORDINALITY AS c (n, pos)
              JOIN edges e ON e.task = c.n JOIN tasks t ON t.n = e.dep
              LEFT JOIN origins l ON l.n = e.dep AND l.type = {link}
              LEFT JOIN tasks s ON s.n = l.original
              LEFT JOIN LATERAL (
                   SELECT m.attempt, m.status, m.result FROM done m
                    WHERE m.n = coalesce(l.original, e.dep) AND (l.n IS NULL OR m.status = {completed})
                    ORDER BY m.attempt DESC LIMIT 1) AS d ON true
              LEFT JOIN reopened o ON o.n = e.dep AND o.attempt = d.attempt
             ORDER BY c.pos, e.pos;
    END IF;
    IF v_sent > coalesce(cardinality(v_found), 0) THEN
        RETURN QUERY
            SELECT p_keys[x.pos], p_tokens[x.pos], NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text,
                   NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, 'lost'
              FROM (SELECT generate_series(1, v_sent)::bigint AS pos EXCEPT SELECT unnest(v_found)) AS x
             ORDER BY x.pos;
    END IF;
    IF v_ended <> '{}' THEN
        RETURN QUERY SELECT * FROM ends(v_ended);
    END IF;
    RETURN QUERY
        SELECT (EXISTS (SELECT 1 FROM ready)
                OR v_gated AND EXISTS (SELECT 1 FROM gates WHERE {awaited} AND opens_at <= p_now))::int::bigint,
               least((SELECT min(due) FROM delayed WHERE gate IS NULL),
                     CASE WHEN v_gated THEN
                         (SELECT min(opens_at) FROM gates WHERE {awaited} AND opens_at > p_now) END),
               (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM positions), NULL::text,
               NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint,
               'summary';
END $$;

-- The highest position that was ever handed out, final or not.
CREATE FUNCTION newest() RETURNS bigint LANGUAGE sql AS $$
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM positions
$$;
