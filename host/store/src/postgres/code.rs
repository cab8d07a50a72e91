//! The functions, which belong to a build rather than to the schema: each text of them is installed into a schema of its
//! own, named after the text, and never replaced. So hosts of different builds can use one database, and an upgrade
//! disturbs nobody.

use std::sync::LazyLock;

use apflow_core::event::EventKind;
use apflow_core::task::TaskStatus;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

use crate::database::sql;
use crate::rows::status_number;
use crate::verbs::cancel::NEXT_ENTRY;
use crate::verbs::clone::{CREATED, LINK};
use crate::verbs::finished::{DELAY, RETRY};
use crate::verbs::gates::{ANY, AWAITED, EXECUTOR, KEY, rule_of};
use crate::verbs::skeleton::NEWEST;

/// In the order of their use of each other.
const FILES: [&str; 6] = [
    include_str!("functions/settle.sql"),
    include_str!("functions/gates.sql"),
    include_str!("functions/turn.sql"),
    include_str!("functions/tree.sql"),
    include_str!("functions/clone.sql"),
    include_str!("functions/session.sql"),
];

/// The advisory lock for taking keys; "keys" in ASCII.
const KEYS_LOCK: i64 = 0x6b65_7973;

/// The advisory lock for what stands at gates; "gate" in ASCII.
const GATES_LOCK: i64 = 0x6761_7465;

/// The functions of this build.
pub(super) struct Code {
    pub schema: String,
    pub text: String,
}

pub(super) static CODE: LazyLock<Code> = LazyLock::new(|| {
    let text = FILES.map(filled).concat();
    let migration =
        Migration::new(0, "".into(), MigrationType::Simple, sql(text.clone()).into_sql_str(), false);
    let hash: String = migration.checksum.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Code { schema: format!("apflow_{hash}"), text }
});

/// Puts numbers in the place of their names, as in `{task.started}` and `{failed}`.
fn filled(text: &str) -> String {
    let kinds = EventKind::ALL.iter().map(|kind| (kind.as_str(), kind.number().to_string()));
    let statuses = TaskStatus::ALL.map(|status| (status.as_str(), status_number(status).to_string()));
    let others = [
        ("retry", RETRY.to_string()),
        ("delay", DELAY.to_string()),
        ("keys_lock", KEYS_LOCK.to_string()),
        ("gates_lock", GATES_LOCK.to_string()),
        ("executor_gate", EXECUTOR.to_string()),
        ("key_gate", KEY.to_string()),
        ("rule_of_gate", rule_of("gates.scope", "gates.name")),
        ("awaited", AWAITED.to_owned()),
        ("any", ANY.to_string()),
        ("link", LINK.to_string()),
        ("created", CREATED.to_string()),
        ("newest_attempt", NEWEST.to_owned()),
        ("next_entry", NEXT_ENTRY.to_owned()),
    ];
    kinds
        .chain(statuses)
        .chain(others)
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_number() {
        let without_literals = CODE.text.replace("'{}'", "");
        assert!(!without_literals.contains(['{', '}']), "{without_literals}");
        assert_eq!(CODE.schema.len(), "apflow_".len() + 12);
    }
}
