//! The texts of the [`Step`]s; what each of them is given stands there.

use std::sync::LazyLock;

use apflow_core::event::EventKind;

use super::gates::{FREE_PLACES, GIVE_KEYS, REGATE, SET_DEADLINE, SET_GATE_RULES};
use super::settle::ENDED;
use crate::database::Step;
use crate::verbs::cancel::NEXT_ENTRY;
use crate::verbs::clone::{CREATED, LINK};
use crate::verbs::finished::{COMPLETED, FAILED};
use crate::verbs::skeleton::NEWEST;

const TREE_STARTED: i64 = EventKind::TreeStarted.number();
const TREE_DELETED: i64 = EventKind::TreeDeleted.number();
const TASK_BLOCKED: i64 = EventKind::TaskBlocked.number();
const TASK_FAILED: i64 = EventKind::TaskFailed.number();
const TASK_CANCELLED: i64 = EventKind::TaskCancelled.number();
const TASK_RESCUED: i64 = EventKind::TaskRescued.number();
const TASK_UPDATED: i64 = EventKind::TaskUpdated.number();

/// A step inside a transaction.
pub(super) fn text(step: Step) -> &'static str {
    match step {
        Step::Arm => &ARM,
        Step::Withdraw => &CANCEL,
        Step::Reopen => REOPEN,
        Step::Move => MOVE,
        Step::Redefine => &REDEFINE,
        Step::Rewire => REWIRE,
        Step::Keep => KEEP,
        Step::Remove => &REMOVE,
        Step::Derive => &DERIVE,
        Step::Freeze => &FREEZE,
        Step::TakeKey => TAKE_KEY,
        Step::UseKey => USE_KEY,
        Step::OpenSession => &OPEN_SESSION,
        Step::RenewSession => RENEW_SESSION,
        Step::CloseSession => &CLOSE_SESSION,
        Step::Rescue => &RESCUE,
        Step::SetCursor => SET_CURSOR,
        Step::SetGateRules => &SET_GATE_RULES,
        Step::GiveKeys => &GIVE_KEYS,
        Step::Regate => &REGATE,
        Step::SetDeadline => SET_DEADLINE,
        Step::FreePlaces => FREE_PLACES,
    }
}

/// A step in a transaction of its own.
pub(super) fn alone(step: Step) -> &'static str {
    static TEXTS: LazyLock<[(Step, String); 5]> = LazyLock::new(|| {
        [Step::OpenSession, Step::CloseSession, Step::Rescue, Step::SetGateRules, Step::FreePlaces]
            .map(|step| (step, format!("BEGIN IMMEDIATE; {} COMMIT;", text(step))))
    });
    // A single statement is a transaction by itself.
    TEXTS.iter().find(|(one, _)| *one == step).map_or_else(|| text(step), |(_, text)| text)
}

static ARM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO planned (n, waiting_on, cause) SELECT value->>0, value->>1, value->>2 FROM jsonb_each($7);
UPDATE trees
   SET execution = execution + 1, status = 1, open = $3, failed = $4, cancelled = 0, started_at = $1, ended_at = NULL,
       started_seq = coalesce((SELECT max(seq) FROM events), 0)
 WHERE n = $2;
INSERT INTO events (tree, attempt, kind, at, data)
SELECT n, execution, {TREE_STARTED}, $1, json_object('tasks', $3) FROM trees WHERE n = $2;

-- Blocks are those of the newest execution.
DELETE FROM waiting WHERE n BETWEEN $5 AND $6;

INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT t.n, t.tree, t.priority, $1, coalesce(d.attempt, 0), coalesce(d.attempt, 0), coalesce(d.token, 0)
  FROM planned p CROSS JOIN tasks t ON t.n = p.n
  LEFT JOIN done d ON d.n = p.n AND d.attempt = (SELECT max(attempt) FROM done WHERE n = p.n)
 WHERE p.waiting_on = 0 AND p.cause IS NULL;
INSERT INTO waiting (n, tree, waiting_on, blocked_by, priority, due, attempt, base, token)
SELECT t.n, t.tree, p.waiting_on, p.cause, t.priority, $1, coalesce(d.attempt, 0), coalesce(d.attempt, 0),
       coalesce(d.token, 0)
  FROM planned p CROSS JOIN tasks t ON t.n = p.n
  LEFT JOIN done d ON d.n = p.n AND d.attempt = (SELECT max(attempt) FROM done WHERE n = p.n)
 WHERE p.waiting_on > 0 OR p.cause IS NOT NULL;
INSERT INTO events (tree, n, attempt, kind, at, data)
SELECT w.tree, w.n, w.attempt, {TASK_BLOCKED}, $1, json_object('blocked_by', t.id)
  FROM planned p CROSS JOIN waiting w ON w.n = p.n CROSS JOIN tasks t ON t.n = p.cause
 ORDER BY p.n;
DELETE FROM planned;
"
    )
});

static CANCEL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO withdraw VALUES ($1, $2, $3, $4);
INSERT INTO block_dependents VALUES ($1);
INSERT INTO settle VALUES ($1);
SELECT n AS interrupted, token FROM finished WHERE node IS NOT NULL ORDER BY n;
{ENDED}
SELECT tree AS touched FROM finished LIMIT 1;
INSERT INTO clear_scratch VALUES (0);
"
    )
});

