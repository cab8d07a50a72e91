//! `apflow plugin list`: what is loaded, and for what was installed into the folders of this machine, whether its files are
//! still those of `plugins.lock`, and whether its source has something newer.

use apflow_packages::{PluginsFolder, newest};
use serde_json::{Map, Value, json};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field, table, text_of};
use super::super::target::{Need, TargetArgs};
use super::site::{self, Site};

/// Flags of `apflow plugin list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// List what was installed and whether its source has something newer; asks no server of ours
    #[arg(long)]
    outdated: bool,
}

/// Runs the command.
pub async fn run(flags: &ListArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    if flags.outdated {
        return outdated(target, output).await;
    }
    let opened = target.open(Need::Plugins).await?;
    let answer = opened.system("system.plugins", json!({})).await;
    opened.close().await;
    let mut answer = answer?;
    add_installed(&mut answer, &site::folders(target)?)?;
    output.show(&answer, list);
    Ok(Exit::Success)
}

/// Adds to each plugin what the locks of the folders say of it, under `installed`.
fn add_installed(answer: &mut Value, folders: &[PluginsFolder]) -> Result<(), Failure> {
    let mut installed: Map<String, Value> = Map::new();
    for folder in folders {
        let held = folder.held();
        for entry in folder.lock()?.plugins {
            let known = json!({
                "folder": folder.path(), "version": entry.version, "source": entry.source, "signer": entry.signer,
                "installed_at": entry.installed_at, "drift": folder.drift(&entry), "held": held.contains(&entry.name),
            });
            installed.insert(entry.name, known);
        }
    }
    for plugin in answer.get_mut("plugins").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = field(plugin, "name");
        if let (Some(known), Some(plugin)) = (installed.remove(&name), plugin.as_object_mut()) {
            plugin.insert("installed".into(), known);
        }
    }
    if let (false, Some(answer)) = (installed.is_empty(), answer.as_object_mut()) {
        answer.insert("installed_only".into(), Value::Object(installed));
    }
    Ok(())
}

fn list(answer: &Value) -> String {
    let plugins = answer.get("plugins").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if plugins.is_empty() {
        return "No plugins are loaded. Build them with `cargo xtask plugins`, or name a folder with --plugins DIR".into();
    }
    let mut lines = table(&["name", "version", "kinds", "executors", "digest", "problem"]);
    for one in plugins {
        let digest: String = field(one, "digest").chars().take(12).collect();
        lines.add_row([
            field(one, "name"),
            field(one, "version"),
            field(one, "kinds"),
            field(one, "executors"),
            digest,
            match (field(one, "problem").as_str(), field(one, "unset").as_str()) {
                ("-", unset) if unset != "-" => format!("not used, it needs a setting: {unset}"),
                (problem, _) => problem.to_owned(),
            },
        ]);
    }
    let mut text = vec![text_of(&lines)];
    text.extend(plugins.iter().filter_map(|one| remark(&field(one, "name"), one.get("installed")?)));
    if let Some(Value::Object(others)) = answer.get("installed_only") {
        for (name, known) in others {
            let folder = field(known, "folder");
            text.push(format!("{name}: it is installed in {folder}, and not loaded"));
            text.extend(remark(name, known));
        }
    }
    text.join("\n")
}

/// What an operator should know of an installed plugin.
fn remark(name: &str, installed: &Value) -> Option<String> {
    let drift = match field(installed, "drift").as_str() {
        "component" => Some("its component is not the one that was installed"),
        "manifest" => Some("its plugin.toml is not the one that was installed"),
        "missing" => Some("its files are missing"),
        _ => None,
    };
    let held = installed.get("held") == Some(&Value::Bool(true));
    match (drift, held) {
        (Some(drift), _) => Some(format!("{name}: {drift}; install it again, or remove it")),
        (None, true) => Some(format!("{name}: an update is held; see `apflow plugin approve {name}`")),
        (None, false) => None,
    }
}

async fn outdated(target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for folder in site::folders(target)? {
        let site = Site::of(target, folder.clone())?;
        for entry in folder.lock()?.plugins {
            let (source, state, error) = match newest(&entry, &site.access).await {
                Ok(found) if found.differs => (found.source, "outdated", None),
                Ok(found) => (found.source, "current", None),
                Err(error) => (entry.source.clone(), "unknown", Some(error.to_string())),
            };
            rows.push(json!({
                "name": entry.name, "version": entry.version, "state": state, "source": source, "error": error,
                "drift": folder.drift(&entry), "held": folder.held().contains(&entry.name),
            }));
        }
    }
    let unknown = rows.iter().any(|row| row["state"] == "unknown");
    output.show(&json!({ "plugins": rows }), |answer| {
        let rows = answer["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            return "Nothing was installed".into();
        }
        let mut lines = table(&["name", "version", "state", "source", "error"]);
        for row in rows {
            lines.add_row(["name", "version", "state", "source", "error"].map(|column| field(row, column)));
        }
        text_of(&lines)
    });
    Ok(if unknown { Exit::Missing } else { Exit::Success })
}

#[cfg(test)]
mod tests {
    use apflow_packages::Drift;

    use super::*;

    #[test]
    fn plugins_are_listed_with_their_problem() {
        let answer = json!({"plugins": [{
            "name": "p", "version": "0.1.0", "kinds": ["executor"], "executors": ["a", "b"],
            "digest": "0123456789abcdef", "problem": null,
        }]});
        let expected = "NAME  VERSION  KINDS     EXECUTORS  DIGEST        PROBLEM\n\
                        p     0.1.0    executor  a, b       0123456789ab  -";
        assert_eq!(list(&answer), expected);
    }

    #[test]
    fn what_differs_from_the_lock_is_said_below() {
        let installed = |drift: Drift, held: bool| json!({"drift": drift, "held": held});
        assert_eq!(remark("p", &installed(Drift::None, false)), None);
        assert!(remark("p", &installed(Drift::Component, true)).unwrap().contains("is not the one"));
        assert!(remark("p", &installed(Drift::None, true)).unwrap().contains("plugin approve p"));
    }
}
