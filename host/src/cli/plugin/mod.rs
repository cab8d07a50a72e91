//! `apflow plugin`: what is loaded, what is in a file, and loading anew; and for authors new, build, check, test and pack,
//! each in a file of its own.

mod build;
mod check;
mod new;
mod pack;
mod test;

mod approval;
mod grant;
mod history;
mod install;
mod key;
mod list;
mod operator;
mod remove;
mod site;
mod update;

use std::path::PathBuf;

use apflow_host::Config;
use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::options::{QUIET, start_logging};
use super::output::{Output, field};
use super::target::{Need, TargetArgs};

/// Flags of `apflow plugin`.
#[derive(Debug, clap::Args)]
pub struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum PluginCommand {
    /// Begin a plugin: a project that builds, with a test
    New(new::NewArgs),
    /// Build a project into a component
    Build(build::BuildArgs),
    /// Load a plugin as a host would and say what has to be mended
    Check(check::CheckArgs),
    /// Run a plugin's own cases, with the world outside faked
    Test(test::TestArgs),
    /// Build, check and pack a plugin into one file
    Pack(pack::PackArgs),
    /// List loaded plugins, and how installed ones stand to plugins.lock
    List(list::ListArgs),
    /// Load a plugin by itself and show what it is and what it asks for; nothing is granted to it
    Inspect {
        /// Component (.wasm) with its plugin.toml beside it, or the folder of both
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make a server look at its plugin folders now
    Reload,
    #[command(flatten)]
    Operator(operator::Command),
}

/// Runs a command.
pub async fn run(args: PluginArgs) -> Result<Exit, Failure> {
    match &args.command {
        PluginCommand::List(flags) => list::run(flags, &args.target, args.output).await,
        PluginCommand::Operator(command) => operator::run(command, &args.target, args.output).await,
        PluginCommand::Reload => {
            let target = args.target.open(Need::Plugins).await?;
            let answer = target.system("system.plugins.reload", json!({})).await;
            target.close().await;
            let answer = answer?;
            args.output.show(&answer, reloaded);
            let failed =
                answer.get("failed").and_then(Value::as_array).is_some_and(|failed| !failed.is_empty());
            Ok(if failed { Exit::Failed } else { Exit::Success })
        }
        PluginCommand::Inspect { file } => inspect(&args, file).await,
        PluginCommand::New(new) => new::run(new, args.output),
        PluginCommand::Build(build) => build::run(build, args.output),
        PluginCommand::Check(check) => check::run(check, &configured(&args)?, args.output).await,
        PluginCommand::Test(test) => test::run(test, &configured(&args)?, args.output).await,
        PluginCommand::Pack(pack) => pack::run(pack, &configured(&args)?, args.output).await,
    }
}

/// The configuration, for commands that call plugins here; what those log is shown.
fn configured(args: &PluginArgs) -> Result<Config, Failure> {
    let loaded = args.target.load()?;
    start_logging(&loaded, Some(QUIET));
    Ok(loaded.config)
}

async fn inspect(args: &PluginArgs, file: &std::path::Path) -> Result<Exit, Failure> {
    let loaded = args.target.load()?;
    let inspected = apflow_host::inspect_plugin(&loaded.config, file).await?;
    let value = serde_json::to_value(&inspected).unwrap_or_default();
    args.output.show(&value, details);
    Ok(Exit::Success)
}

fn reloaded(answer: &Value) -> String {
    let part = |name: &str| answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines: Vec<String> = Vec::new();
    lines.extend(part("loaded").iter().map(|one| format!("loaded   {}", text(one))));
    lines.extend(part("removed").iter().map(|one| format!("removed  {}", text(one))));
    lines.extend(
        part("failed").iter().map(|one| format!("failed   {}: {}", field(one, "path"), field(one, "error"))),
    );
    if lines.is_empty() { "Nothing has changed".into() } else { lines.join("\n") }
}

fn details(one: &Value) -> String {
    const LINES: [&str; 9] =
        ["name", "version", "digest", "size_bytes", "kinds", "executors", "hook_points", "imports", "path"];
    let mut text: Vec<String> = LINES
        .iter()
        .filter(|name| field(one, name) != "-")
        .map(|name| format!("{name:<12} {}", field(one, name)))
        .collect();
    for (name, title) in [("requested", "asks for"), ("granted", "is granted")] {
        let said = one.get(name).filter(|value| **value != json!({}) && !value.is_null());
        text.push(match said {
            Some(value) => format!("{title}:\n{value:#}"),
            None => format!("{title:<12} nothing"),
        });
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_says_what_changed() {
        let answer = json!({"loaded": ["p 0.2.0"], "removed": [], "failed": [{"path": "x.wasm", "error": "no world"}]});
        assert_eq!(reloaded(&answer), "loaded   p 0.2.0\nfailed   x.wasm: no world");
        assert_eq!(reloaded(&json!({})), "Nothing has changed");
    }

    #[test]
    fn a_plugin_shows_both_sides_of_its_grants() {
        let text = details(&json!({"name": "p", "requested": {"system": true}, "granted": {}}));
        assert!(text.contains("asks for:\n{\n  \"system\": true\n}"), "{text}");
        assert!(text.ends_with("is granted   nothing"), "{text}");
    }
}
