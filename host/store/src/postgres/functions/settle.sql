-- What follows when tasks come out of their queue for good: whoever requires what failed is blocked, the others are
-- released, the counts of the trees change, executions end. The rules are those of sqlite/settle.rs. Callers hold the
-- locks of all trees that they name.

-- A row of any kind, told apart by its last column; see verbs/answer.rs.
CREATE TYPE answer AS (
    a bigint, b bigint, c bigint, d text, e text, f text, g text, h text, i text, j bigint, k bigint, l bigint, what text
);

-- Blocks what requires one of these failed or cancelled tasks, in any number of steps, one step at a time: what is
-- blocked is not met again, so the cost is linear. Gives the keys of what is blocked.
CREATE FUNCTION block_dependents(p_now bigint, p_failed bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_front   bigint[] := p_failed;
    v_causes  bigint[] := p_failed;
    v_blocked bigint[] := '{}';
BEGIN
    LOOP
        WITH behind AS (
            SELECT DISTINCT ON (e.task) e.task, f.cause
              FROM unnest(v_front, v_causes) WITH ORDINALITY AS f (n, cause, pos)
              JOIN edges e ON e.dep = f.n AND e.required = 1
             ORDER BY e.task, f.pos
        ), marked AS (
            UPDATE waiting w SET blocked_by = b.cause FROM behind b WHERE w.n = b.task AND w.blocked_by IS NULL
            RETURNING w.n, w.blocked_by
        )
        SELECT array_agg(n), array_agg(blocked_by) INTO v_front, v_causes FROM marked;
        EXIT WHEN v_front IS NULL;
        v_blocked := v_blocked || v_front;
    END LOOP;

    -- A task that ran in an earlier execution was pending while it waited, and stays so.
    INSERT INTO reopened (n, attempt)
    SELECT d.n, max(d.attempt) FROM unnest(v_blocked) AS b (n) JOIN done d ON d.n = b.n GROUP BY d.n
        ON CONFLICT (n) DO UPDATE SET attempt = excluded.attempt;

    INSERT INTO events (tree, n, attempt, kind, at, data)
    SELECT w.tree, w.n, w.attempt, {task.blocked}, p_now, json_build_object('blocked_by', t.id)::text
      FROM unnest(v_blocked) AS b (n) JOIN waiting w ON w.n = b.n JOIN tasks t ON t.n = w.blocked_by
     ORDER BY w.n;
    RETURN v_blocked;
END $$;

-- Releases what waited for these tasks, and counts them off their trees. Of the tasks that finished: key, tree, kind,
-- whether it was armed until now, whether it stood blocked. Gives the trees whose execution ended.
CREATE FUNCTION settle(
    p_now bigint, p_keys bigint[], p_trees bigint[], p_kinds smallint[], p_open smallint[], p_stood smallint[],
    p_blocked bigint[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    -- What is blocked counts like what failed while it was armed.
    v_kinds smallint[] := p_kinds || array_fill({failed}::smallint, ARRAY[cardinality(p_blocked)]);
    v_open  smallint[] := p_open || array_fill(1::smallint, ARRAY[cardinality(p_blocked)]);
    v_trees bigint[]   := p_trees;
    v_ended bigint[];
BEGIN
    IF p_blocked <> '{}' THEN
        v_trees := v_trees || ARRAY(SELECT w.tree FROM waiting w WHERE w.n = ANY (p_blocked));
    END IF;

    WITH released AS (
        SELECT e.task, count(*) AS k
          FROM unnest(p_keys || p_blocked, v_kinds, v_open) AS f (n, kind, open)
          JOIN edges e ON e.dep = f.n
         WHERE f.open = 1 AND f.kind <= {cancelled} AND (f.kind = {completed} OR e.required = 0)
         GROUP BY e.task
    ), less AS (
        UPDATE waiting w SET waiting_on = w.waiting_on - r.k
          FROM released r WHERE w.n = r.task AND w.blocked_by IS NULL AND w.waiting_on > r.k
    ), freed AS (
        DELETE FROM waiting w USING released r WHERE w.n = r.task AND w.blocked_by IS NULL AND w.waiting_on <= r.k
        RETURNING w.n, w.tree, w.priority, w.due, w.attempt, w.base, w.token
    )
    INSERT INTO ready (n, tree, priority, due, attempt, base, token)
    SELECT n, tree, priority, due, attempt, base, token FROM freed;

    WITH counted AS (
        SELECT f.tree, sum(f.open) AS open, sum((f.kind = {failed})::int - coalesce(f.stood, 0)) AS failed,
               sum((f.kind = {cancelled})::int) AS cancelled
          FROM unnest(v_trees, v_kinds, v_open, p_stood) AS f (tree, kind, open, stood)
         WHERE f.kind <= {cancelled} AND f.open + coalesce(f.stood, 0) > 0
         GROUP BY f.tree
    ), changed AS (
        UPDATE trees t
           SET open = t.open - c.open,
               failed = t.failed + c.failed,
               cancelled = t.cancelled + c.cancelled,
               status = CASE WHEN t.open > c.open THEN t.status
                             WHEN t.failed + c.failed > 0 THEN {failed}
                             WHEN t.cancelled + c.cancelled > 0 THEN {cancelled}
                             ELSE {completed} END,
               ended_at = CASE WHEN t.open > c.open THEN t.ended_at ELSE p_now END
          FROM counted c WHERE t.n = c.tree AND t.open > 0
        RETURNING t.n, t.open AS left_open
    )
    SELECT array_agg(n ORDER BY n) FILTER (WHERE left_open = 0) INTO v_ended FROM changed;

    IF v_ended IS NULL THEN
        RETURN '{}';
    END IF;
    INSERT INTO events (tree, attempt, kind, at, started_at)
    SELECT t.n, t.execution,
           CASE t.status WHEN {completed} THEN {tree.completed} WHEN {cancelled} THEN {tree.cancelled}
                         ELSE {tree.failed} END,
           p_now, t.started_at
      FROM unnest(v_ended) AS e (n) JOIN trees t ON t.n = e.n
     ORDER BY t.n;
    RETURN v_ended;
END $$;

-- The answers about executions that ended.
CREATE FUNCTION ends(p_ended bigint[]) RETURNS SETOF answer LANGUAGE sql AS $$
    SELECT t.n, t.execution, t.status, t.id, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
           NULL::bigint, NULL::bigint, NULL::bigint, 'ended'
      FROM unnest(p_ended) AS e (n) JOIN trees t ON t.n = e.n ORDER BY t.n
$$;
