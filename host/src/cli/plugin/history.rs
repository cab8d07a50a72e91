//! `apflow plugin history`, `rollback` and `unpin`.

use serde_json::{Value, json};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field, short_time, table, text_of};
use super::super::target::{Need, TargetArgs};

/// Flags of `apflow plugin history`.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
}

/// Flags of `apflow plugin rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
    /// Its version, or the beginning of its digest [default: the one before the present]
    #[arg(value_name = "VERSION")]
    version: Option<String>,
}

/// Flags of `apflow plugin unpin`.
#[derive(Debug, clap::Args)]
pub struct UnpinArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs `history`.
pub async fn history(args: &HistoryArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let answer = call(target, "plugins.history", json!({ "name": args.name })).await?;
    output.show(&answer, versions);
    Ok(Exit::Success)
}

/// Runs `rollback`.
pub async fn rollback(args: &RollbackArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let params = match &args.version {
        Some(version) => json!({ "name": args.name, "version": version }),
        None => json!({ "name": args.name }),
    };
    let answer = call(target, "plugins.rollback", params).await?;
    output.show(&answer, |answer| {
        let digest: String = field(answer, "digest").chars().take(12).collect();
        let (name, version) = (field(answer, "name"), field(answer, "version"));
        format!(
            "{name} {version} ({digest}) serves, until other files are there or `apflow plugin unpin {name}`"
        )
    });
    Ok(Exit::Success)
}

/// Runs `unpin`.
pub async fn unpin(args: &UnpinArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let answer = call(target, "plugins.unpin", json!({ "name": args.name })).await?;
    let failed = answer.get("failed").and_then(Value::as_array).is_some_and(|failed| !failed.is_empty());
    output.show(&answer, super::reloaded);
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

async fn call(target: &TargetArgs, method: &str, params: Value) -> Result<Value, Failure> {
    let target = target.open(Need::Plugins).await?;
    let answer = target.system(method, params).await;
    target.close().await;
    answer
}

fn versions(answer: &Value) -> String {
    let mut lines = table(&["version", "digest", "live since", "calls", "failures", "state"]);
    for one in answer["versions"].as_array().into_iter().flatten() {
        let is = |name: &str| one.get(name) == Some(&Value::Bool(true));
        let state = match (is("serving"), is("pinned"), field(one, "refused").as_str(), is("kept")) {
            (true, true, ..) => "serving, pinned".to_owned(),
            (true, ..) => "serving".into(),
            (_, _, refused, _) if refused != "-" => format!("refused: {refused}"),
            (.., true) => "kept".into(),
            _ => "gone".into(),
        };
        lines.add_row([
            field(one, "version"),
            field(one, "digest").chars().take(12).collect(),
            short_time(&field(one, "live_at")),
            field(one, "calls"),
            field(one, "failures"),
            state,
        ]);
    }
    text_of(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_say_how_they_stand() {
        let one = |version: &str, serving: bool, refused: Value| {
            json!({
                "version": version, "digest": "0123456789abcdef", "live_at": "2026-01-02T03:04:05.6Z", "calls": 3,
                "failures": 1, "serving": serving, "pinned": serving, "refused": refused, "kept": true,
            })
        };
        let answer = json!({"versions": [one("1", true, Value::Null), one("2", false, json!("it failed"))]});
        let text = versions(&answer);
        assert!(text.contains("2026-01-02T03:04:05Z  3      1         serving, pinned"), "{text}");
        assert!(text.ends_with("refused: it failed"), "{text}");
    }
}
