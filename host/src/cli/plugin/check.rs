//! `apflow plugin check`: what a host will think of a plugin, before one has it.

use std::path::PathBuf;

use apflow_host::Config;
use serde_json::Value;

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field, table, text_of};
use super::build;

/// Flags of `apflow plugin check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Folder of a project (it is built), folder of a built plugin, or component with plugin.toml beside it
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    path: PathBuf,
}

/// Runs the command.
pub async fn run(args: &CheckArgs, config: &Config, output: Output) -> Result<Exit, Failure> {
    let built = build::component(&args.path)?;
    let checked = apflow_host::check_plugin(config, &built.component).await?;
    let sound = checked.problems.is_empty();
    output.show(&serde_json::to_value(&checked).unwrap_or_default(), text);
    Ok(if sound { Exit::Success } else { Exit::Failed })
}

fn text(checked: &Value) -> String {
    const LINES: [&str; 9] =
        ["name", "version", "digest", "size_bytes", "kinds", "executors", "hook_points", "imports", "path"];
    let named = LINES.iter().filter(|name| field(checked, name) != "-");
    let mut text: Vec<String> = named.map(|name| format!("{name:<12} {}", field(checked, name))).collect();
    text.push(
        match checked.get("requested").filter(|asked| asked.as_object().is_some_and(|map| !map.is_empty())) {
            Some(asked) => format!("asks for     {asked}"),
            None => "asks for     nothing".into(),
        },
    );
    let ms = |one: &Value, name: &str| {
        format!("{:.2} ms", one.get(name).and_then(Value::as_f64).unwrap_or_default() / 1000.0)
    };
    text.push(format!("loaded in    {}", ms(checked, "load_us")));
    text.push(format!("first call   {}, warm {}", ms(checked, "first_call_us"), ms(checked, "warm_call_us")));
    let list = |name: &str| checked.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let examples = list("examples");
    if !examples.is_empty() {
        let mut lines = table(&["example of", "number", "outcome", "first call", "warm"]);
        for one in &examples {
            let times = [ms(one, "first_call_us"), ms(one, "warm_call_us")];
            let [first, warm] = times;
            lines.add_row([field(one, "executor"), field(one, "number"), field(one, "outcome"), first, warm]);
        }
        text.push(String::new());
        text.push(text_of(&lines));
    }
    let problems = list("problems");
    text.push(String::new());
    text.extend(
        problems.iter().map(|one| format!("problem: {} ({})", field(one, "message"), field(one, "code"))),
    );
    if problems.is_empty() {
        text.push("No problems".into());
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_come_last_with_their_code() {
        let checked = json!({
            "name": "p", "requested": {"system": true}, "first_call_us": 1500, "warm_call_us": 20, "load_us": 0,
            "examples": [{"executor": "e", "number": 1, "outcome": "completed", "first_call_us": 100, "warm_call_us": 10}],
            "problems": [{"code": "bad_example", "message": "it does not fit"}],
        });
        let text = text(&checked);
        assert!(text.contains("first call   1.50 ms, warm 0.02 ms"), "{text}");
        assert!(text.contains("asks for     {\"system\":true}"), "{text}");
        assert!(text.ends_with("problem: it does not fit (bad_example)"), "{text}");
    }
}