/// Takes tasks out of whatever queue they are in. The attempt of a run is the run's; another entry needs a number of its
/// own. See NEXT_ENTRY.
pub(super) static WITHDRAW: LazyLock<String> = LazyLock::new(|| {
    let queued = |queue: &str, open: &str| {
        format!(
            "
INSERT INTO finished (n, tree, kind, open, blocked, attempt, token, error)
SELECT q.n, q.tree, NEW.kind, {open}, 1 - {open}, {NEXT_ENTRY}, q.token, NEW.error
  FROM json_each(NEW.tasks) AS j CROSS JOIN {queue} q ON q.n = j.value;"
        )
    };
    format!(
        "
INSERT INTO finished (n, tree, kind, open, blocked, attempt, token, node, started_at, error)
SELECT r.n, r.tree, NEW.kind, 1, 0, r.attempt, r.token, r.node, r.started_at, NEW.error
  FROM json_each(NEW.tasks) AS j CROSS JOIN running r ON r.n = j.value;
{}{}{}
INSERT INTO finished (n, tree, kind, open, blocked, attempt, token, error)
SELECT t.n, t.tree, NEW.kind, 0, 0, coalesce(max(d.attempt) + 1, 0), coalesce(max(d.token), 0), NEW.error
  FROM json_each(NEW.tasks) AS j CROSS JOIN tasks t ON t.n = j.value LEFT JOIN done d ON d.n = t.n
 WHERE NOT EXISTS (SELECT 1 FROM finished f WHERE f.n = t.n)
 GROUP BY t.n;

INSERT INTO done (n, attempt, status, node, started_at, ended_at, token, error)
SELECT n, attempt, NEW.kind, node, started_at, NEW.now, token, error FROM finished;
DELETE FROM running WHERE n IN (SELECT n FROM finished);
DELETE FROM ready WHERE n IN (SELECT n FROM finished);
DELETE FROM delayed WHERE n IN (SELECT n FROM finished);
DELETE FROM waiting WHERE n IN (SELECT n FROM finished);
INSERT INTO events (tree, n, attempt, kind, at, started_at)
SELECT tree, n, attempt, CASE NEW.kind WHEN {FAILED} THEN {TASK_FAILED} ELSE {TASK_CANCELLED} END, NEW.now, started_at
  FROM finished ORDER BY n;
",
        queued("ready", "1"),
        queued("delayed", "1"),
        queued("waiting", "(q.blocked_by IS NULL)"),
    )
});

/// The newest attempt no longer says what the task's status is.
const REOPEN: &str = "
INSERT OR REPLACE INTO reopened (n, attempt)
SELECT n, max(attempt) FROM done WHERE n = $1 GROUP BY n";

const MOVE: &str = "
UPDATE ready SET priority = $2 - 4 * (priority < 0) WHERE n = $1;
UPDATE waiting SET priority = $2 - 4 * (priority < 0) WHERE n = $1;
UPDATE delayed SET priority = $2 - 4 * (priority < 0) WHERE n = $1;
UPDATE running SET priority = $2 - 4 * (priority < 0) WHERE n = $1;";

static REDEFINE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE tasks SET name = $3, priority = $4, executor = $5, inputs = $6, params = $7, more = $8, updated_at = $1
          WHERE n = $2;
         INSERT INTO events (tree, n, attempt, kind, at)
         SELECT t.tree, t.n, {NEWEST}, {TASK_UPDATED}, $1 FROM tasks t WHERE t.n = $2;"
    )
});

/// If it stood blocked, that is behind it.
const REWIRE: &str = "
DELETE FROM waiting WHERE n = $1;
DELETE FROM edges WHERE task = $1;
INSERT INTO edges (task, pos, dep, required, kind)
SELECT $1, key, value->>0, value->>1, value->>2 FROM json_each($2);";

const KEEP: &str = "
UPDATE events SET data = k.data FROM (SELECT value->>0 AS seq, value->>1 AS data FROM json_each($1)) AS k
 WHERE events.seq IN (SELECT value->>0 FROM json_each($1)) AND k.seq = events.seq";

