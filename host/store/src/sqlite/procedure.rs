//! Stored procedures, which SQLite does not have: a view, and a trigger that does the work when a row of parameters is
//! inserted into it. They are temporary, made when the writing connection is opened, and belong to this build.
//!
//! Why: each statement that is sent wakes the thread that waits for its outcome, which costs more than most statements do.
//! A call is one statement, whatever it does. In a body, parameters are `NEW.name`; a `WITH` may stand only inside a
//! subquery.

use super::scratch::{CLEAR, SCRATCH};
use super::{gates, insert, settle, steps, turn};

/// A procedure: called by `INSERT INTO name VALUES (parameters…)`.
pub(super) struct Procedure {
    pub name: &'static str,
    /// Names, divided by commas.
    pub parameters: &'static str,
    pub body: &'static str,
}

/// All of them; `clear_scratch` takes anything.
pub(super) fn all() -> [Procedure; 14] {
    let procedure = |name, parameters, body| Procedure { name, parameters, body };
    [
        procedure("plant", "now, id, owner, tasks, execute", &insert::PLANT),
        procedure("grow", "now, edges, queued", insert::GROW),
        procedure("note_progress", "now, reports", &turn::NOTE_PROGRESS),
        procedure("record_runs", "now, runs", &turn::RECORD_RUNS),
        procedure("block_dependents", "now", &settle::BLOCK_DEPENDENTS),
        procedure("settle", "now", &settle::SETTLE),
        procedure("claim_ready", "now, most", &turn::CLAIM_READY),
        procedure("offer_parked", "gate, room", gates::OFFER_PARKED),
        procedure("consider", "now, n, executor_gate, key_gate", &gates::CONSIDER),
        procedure("claim_gated", "now, most", &gates::CLAIM_GATED),
        procedure("promote", "now", &gates::PROMOTE),
        procedure("take_back", "now", &steps::TAKE_BACK),
        procedure("withdraw", "now, tasks, error, kind", &steps::WITHDRAW),
        procedure("clear_scratch", "anything", CLEAR),
    ]
}

/// What a connection that writes needs before its first transaction.
pub(super) fn installation() -> String {
    let mut text = SCRATCH.to_owned();
    for Procedure { name, parameters, body } in all() {
        let nulls = parameters.split(',').map(|_| "NULL").collect::<Vec<_>>().join(", ");
        text.push_str(&format!(
            "
CREATE TEMP VIEW {name} ({parameters}) AS SELECT {nulls};
CREATE TEMP TRIGGER do_{name} INSTEAD OF INSERT ON {name} BEGIN {body} END;
"
        ));
    }
    text
}
