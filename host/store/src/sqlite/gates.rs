//! Gates in SQL: what they let through, who goes through them in a turn, and the steps of rules and keys.
//!
//! A turn on a database without gates calls [`super::turn::CLAIM_READY`] and pays nothing for them.

use std::sync::LazyLock;

use apflow_core::event::EventKind;

use crate::verbs::gates::{ANY, AWAITED, EXECUTOR, KEY, rule_of};

const TASK_STARTED: i64 = EventKind::TaskStarted.number();

/// When the first of the starts that are allowed at `now` was allowed: `Gate::first_start` of the core.
fn first_start(gate: &str, now: &str) -> String {
    format!("max({gate}.opens_at, {now} - ({gate}.burst - 1) * {gate}.spacing)")
}

/// How many tasks may start at `now`: `Gate::room` of the core, said in SQL; a test compares.
pub(super) fn room(gate: &str, now: &str) -> String {
    let first = first_start(gate, now);
    format!(
        "max(0, min(
    coalesce({gate}.max_running - {gate}.running, {ANY}),
    CASE WHEN {gate}.spacing IS NULL THEN {ANY} WHEN {first} > {now} THEN 0
         ELSE ({now} - {first}) / {gate}.spacing + 1 END))"
    )
}

/// Moves what is due to ready, puts on offer what is at the head of the queue and at gates that have room, looks at it one
/// by one, and starts or parks it.
pub(super) static CLAIM_GATED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
{WAKE}
INSERT INTO offer_parked (gate, room)
SELECT ga.n, {room} FROM gates ga WHERE {AWAITED} AND opens_at <= NEW.now;
INSERT INTO offered (n, tree, priority, due, attempt, base, token)
SELECT n, tree, priority, due, attempt, base, token FROM ready ORDER BY priority, due, n LIMIT NEW.most;
DELETE FROM offered WHERE n NOT IN (SELECT n FROM offered ORDER BY priority, due, n LIMIT NEW.most);
UPDATE offered SET
    executor_gate = (SELECT ga.n FROM tasks t CROSS JOIN gates ga ON ga.scope = {EXECUTOR} AND ga.name = t.executor
                      WHERE t.n = offered.n),
    key_gate = (SELECT k.gate FROM keyed k WHERE k.n = offered.n);
INSERT INTO consider (now, n, executor_gate, key_gate)
SELECT NEW.now, n, executor_gate, key_gate FROM offered ORDER BY priority, due, n;

INSERT INTO claimed (n, tree, attempt, base, token, priority, executor_gate, key_gate)
SELECT n, tree, attempt + 1, base, token + 1, priority, executor_gate, key_gate
  FROM offered WHERE full IS NULL ORDER BY priority, due, n;
DELETE FROM ready WHERE n IN (SELECT n FROM offered WHERE parked IS NULL);
DELETE FROM delayed WHERE n IN (SELECT n FROM offered WHERE parked IS NOT NULL AND full IS NOT parked);
INSERT INTO delayed (n, tree, priority, due, attempt, base, token, gate)
SELECT n, tree, priority, due, attempt, base, token, full FROM offered WHERE full IS NOT NULL AND full IS NOT parked;
{START}
",
        room = room("ga", "NEW.now"),
        START = *START,
    )
});

/// What was put off and is due is ready.
pub(super) const WAKE: &str = "
INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT n, tree, priority, due, attempt, base, token FROM delayed WHERE gate IS NULL AND due <= NEW.now;
DELETE FROM delayed WHERE gate IS NULL AND due <= NEW.now;
";

/// What was claimed runs.
pub(super) static START: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO running (n, tree, attempt, base, token, priority, node, started_at, executor_gate, key_gate)
SELECT n, tree, attempt, base, token, priority, (SELECT session FROM guard), NEW.now, executor_gate, key_gate FROM claimed;
INSERT INTO events (tree, n, attempt, kind, at)
SELECT tree, n, attempt, {TASK_STARTED}, NEW.now FROM claimed ORDER BY pos;
"
    )
});

/// Puts as many of the parked on offer as the gate has room for.
pub(super) const OFFER_PARKED: &str = "
INSERT INTO offered (n, tree, priority, due, attempt, base, token, parked)
SELECT n, tree, priority, due, attempt, base, token, gate
  FROM delayed WHERE gate = NEW.gate ORDER BY priority, due, n LIMIT NEW.room;
";

