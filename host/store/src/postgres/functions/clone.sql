-- Clones, archives and receipts: steps of longer transactions; lists are JSON text.

-- Says where the tasks of a tree come from, `[type, original]` in their order, and completes the links.
CREATE FUNCTION derive(p_now bigint, p_tree bigint, p_links_only bigint, p_origins text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_root bigint;
    v_last bigint;
BEGIN
    SELECT root, last INTO v_root, v_last FROM trees WHERE n = p_tree;
    INSERT INTO origins (n, type, original)
    SELECT v_root + j.pos - 1, (j.value->>0)::smallint, (j.value->>1)::bigint
      FROM json_array_elements(p_origins::json) WITH ORDINALITY AS j (value, pos);
    INSERT INTO done (n, attempt, status, ended_at, token)
    SELECT o.n, 0, {completed}, p_now, 0 FROM origins o WHERE o.n BETWEEN v_root AND v_last AND o.type = {link};
    UPDATE trees SET status = {completed}, ended_at = p_now WHERE n = p_tree AND p_links_only <> 0;
END $$;

-- Archives tasks; those that are archived already stay so.
CREATE FUNCTION freeze(p_now bigint, p_tasks text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_tasks bigint[] := ARRAY(SELECT value::bigint FROM json_array_elements_text(p_tasks::json) AS j (value));
BEGIN
    PERFORM pg_current_xact_id();
    INSERT INTO events (tree, n, attempt, kind, at)
    SELECT t.tree, t.n, {newest_attempt}, {task.updated}, p_now
      FROM unnest(v_tasks) AS j (n) JOIN tasks t ON t.n = j.n
     WHERE NOT EXISTS (SELECT 1 FROM origins o WHERE o.n = t.n AND o.archived_at IS NOT NULL)
     ORDER BY t.n;
    INSERT INTO origins AS o (n, type, archived_at) SELECT j.n, {created}, p_now FROM unnest(v_tasks) AS j (n)
        ON CONFLICT (n) DO UPDATE SET archived_at = coalesce(o.archived_at, excluded.archived_at);
END $$;

-- Takes a key for a tree that is not written yet. Who comes second waits here for the end of the first one's
-- transaction, before he holds anything himself.
CREATE FUNCTION take_key(p_now bigint, p_owner text, p_key text, p_digest text) RETURNS SETOF bigint LANGUAGE sql AS $$
    INSERT INTO receipts (owner, key, digest, tree, created_at) VALUES (p_owner, p_key, p_digest, 0, p_now)
        ON CONFLICT (owner, key) DO NOTHING RETURNING tree
$$;

CREATE FUNCTION use_key(p_owner text, p_key text, p_tree bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE receipts SET tree = p_tree WHERE owner = p_owner AND key = p_key
$$;
