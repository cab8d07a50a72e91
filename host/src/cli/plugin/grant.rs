//! `apflow plugin policy`, `grant` and `revoke`: flags become the written form of grants, and the operation does the rest, on a
//! running server or (with `--local`) in the grants file.

use serde_json::{Value, json};
use toml::Table;

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};
use super::super::target::{Need, TargetArgs};

/// Flags of `apflow plugin policy`.
#[derive(Debug, clap::Args)]
pub struct PolicyArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
}

/// Flags of `apflow plugin grant`.
#[derive(Debug, clap::Args)]
pub struct GrantArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    what: WhatArgs,
}

/// Flags of `apflow plugin revoke`.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    what: WhatArgs,
    /// Take everything away
    #[arg(long, conflicts_with = "reset")]
    all: bool,
    /// Go back to what the configuration says
    #[arg(long)]
    reset: bool,
}

/// What is granted or revoked.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Grants")]
struct WhatArgs {
    /// Requests, as https://api.example.com; this and all others may be given several times
    #[arg(long, value_name = "RULE")]
    http: Vec<String>,
    /// Addresses that are not public, as 10.0.0.0/8 or db.internal:5432
    #[arg(long, value_name = "RULE")]
    private_network: Vec<String>,
    /// A variable of the host's environment
    #[arg(long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// A folder, as HOST[:GUEST][:ro|:rw]
    #[arg(long, value_name = "FOLDER")]
    fs: Vec<String>,
    /// A program, with any arguments
    #[arg(long, value_name = "PROGRAM")]
    process: Vec<String>,
    /// The machine's figures
    #[arg(long = "system")]
    figures: bool,
    /// Any grant as in apflow.toml, for example 'http = [{ pattern = "https://*", methods = ["GET"] }]'
    #[arg(long, value_name = "TOML")]
    add: Vec<String>,
}

impl WhatArgs {
    /// The written form.
    fn table(&self) -> Result<Table, Failure> {
        let mut table = Table::new();
        let texts = [
            ("http", &self.http),
            ("private_network", &self.private_network),
            ("env", &self.env),
            ("process", &self.process),
        ];
        for (key, values) in texts {
            push(&mut table, key, values.iter().map(|value| value.as_str().into()).collect());
        }
        push(&mut table, "fs", self.fs.iter().map(|text| folder(text)).collect());
        if self.figures {
            table.insert("system".into(), true.into());
        }
        for text in &self.add {
            let more: Table = toml::from_str(text).map_err(|error| {
                Failure::usage("invalid_params", format!("--add '{text}': {}", error.message().trim()))
            })?;
            for (key, value) in more {
                match value {
                    toml::Value::Array(values) => push(&mut table, &key, values),
                    value => {
                        table.insert(key, value);
                    }
                }
            }
        }
        Ok(table)
    }
}

fn push(table: &mut Table, key: &str, values: Vec<toml::Value>) {
    if values.is_empty() {
        return;
    }
    let list = table.entry(key).or_insert_with(|| toml::Value::Array(Vec::new()));
    if let toml::Value::Array(list) = list {
        list.extend(values);
    }
}

/// `HOST[:GUEST][:MODE]`.
fn folder(text: &str) -> toml::Value {
    let (paths, mode) = match text.rsplit_once(':') {
        Some((paths, mode @ ("ro" | "rw"))) => (paths, Some(mode)),
        _ => (text, None),
    };
    let (host, guest) = paths.split_once(':').unwrap_or((paths, paths));
    let mut folder = Table::from_iter([("guest".to_owned(), guest.into()), ("host".to_owned(), host.into())]);
    if let Some(mode) = mode {
        folder.insert("mode".into(), mode.into());
    }
    folder.into()
}

/// Runs `policy`.
pub async fn policy(args: &PolicyArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    call(target, output, "plugins.policy", json!({ "name": args.name })).await
}

/// Runs `grant`.
pub async fn grant(args: &GrantArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let what = args.what.table()?;
    if what.is_empty() {
        let message = "Name what to grant, for example --http https://api.example.com";
        return Err(Failure::usage("invalid_params", message));
    }
    call(target, output, "plugins.grant", json!({ "name": args.name, "add": what })).await
}

/// Runs `revoke`.
pub async fn revoke(args: &RevokeArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let what = args.what.table()?;
    let params = match (args.all, args.reset) {
        (true, _) => json!({ "name": args.name, "all": true }),
        (_, true) => json!({ "name": args.name, "reset": true }),
        _ if what.is_empty() => {
            let message = "Name what to revoke, or give --all or --reset";
            return Err(Failure::usage("invalid_params", message));
        }
        _ => json!({ "name": args.name, "remove": what }),
    };
    call(target, output, "plugins.revoke", params).await
}

async fn call(target: &TargetArgs, output: Output, method: &str, params: Value) -> Result<Exit, Failure> {
    let target = target.open(Need::Plugins).await?;
    let answer = target.system(method, params).await;
    target.close().await;
    output.show(&answer?, sides);
    Ok(Exit::Success)
}

fn sides(answer: &Value) -> String {
    let origin = match field(answer, "origin").as_str() {
        "nobody" => "nobody has said anything".to_owned(),
        "shipped" => "as it is shipped".to_owned(),
        origin => format!("by the {origin}"),
    };
    let mut text = vec![field(answer, "name")];
    for (name, title) in [
        ("asked", "asks for".to_owned()),
        ("allowed", format!("is allowed ({origin})")),
        ("effective", "may".to_owned()),
        ("unmet", "asks for in vain".to_owned()),
    ] {
        let table = answer.get(name).and_then(|side| Table::try_from(side).ok()).unwrap_or_default();
        text.push(format!("{title}{}", if table.is_empty() { " nothing" } else { "" }));
        text.extend(table.iter().map(|(key, value)| format!("  {key} = {value}")));
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_fragments_become_one_table() {
        let what = WhatArgs {
            http: vec!["https://a.test".into()],
            fs: vec!["/srv/data:/data:rw".into(), "/logs".into()],
            figures: true,
            add: vec!["http = [{ pattern = \"https://b.test\", methods = [\"GET\"] }]".into()],
            ..WhatArgs::default()
        };
        let expected = "http = [\"https://a.test\", { pattern = \"https://b.test\", methods = [\"GET\"] }]\n\
            fs = [{ host = \"/srv/data\", guest = \"/data\", mode = \"rw\" }, { host = \"/logs\", guest = \"/logs\" }]\n\
            system = true";
        assert_eq!(what.table().unwrap(), toml::from_str(expected).unwrap());
        let wrong = WhatArgs { add: vec!["http =".into()], ..WhatArgs::default() };
        assert!(wrong.table().unwrap_err().message().starts_with("--add 'http ='"));
    }

    #[test]
    fn both_sides_are_shown() {
        let text = sides(&json!({
            "name": "p", "asked": {"system": true}, "allowed": {}, "effective": {}, "unmet": {"system": true},
            "origin": "nobody",
        }));
        let expected = "p\nasks for\n  system = true\nis allowed (nobody has said anything) nothing\nmay nothing\n\
            asks for in vain\n  system = true";
        assert_eq!(text, expected);
    }
}
