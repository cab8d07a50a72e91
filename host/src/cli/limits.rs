//! `apflow limits`: what limits executors and concurrency keys, and how it stands.

use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::output::{Output, field, table, text_of};
use super::target::{Need, TargetArgs};

/// Flags of `apflow limits`.
#[derive(Debug, clap::Args)]
pub struct LimitsArgs {
    #[command(subcommand)]
    command: LimitsCommand,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum LimitsCommand {
    /// List limits, with what runs and what is parked
    List,
}

/// Runs a command.
pub async fn run(args: LimitsArgs) -> Result<Exit, Failure> {
    let LimitsCommand::List = args.command;
    let target = args.target.open(Need::Database).await?;
    let answer = target.system("system.limits", json!({})).await;
    target.close().await;
    args.output.show(&answer?, list);
    Ok(Exit::Success)
}

fn list(answer: &Value) -> String {
    let entries = answer.get("limits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        return "No limits: no executor has one in the configuration ([limits.executors.NAME]), and no task has a \
                concurrency_key"
            .into();
    }
    let mut lines = table(&["scope", "name", "running", "at most", "starts", "parked"]);
    for one in entries {
        let at_most =
            one.get("max_running").and_then(Value::as_u64).map_or("any".into(), |max| max.to_string());
        let starts = one.get("per_second").and_then(Value::as_f64).map_or("any".into(), rate);
        let [scope, name, running, parked] =
            ["scope", "name", "running", "parked"].map(|key| field(one, key));
        lines.add_row([scope, name, running, at_most, starts, parked]);
    }
    text_of(&lines)
}

/// In the unit that gives a number a person can read.
fn rate(per_second: f64) -> String {
    let (count, unit) = [(per_second, "s"), (per_second * 60.0, "m")]
        .into_iter()
        .find(|(count, _)| *count >= 0.999)
        .unwrap_or((per_second * 3_600.0, "h"));
    let text = format!("{count:.1}");
    format!("{}/{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_listed() {
        let answer = json!({"limits": [
            {"scope": "executor", "name": "rest_executor", "max_running": 4, "per_second": null, "running": 4, "parked": 7},
            {"scope": "key", "name": "k", "max_running": null, "per_second": 1.6666666, "running": 0, "parked": 0},
        ]});
        let text = list(&answer);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(words.contains(&vec!["executor", "rest_executor", "4", "4", "any", "7"]), "{text}");
        assert!(words.contains(&vec!["key", "k", "0", "any", "1.7/s", "0"]), "{text}");
        assert!(list(&json!({"limits": []})).starts_with("No limits"));
    }

    #[test]
    fn rates_are_readable() {
        assert_eq!(rate(10.0), "10/s");
        assert_eq!(rate(100.0 / 60.0), "1.7/s");
        assert_eq!(rate(0.5), "30/m");
        assert_eq!(rate(1.0 / 3_600.0), "1/h");
    }
}