/// One task on offer: it takes a place at each of its gates, or remembers the one that is full.
pub(super) static CONSIDER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
UPDATE offered
   SET full = (SELECT ga.n FROM gates ga WHERE ga.n IN (NEW.key_gate, NEW.executor_gate) AND {room} = 0
                ORDER BY ga.scope DESC LIMIT 1)
 WHERE n = NEW.n;
UPDATE gates
   SET running = running + 1,
       opens_at = CASE WHEN spacing IS NULL THEN opens_at ELSE {first} + spacing END
 WHERE n IN (NEW.key_gate, NEW.executor_gate) AND (SELECT full FROM offered WHERE n = NEW.n) IS NULL;
",
        room = room("ga", "NEW.now"),
        first = first_start("gates", "NEW.now"),
    )
});

/// Lifts the executions of what was claimed above those that have not begun.
pub(super) static PROMOTE: LazyLock<String> = LazyLock::new(|| {
    let lift = |queue: &str| {
        format!(
            "
UPDATE {queue} SET priority = priority - 4
 WHERE priority >= 0
   AND n IN (SELECT q.n FROM (SELECT DISTINCT tree FROM claimed WHERE priority >= 0) AS c
               CROSS JOIN trees x ON x.n = c.tree CROSS JOIN {queue} q ON q.n BETWEEN x.root AND x.last);"
        )
    };
    ["ready", "waiting", "delayed", "running"].map(lift).concat()
});

/// What the rules say of a gate, into its columns.
fn limits(of: &str) -> String {
    let rule = rule_of("gates.scope", "gates.name");
    format!(
        "
UPDATE gates
   SET (max_running, spacing, burst) = (
       SELECT CASE WHEN r.n IS NULL AND gates.scope = {KEY} THEN 1 ELSE r.max_running END, r.spacing, r.burst
         FROM (SELECT 1) LEFT JOIN gate_rules r ON r.n = {rule})
 WHERE {of};"
    )
}

pub(super) static SET_GATE_RULES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
DELETE FROM gate_rules;
INSERT INTO gate_rules (scope, name, prefix, max_running, spacing, burst)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM json_each($2);
INSERT INTO gates (scope, name) SELECT scope, name FROM gate_rules WHERE scope = {EXECUTOR} ON CONFLICT DO NOTHING;
{}
-- A pause that the old rule would have made is no longer than the new one allows.
UPDATE gates SET opens_at = CASE WHEN spacing IS NULL THEN 0 ELSE min(opens_at, $1 + spacing) END;
DELETE FROM gates
 WHERE scope = {EXECUTOR} AND running = 0 AND parked = 0
   AND NOT EXISTS (SELECT 1 FROM gate_rules r WHERE r.scope = {EXECUTOR} AND r.name = gates.name);
",
        limits("true")
    )
});

pub(super) static GIVE_KEYS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO gates (scope, name, max_running) SELECT DISTINCT {KEY}, value->>1, -1 FROM json_each($2) WHERE true
    ON CONFLICT DO NOTHING;
{}
INSERT INTO keyed (n, gate)
SELECT x.root + (j.value->>0), ga.n
  FROM json_each($2) AS j CROSS JOIN trees x ON x.n = $1 CROSS JOIN gates ga ON ga.scope = {KEY} AND ga.name = j.value->>1;
",
        limits(&format!("scope = {KEY} AND name IN (SELECT value->>1 FROM json_each($2)) AND max_running = -1"))
    )
});

pub(super) static REGATE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
DELETE FROM keyed WHERE n = $1;
INSERT INTO gates (scope, name, max_running) SELECT {KEY}, $2, -1 WHERE $2 IS NOT NULL ON CONFLICT DO NOTHING;
{}
INSERT INTO keyed (n, gate) SELECT $1, ga.n FROM gates ga WHERE ga.scope = {KEY} AND ga.name = $2;
INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT n, tree, priority, due, attempt, base, token FROM delayed WHERE n = $1 AND gate IS NOT NULL;
DELETE FROM delayed WHERE n = $1 AND gate IS NOT NULL;
",
        limits(&format!("scope = {KEY} AND name = $2 AND max_running = -1"))
    )
});

/// The trigger of `running` finds no gate any more when the run ends.
pub(super) const FREE_PLACES: &str = "
UPDATE gates SET running = running - 1
 WHERE n IN (SELECT executor_gate FROM running WHERE n = $1 AND token = $2
             UNION ALL SELECT key_gate FROM running WHERE n = $1 AND token = $2);
UPDATE running SET executor_gate = NULL, key_gate = NULL WHERE n = $1 AND token = $2;
";

pub(super) const SET_DEADLINE: &str = "UPDATE trees SET deadline_ms = $2 WHERE n = $1";
