//! Gates: rules, the keys of tasks, and reading them. What goes through a gate is decided in the turn.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::gate::{Gate, GateLimits, GateRule, GateScope, Rate};
use apflow_core::id::TreeKey;
use apflow_core::tree::NewTree;

use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::error::corrupt;
use crate::rows::{Cells, at, time, to_json};

/// `gates.scope` of executors.
pub(crate) const EXECUTOR: i64 = 0;
/// `gates.scope` of concurrency keys.
pub(crate) const KEY: i64 = 1;

/// More tasks than any gate lets through.
pub(crate) const ANY: i64 = 1 << 40;
/// Gates at which somebody is parked who is not kept there by those that run; as the index `gates_awaited` has it.
pub(crate) const AWAITED: &str = "parked > 0 AND (max_running IS NULL OR running < max_running)";

/// The key of the rule that is closest to a name: [`apflow_core::gate::limits_of`], said in SQL; a test compares.
pub(crate) fn rule_of(scope: &str, name: &str) -> String {
    format!(
        "(SELECT u.n FROM gate_rules u
           WHERE u.scope = {scope}
             AND CASE u.prefix WHEN 0 THEN u.name = {name} ELSE substr({name}, 1, length(u.name)) = u.name END
           ORDER BY u.prefix, length(u.name) DESC LIMIT 1)"
    )
}

/// A rule as it is stored: scope, name or beginning, whether it is a beginning, `max_running`, `spacing`, `burst`.
type RuleRow = (i64, String, i64, Option<i64>, Option<i64>, Option<i64>);

fn packed(rule: &GateRule) -> RuleRow {
    let prefix = rule.prefix();
    let (max_running, rate) = (rule.limits.max_running.map(i64::from), rule.limits.rate);
    (
        scope_number(rule.scope),
        prefix.unwrap_or(&rule.name).to_owned(),
        i64::from(prefix.is_some()),
        max_running,
        rate.map(|rate| rate.spacing),
        rate.map(|rate| rate.burst.into()),
    )
}

const fn scope_number(scope: GateScope) -> i64 {
    match scope {
        GateScope::Executor => EXECUTOR,
        GateScope::Key => KEY,
    }
}

/// Writes nothing if the rules are those that are in force: hosts say the same at every start.
pub(crate) async fn set_rules(database: &impl Database, rules: &[GateRule], now: Timestamp) -> Result<bool> {
    let mut wanted: Vec<RuleRow> = rules.iter().map(packed).collect();
    wanted.sort_unstable();
    let text = "SELECT scope, name, prefix, max_running, spacing, burst FROM gate_rules";
    let read = |row: &_| rule_row(row);
    let mut found = database.read(sql(text), Vec::new(), read).await?;
    found.sort_unstable();
    if found == wanted {
        return Ok(false);
    }
    let rows = to_json("list of rules", &wanted)?;
    replayed(|| database.run(Step::SetGateRules, arguments![now, rows.clone()], |_| Ok(()))).await?;
    Ok(true)
}

fn rule_row(row: &impl Cells) -> Result<RuleRow> {
    Ok((at(row, 0)?, at(row, 1)?, at(row, 2)?, at(row, 3)?, at(row, 4)?, at(row, 5)?))
}

pub(crate) async fn list(database: &impl Database) -> Result<Vec<Gate>> {
    let text = format!("SELECT {COLUMNS} FROM gates ga");
    let mut gates = database.read(sql(text), Vec::new(), |row| gate(row, 0)).await?;
    // Databases sort texts by their own rules.
    gates.sort_unstable_by(|a, b| (a.scope, &a.name).cmp(&(b.scope, &b.name)));
    Ok(gates)
}

/// The columns that [`gate`] reads, of a gate `ga`.
pub(super) const COLUMNS: &str =
    "ga.scope, ga.name, ga.max_running, ga.spacing, ga.burst, ga.running, ga.parked, ga.opens_at";

/// Makes the gate of a row, whose columns begin at `first`.
pub(super) fn gate(row: &impl Cells, first: usize) -> Result<Gate> {
    let number = |column: usize| at::<Option<u32>>(row, first + column);
    let spacing: Option<i64> = at(row, first + 3)?;
    let rate = spacing.zip(number(4)?).map(|(spacing, burst)| Rate { spacing, burst });
    Ok(Gate {
        scope: match at(row, first)? {
            EXECUTOR => GateScope::Executor,
            KEY => GateScope::Key,
            other => return Err(corrupt(format!("A stored gate has the scope {other}, which there is not"))),
        },
        name: at(row, first + 1)?,
        limits: GateLimits { max_running: number(2)?, rate },
        running: at(row, first + 5)?,
        parked: at(row, first + 6)?,
        opens_at: time(row, first + 7)?,
    })
}

/// Writes the concurrency keys of a tree that was just written.
pub(super) async fn plant(work: &mut impl Work, key: TreeKey, tree: &NewTree) -> Result<()> {
    let keys: Vec<(usize, &str)> = tree
        .tasks
        .iter()
        .enumerate()
        .filter_map(|(position, task)| Some((position, task.concurrency_key.as_deref()?)))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    work.step(Step::GiveKeys, arguments![key.0, to_json("list of keys", &keys)?], |_| Ok(())).await
}