static REMOVE: LazyLock<String> = LazyLock::new(|| {
    let doomed = "(SELECT value FROM json_each($4))";
    format!(
        "
-- Blocked ones, and whoever is blocked by one of them.
DELETE FROM waiting
 WHERE n BETWEEN (SELECT root FROM trees WHERE n = $2) AND (SELECT last FROM trees WHERE n = $2)
   AND (n IN {doomed} OR blocked_by IN {doomed});
INSERT INTO events (tree, attempt, kind, at, data)
SELECT n, execution, {TREE_DELETED}, $1, json_object('tasks', $3) FROM trees WHERE n = $2;
INSERT INTO removed_trees (n, id, user_id)
SELECT n, id, user_id FROM trees WHERE n = $2 AND root IN {doomed};
INSERT INTO removed_tasks (n, id, executor) SELECT n, id, executor FROM tasks WHERE n IN {doomed};
DELETE FROM receipts WHERE tree = $2 AND EXISTS (SELECT 1 FROM trees WHERE n = $2 AND root IN {doomed});
DELETE FROM trees WHERE n = $2 AND root IN {doomed};
DELETE FROM tasks WHERE n IN {doomed};
DELETE FROM edges WHERE task IN {doomed};
DELETE FROM done WHERE n IN {doomed};
DELETE FROM reopened WHERE n IN {doomed};
DELETE FROM schedules WHERE n IN {doomed};
DELETE FROM schedule_runs WHERE n IN {doomed};
DELETE FROM origins WHERE n IN {doomed};
DELETE FROM keyed WHERE n IN {doomed};
DELETE FROM checkpoints WHERE n IN {doomed};
DELETE FROM child_trees WHERE task IN {doomed};
DELETE FROM child_trees WHERE tree = $2 AND NOT EXISTS (SELECT 1 FROM trees x WHERE x.n = $2);
"
    )
});

static DERIVE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO origins (n, type, original)
SELECT x.root + j.key, j.value->>0, j.value->>1 FROM jsonb_each($4) AS j CROSS JOIN trees x ON x.n = $2;
INSERT INTO done (n, attempt, status, ended_at, token)
SELECT o.n, 0, {COMPLETED}, $1, 0
  FROM trees x CROSS JOIN origins o ON o.n BETWEEN x.root AND x.last WHERE x.n = $2 AND o.type = {LINK};
UPDATE trees SET status = {COMPLETED}, ended_at = $1 WHERE n = $2 AND $3;
"
    )
});

static FREEZE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO events (tree, n, attempt, kind, at)
SELECT t.tree, t.n, {NEWEST}, {TASK_UPDATED}, $1
  FROM json_each($2) AS j CROSS JOIN tasks t ON t.n = j.value
 WHERE NOT EXISTS (SELECT 1 FROM origins o WHERE o.n = t.n AND o.archived_at IS NOT NULL)
 ORDER BY t.n;
INSERT INTO origins (n, type, archived_at) SELECT value, {CREATED}, $1 FROM json_each($2) WHERE true
ON CONFLICT DO UPDATE SET archived_at = coalesce(archived_at, excluded.archived_at);
"
    )
});

const TAKE_KEY: &str = "
INSERT INTO receipts (owner, key, digest, tree, created_at) VALUES ($2, $3, $4, 0, $1) ON CONFLICT DO NOTHING RETURNING tree";

const USE_KEY: &str = "UPDATE receipts SET tree = $3 WHERE owner = $1 AND key = $2";

/// Puts the runs in `finished` back into the queue.
pub(super) static TAKE_BACK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT f.n, f.tree, f.priority, x.started_at, f.attempt, f.base + 1, f.token + 1
  FROM finished f CROSS JOIN trees x ON x.n = f.tree;
DELETE FROM running WHERE n IN (SELECT n FROM finished);
INSERT INTO events (tree, n, attempt, kind, at, started_at)
SELECT tree, n, attempt, {TASK_RESCUED}, NEW.now, started_at FROM finished ORDER BY n;
"
    )
});

/// Takes back the runs of some sessions; `which` is a condition on a session `s`, `change` is done to the sessions.
fn take_back(which: &str, change: &str) -> String {
    format!(
        "
INSERT INTO finished (n, tree, kind, open, blocked, attempt, base, token, priority, started_at)
SELECT r.n, r.tree, 0, 1, 0, r.attempt, r.base, r.token, r.priority, r.started_at
  FROM running r CROSS JOIN sessions s ON s.n = r.node WHERE {which};
{change}
INSERT INTO take_back VALUES ($1);
SELECT count(*) AS rescued FROM finished;
INSERT INTO clear_scratch VALUES (0);
"
    )
}

static OPEN_SESSION: LazyLock<String> = LazyLock::new(|| {
    let change = "
INSERT INTO sessions (node, epoch, until, ended) VALUES ($2, 1, $3, 0)
    ON CONFLICT (node) DO UPDATE SET epoch = epoch + 1, until = excluded.until, ended = 0 RETURNING epoch;";
    take_back("s.node = $2", change)
});

const RENEW_SESSION: &str =
    "UPDATE sessions SET until = $3 WHERE node = $1 AND epoch = $2 AND ended = 0 RETURNING n";

static CLOSE_SESSION: LazyLock<String> = LazyLock::new(|| {
    let change = "UPDATE sessions SET ended = 2 WHERE node = $2 AND epoch = $3 AND ended = 0;";
    take_back("s.node = $2 AND s.epoch = $3 AND s.ended = 0", change)
});

static RESCUE: LazyLock<String> = LazyLock::new(|| {
    let change = "UPDATE sessions SET ended = 1 WHERE ended = 0 AND until <= $1;";
    take_back("s.ended = 0 AND s.until <= $1", change)
});

const SET_CURSOR: &str = "INSERT INTO cursors (name, seq, seen_at) VALUES ($1, $2, $3)
         ON CONFLICT DO UPDATE SET seq = excluded.seq, seen_at = excluded.seen_at";
