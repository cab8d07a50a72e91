//! `apflow executors`: what can execute tasks.

use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::output::{Output, field, table, text_of};
use super::target::{Need, TargetArgs};

/// Flags of `apflow executors`.
#[derive(Debug, clap::Args)]
pub struct ExecutorsArgs {
    #[command(subcommand)]
    command: ExecutorsCommand,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum ExecutorsCommand {
    /// List executors
    List {
        /// With descriptions and input schemas
        #[arg(long, short)]
        verbose: bool,
    },
}

/// Runs a command.
pub async fn run(args: ExecutorsArgs) -> Result<Exit, Failure> {
    let ExecutorsCommand::List { verbose } = args.command;
    let target = args.target.open(Need::Plugins).await?;
    let answer = target.system("system.executors", json!({})).await;
    target.close().await;
    args.output.show(&answer?, |answer| if verbose { details(answer) } else { list(answer) });
    Ok(Exit::Success)
}

fn entries(answer: &Value) -> &[Value] {
    answer.get("executors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn list(answer: &Value) -> String {
    if entries(answer).is_empty() {
        return "No executors: no plugin is loaded. Build the plugins with `cargo xtask plugins`, or name a folder with \
                --plugins DIR"
            .into();
    }
    let mut lines = table(&["id", "name", "plugin"]);
    for one in entries(answer) {
        lines.add_row([field(one, "id"), field(one, "name"), field(one, "provided_by")]);
    }
    text_of(&lines)
}

fn details(answer: &Value) -> String {
    let one = |one: &Value| {
        let schema = one.get("input_schema").map(|schema| format!("{schema:#}")).unwrap_or_default();
        format!(
            "{}\n  {}\n  plugin: {}\n  tags: {}\n  inputs: {}",
            field(one, "id"),
            field(one, "description"),
            field(one, "provided_by"),
            field(one, "tags"),
            schema.replace('\n', "\n  ")
        )
    };
    entries(answer).iter().map(one).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executors_are_listed() {
        let answer = json!({"executors": [
            {"id": "rest_executor", "name": "HTTP", "provided_by": "rest_executor@0.1.0", "description": "Requests",
             "tags": ["http"], "input_schema": {"type": "object"}}
        ]});
        assert_eq!(list(&answer), "ID             NAME  PLUGIN\nrest_executor  HTTP  rest_executor@0.1.0");
        let text = details(&answer);
        assert!(text.contains("tags: http") && text.contains("\"type\": \"object\""), "{text}");
        assert!(list(&json!({"executors": []})).contains("no plugin is loaded"));
    }
}
